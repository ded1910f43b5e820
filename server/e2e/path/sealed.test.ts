// What is typed leaves the browser sealed; and what is not sealed by its device is refused, or shown and recorded as such.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { parseMessage, type MessageRow } from 'vigil-client'
import { parseAssessment } from 'vigil-client/findings'
import { admin, ask, keyed, person, project, tokenOf, type Client } from '../standin/project.ts'
import { expectAbsent } from './canary.ts'
import { checked, closeAll, crisis, sidecar, sql, therapy } from './people.ts'
import { bare, disconnectAll, joined, named, rowOf } from './socket.ts'
import { frames } from './wire.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await disconnectAll()
  await closeAll()
})

// Every request that this process makes, with its body.
function record(): string[] {
  const asked: string[] = []
  const { fetch } = globalThis
  vi.spyOn(globalThis, 'fetch').mockImplementation((input, init) => {
    const url = typeof input === 'string' ? input : 'href' in input ? input.href : input.url
    asked.push(`${url} ${typeof init?.body === 'string' ? init.body : ''}`)
    return fetch(input, init)
  })
  return asked
}

describe('what is typed', () => {
  it('would be found, however it were written', () => {
    for (const before of ['', 'a', 'ab', 'abc']) {
      const text = Buffer.from(`${before}canary-of-a-test, and more`)
      for (const written of [text.toString(), text.toString('base64'), text.toString('base64url'), text.toString('hex')]) {
        expect(() => { expectAbsent('canary-of-a-test', 'it', [written]) }, written).toThrow('holds what was typed')
      }
    }
  })

  it('is in no request, no frame, no answer of REST, and nothing that the sidecar wrote', async () => {
    const word = `canary${randomUUID().replaceAll('-', '')}`
    const asked = record()
    const { id, client, therapist, clientSide, therapistSide } = await therapy('assisted')
    const care = await joined(await bare(therapist.client), `care:${id}`)
    const message = await clientSide.chat.send(`${crisis} ${word}`)
    const answer = await therapistSide.chat.send(`I read ${word}`)
    await vi.waitFor(() => {
      expect(clientSide.shown.map((shown) => shown.text?.includes(word))).toEqual([true, true])
    }, 10_000)
    await care.messages.until(named('alert', { message_id: message }))
    await care.messages.until(named('assessment', { message_id: answer }))

    for (const [what, texts] of [['a request', asked], ['a frame', frames]] as const) {
      expect(texts.some((text) => text.includes(message)), `${what} carries the message`).toBe(true)
      expectAbsent(word, what, texts)
    }
    const stranger = await person()
    const readers: [string, Record<string, string>][] = [
      ['the client', keyed(project.publishableKey, await tokenOf(client.client))],
      ['the therapist', keyed(project.publishableKey, await tokenOf(therapist.client))],
      ['a stranger', keyed(project.publishableKey, await tokenOf(stranger.client))],
      ['the secret key', keyed(project.secretKey)],
    ]
    const tables = await sql("select tablename::text as name from pg_catalog.pg_tables where schemaname = 'public' order by 1")
    for (const [who, headers] of readers) {
      const answers: string[] = []
      for (const table of tables) {
        const { body } = await ask(`/rest/v1/${String(table['name'])}?select=*`, { headers })
        answers.push(JSON.stringify(body))
      }
      expectAbsent(word, `an answer to ${who}`, answers)
      expect(answers.some((text) => text.includes(message))).toBe(who !== 'a stranger')
    }
    if (sidecar.log !== null) expectAbsent(word, 'the log', [readFileSync(sidecar.log, 'utf8')])
  })
})

describe('a message that its device did not seal', () => {
  // A row as it was stored, to make others of.
  async function sealed(client: Client, id: string): Promise<MessageRow> {
    const row: unknown = checked(await client.from('messages').select().eq('id', id).single())
    return parseMessage(row)
  }

  function insertOf(row: MessageRow, seq: number, body = row.body): Record<string, unknown> {
    return { id: randomUUID(), session_id: row.session_id, sender_device_id: row.sender_device_id, epoch: row.epoch, seq, body }
  }

  // The body with other bytes from a place on: 1 is the signature's, after it come nonce and ciphertext.
  function spoiled(row: MessageRow, at: number, length: number): string {
    const bytes = Uint8Array.from(Buffer.from(row.body, 'base64url'))
    crypto.getRandomValues(bytes.subarray(at, at + length))
    return Buffer.from(bytes).toString('base64url')
  }

  it('is not assessed, the therapist is alerted, and both screens say that it cannot be read', async () => {
    const { id, client, therapist, clientSide, therapistSide } = await therapy('assisted')
    const care = await joined(await bare(therapist.client), `care:${id}`)
    const inbox = await joined(await bare(therapist.client), `inbox:${therapist.id}`)
    const row = await sealed(client.client, await clientSide.chat.send('I am fine'))
    const forgeries = {
      unsigned: insertOf(row, 1, spoiled(row, 1, 64)),
      tampered: insertOf(row, 2, spoiled(row, 80, 8)),
      'sent again under another name': insertOf(row, 3),
    }
    for (const [name, forged] of Object.entries(forgeries)) {
      const { error } = await client.client.from('messages').insert(forged)
      expect(error, name).toBeNull()
      const assessment = await care.messages.until(named('assessment', { message_id: forged['id'] }))
      const nothing = { level: null, items: null, risk_score: null, sentiment: null, language: null, model_version: null, evidence: [], topics: [] }
      expect(parseAssessment(rowOf(assessment)), name).toMatchObject({ ...nothing, status: 'not_assessed', reason: 'signature', alert: true, escalate: true })
      const alert = await care.messages.until(named('alert', { message_id: forged['id'] }))
      expect(rowOf(alert), name).toMatchObject({ source: 'not_assessed', status: 'open', level: null })
      await inbox.messages.until(named('alert_recipient', { alert_id: rowOf(alert)['id'], reason: 'therapist' }))
    }
    const unreadable = { text: null, badge: { kind: 'unreadable', refusal: 'signature' } }
    const good = await clientSide.chat.send('and this is mine')
    expect(rowOf(await care.messages.until(named('assessment', { message_id: good })))).toMatchObject({ status: 'assessed' })
    for (const side of [clientSide, therapistSide]) {
      await vi.waitFor(() => {
        expect(side.shown).toMatchObject([
          { text: 'I am fine', badge: null }, unreadable, unreadable, unreadable, { text: 'and this is mine', badge: null },
        ])
      }, 10_000)
    }
  })

  it('is refused where the database can tell', async () => {
    const { client, therapist, clientSide, therapistSide, id } = await therapy('assisted')
    const row = await sealed(client.client, await clientSide.chat.send('I am fine'))
    const insert = async (by: Client, forged: Record<string, unknown>): Promise<string | undefined> =>
      (await by.from('messages').insert(forged)).error?.code
    const stranger = await person()
    const plain = Buffer.from('I am not sealed at all. '.repeat(8)).toString('base64url')
    expect(await insert(client.client, insertOf(row, 1, plain))).toBe('23514')
    expect(await insert(client.client, insertOf(row, 1, 'I am not sealed at all. '.repeat(8)))).toBe('23514')
    expect(await insert(therapist.client, insertOf(row, 1))).toBe('VG011') // another's device
    expect(await insert(client.client, insertOf(row, 0))).toBe('23505') // a seq that is used
    expect(await insert(client.client, { ...insertOf(row, 1), epoch: 2 })).toBe('VG010')
    expect(await insert(client.client, { ...insertOf(row, 1), sender_id: therapist.id })).toBe('42501')
    expect(await insert(stranger.client, insertOf(row, 1))).toBe('42501')
    expect(await insert(admin, insertOf(row, 1))).toBe('42501') // the secret key may not speak for anyone either
    expect((await client.client.from('messages').update({ body: row.body }).eq('id', row.id)).error?.code).toBe('42501')
    await therapistSide.chat.send('still here')
    const kept = await sql('select position::int from public.messages where session_id = $1 order by position', [id])
    expect(kept).toEqual([{ position: 1 }, { position: 2 }])
  })
})
