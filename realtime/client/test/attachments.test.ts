/** Attachments: what is stored where, in which order, and what is opened of it. */
import { createClient } from '@supabase/supabase-js'
import { describe, expect, test } from 'vitest'
import { Bucket, attach, fileName, openFile, type FileSession, type Storage } from '../src/attachments.ts'
import { Clock } from '../src/clock.ts'
import { makeDevice } from '../src/device.ts'
import { EnvelopeError, RequestError } from '../src/failure.ts'
import { parseContent, textContent } from '../src/message.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'

const Words = 'what the doctor wrote'

interface Bench {
  readonly tables: Tables
  readonly session: FileSession
  readonly database: MemoryDatabase
  readonly storage: Storage
  /** Bodies by path, as Storage holds them. */
  readonly objects: Map<string, Blob>
  readonly requests: string[]
  status: number
}

/** storage-js as it is, as supabase-js brings it, over a Storage that keeps objects in memory. */
async function setup(): Promise<Bench> {
  const tables = newTables('strict')
  const userId = join(tables, 'client')
  const device = await makeDevice()
  addDevice(tables, userId, device)
  const database = new MemoryDatabase(tables, userId)
  const entry = { userId, role: 'client', device, database, clock: new Clock(), epoch: () => Promise.reject(new Error('no epoch is asked for')) } as const
  const objects = new Map<string, Blob>()
  const requests: string[] = []
  const fetched: typeof fetch = async (input: string | URL | { readonly url: string }, init?: RequestInit) => {
    const url = new URL(typeof input === 'object' && 'url' in input ? input.url : input)
    const method = init?.method ?? 'GET'
    const path = url.pathname.replace('/storage/v1/object/', '')
    requests.push(`${method} ${path}`)
    if (bench.status !== 0) return Response.json({ statusCode: String(bench.status), error: 'no', message: 'refused' }, { status: bench.status })
    if (method === 'POST') {
      const body = init?.body instanceof FormData ? init.body.get('') : await new Response(init?.body ?? null).blob()
      if (!(body instanceof Blob)) throw new Error('nothing was uploaded')
      objects.set(path, body)
      return Response.json({ Id: '1', Key: path })
    }
    const found = objects.get(path)
    return found === undefined ? Response.json({ statusCode: '404', error: 'not_found', message: 'Object not found' }, { status: 400 }) : new Response(found)
  }
  const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false }
  const { storage } = createClient('http://storage.test', 'key', { auth, global: { fetch: fetched } })
  const bench: Bench = { tables, database, objects, requests, status: 0, session: { id: tables.session.id, entry }, storage }
  return bench
}

const letter = (): File => new File([Words], '/home/someone/secret letter.txt', { type: 'text/plain' })

describe('an attachment', () => {
  test('is named in the table, then stored sealed under its id, and opens from the message', async () => {
    const bench = await setup()
    const file = await attach(bench.session, bench.storage, letter())
    expect(bench.database.calls).toEqual(['insertAttachment'])
    expect(bench.requests).toEqual([`POST ${Bucket}/${bench.session.id}/${file.id}`])
    expect(bench.tables.attachments).toEqual([
      { id: file.id, session_id: bench.session.id, device_id: bench.session.entry.device.kid, bytes: file.bytes, sha256: file.sha256 },
    ])
    const stored = [...bench.objects.values()]
    expect(stored.map((one) => one.size)).toEqual([Words.length + 16])
    const outside = [JSON.stringify(bench.tables), bench.requests.join(), await new Response(stored[0] ?? '').text()].join()
    for (const secret of [Words, 'secret letter', 'someone', file.key]) expect(outside).not.toContain(secret)

    const told = parseContent(textContent('see the letter', new Date(), { files: [file] })).files[0]
    if (told === undefined) throw new Error('the message names no file')
    const opened = await openFile(bench.session, bench.storage, told)
    expect([await opened.text(), opened.type, fileName(told)]).toEqual([Words, 'text/plain', 'secret letter.txt'])
  })

  test('that Storage exchanged for another is refused', async () => {
    const bench = await setup()
    const [one, other] = [await attach(bench.session, bench.storage, letter()), await attach(bench.session, bench.storage, letter())]
    const path = (id: string): string => `${Bucket}/${bench.session.id}/${id}`
    const swapped = bench.objects.get(path(other.id))
    if (swapped === undefined) throw new Error('it is not stored')
    bench.objects.set(path(one.id), swapped)
    const refused = await openFile(bench.session, bench.storage, one).catch((thrown: unknown) => thrown)
    expect(refused).toBeInstanceOf(EnvelopeError)
    expect(refused).toMatchObject({ refusal: 'body' })
  })

  test('that was erased, or may not be had, is a RequestError; nothing is sent of one that was not stored', async () => {
    const bench = await setup()
    const file = await attach(bench.session, bench.storage, letter())
    bench.objects.clear()
    await expect(openFile(bench.session, bench.storage, file)).rejects.toMatchObject({ name: 'RequestError' })
    bench.status = 403
    const refused = await attach(bench.session, bench.storage, letter()).catch((thrown: unknown) => thrown)
    expect(refused).toBeInstanceOf(RequestError)
    expect(refused).toMatchObject({ status: 403, temporary: false })
    bench.status = 503
    await expect(attach(bench.session, bench.storage, letter())).rejects.toMatchObject({ temporary: true })
    expect(bench.objects.size).toBe(0)
    bench.status = 0
    bench.database.fail('insertAttachment', 'before')
    const asked = bench.requests.length
    await expect(attach(bench.session, bench.storage, letter())).rejects.toMatchObject({ temporary: true })
    expect(bench.requests.length).toBe(asked) // no object that no row names
  })
})
