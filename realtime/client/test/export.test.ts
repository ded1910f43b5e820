/**
 * Exports, held to age's own library; testdata/export.age, which Go's age opens, is made here (UPDATE_VECTORS=1 writes it anew).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { RealtimeClient } from '@supabase/realtime-js'
import { afterEach, describe, expect, test } from 'vitest'
import { ageIdentity, ageRecipient, ageSecret } from '../src/age.ts'
import { makeDevice } from '../src/device.ts'
import { EnvelopeError } from '../src/failure.ts'
import { exportSession, openExport } from '../src/export.ts'
import { fields, json, text } from '../src/parse.ts'
import { Pins } from '../src/pins.ts'
import { Session } from '../src/session.ts'
import { MemoryStore } from '../src/memory.ts'
import { ownTestdata } from './bundle.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** A strict session in which the client wrote these texts; its socket is nowhere, which an export does not need. */
async function setup(texts: readonly string[]): Promise<{ session: Session; tables: Tables }> {
  const tables = newTables('strict')
  const userId = join(tables, 'client')
  const device = await makeDevice()
  addDevice(tables, userId, device)
  addDevice(tables, join(tables, 'therapist'), await makeDevice())
  const realtime = new RealtimeClient('ws://127.0.0.1:9/realtime/v1', { params: { apikey: 'key' } })
  const session = new Session({
    id: tables.session.id, userId, device, database: new MemoryDatabase(tables, userId), pins: new Pins(new MemoryStore(), 'test'), realtime,
    trustNewDevices: false, ...stored(),
  })
  cleanUps.push(() => realtime.disconnect(), () => session.close())
  await session.start()
  for (const one of texts) await session.send(one)
  return { session, tables }
}

const stored = (): { store: MemoryStore; account: string } => ({ store: new MemoryStore(), account: 'test' })
const Texts = ['Hello', 'Über uns: „grüße“ 🌙\nsecond line', '"quoted" <b> \\ \u2028']

describe('an export', () => {
  test('is an age file that opens by the recovery key, with every message in its order', async () => {
    const identity = await generateX25519Identity()
    const { session, tables } = await setup(Texts)
    const file = await exportSession(session, { recipient: await identityToRecipient(identity) })
    expect(await file.slice(0, 21).text()).toBe('age-encryption.org/v1')
    expect(await file.text()).not.toContain('Hello')

    const { header, messages } = await openExport(file, { identity })
    expect(header).toMatchObject({ vigil: 'export/1', session: session.id, messages: 3, exported_by: session.entry.userId })
    expect(messages.map((one) => [one.position, one.text, one.verified, one.from.role])).toEqual(Texts.map((one, i) => [i + 1, one, true, 'client']))
    expect(messages[0]?.readers.map((reader) => reader.role).sort()).toEqual(['client', 'therapist'])
    expect(messages[0]?.at).toBe(new Date(tables.messages[0]?.created_at ?? '').toISOString())
  })

  test('says of a message that cannot be read, or was changed, that it cannot, and goes on', async () => {
    const identity = await generateX25519Identity()
    const { session, tables } = await setup(['one', 'two', 'three'])
    const [, two] = tables.messages
    if (two === undefined) throw new Error('it is not stored')
    tables.messages[1] = { ...two, body: tables.messages[0]?.body ?? '' }
    const { messages } = await openExport(await exportSession(session, { recipient: await identityToRecipient(identity) }), { identity })
    expect(messages.map((one) => [one.text, one.verified])).toEqual([['one', true], [null, false], ['three', true]])
    expect(messages[1]?.marks).toEqual(['unreadable: signature'])
  })

  test('is of an empty session too', async () => {
    const identity = await generateX25519Identity()
    const { session } = await setup([])
    const opened = await openExport(await exportSession(session, { recipient: await identityToRecipient(identity) }), { identity })
    expect(opened.messages).toEqual([])
  })

  test('opens by its passphrase and no other; a short one, or what is no recipient, is refused before anything is read', async () => {
    const { session } = await setup(['one'])
    const file = await exportSession(session, { passphrase: 'seven quiet herons wade' })
    expect((await openExport(file, { passphrase: 'seven quiet herons wade' })).messages.length).toBe(1)
    const quick = new Encrypter() // a passphrase costs seconds, as it should; that another is refused may cost less
    quick.setPassphrase('seven quiet herons wade')
    quick.setScryptWorkFactor(8)
    const sealed = new Blob([new Uint8Array(await quick.encrypt('anything'))])
    const refused = await openExport(sealed, { passphrase: 'eight quiet herons wade' }).catch((thrown: unknown) => thrown)
    expect(String(refused)).toBe('EnvelopeError: the export does not open')
    await expect(exportSession(session, { passphrase: 'short' })).rejects.toThrow(EnvelopeError)
    await expect(exportSession(session, { recipient: 'age1nonsense' })).rejects.toThrow(EnvelopeError)
    await expect(exportSession(session, { recipient: await generateX25519Identity() })).rejects.toThrow('no age recipient')
  }, 60_000)

  test('that was cut, changed, sealed to another, or is none, is refused', async () => {
    const [identity, other] = [await generateX25519Identity(), await generateX25519Identity()]
    const { session } = await setup(['one'])
    const recipient = await identityToRecipient(identity)
    const file = new Uint8Array(await (await exportSession(session, { recipient })).arrayBuffer())
    await expect(openExport(new Blob([file]), { identity: other })).rejects.toThrow('does not open')
    for (const at of [30, 100, file.length - 20]) {
      const changed = file.slice()
      changed[at] = (changed[at] ?? 0) ^ 1
      await expect(openExport(new Blob([changed]), { identity })).rejects.toThrow('does not open')
    }
    await expect(openExport(new Blob([file.subarray(0, file.length - 1)]), { identity })).rejects.toThrow('does not open')
    for (const plain of ['', '{}', '{"vigil":"export/2"}', await lines(file, identity, (all) => all.slice(0, 1)), 'nothing']) {
      const encrypter = new Encrypter()
      encrypter.addRecipient(recipient)
      const sealed = new Uint8Array(await encrypter.encrypt(plain))
      await expect(openExport(new Blob([sealed]), { identity }), plain).rejects.toThrow(EnvelopeError)
    }
  })
})

/** What stands in an export, with some of its lines. */
async function lines(file: Uint8Array, identity: string, some: (all: string[]) => string[]): Promise<string> {
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return some((await decrypter.decrypt(file, 'text')).split('\n')).join('\n')
}

test('the export that Go opens is up to date', async () => {
  const [file, keyFile] = [new URL('export.age', ownTestdata), new URL('export-key.json', ownTestdata)]
  if (process.env['UPDATE_VECTORS'] === '1') {
    const secret = crypto.getRandomValues(new Uint8Array(32))
    const { session } = await setup(Texts)
    const made = await exportSession(session, { recipient: await ageRecipient(secret) })
    writeFileSync(file, new Uint8Array(await made.arrayBuffer()))
    const key = { note: 'A test key: it opens export.age, made by test/export.test.ts and opened by Go too.', identity: await ageIdentity(secret), texts: Texts }
    writeFileSync(keyFile, `${JSON.stringify(key, null, 2)}\n`)
  }
  const key = fields(json(readFileSync(keyFile, 'utf8'), 'key'), 'key')
  const identity = await ageIdentity(await ageSecret(text(key, 'identity')))
  const { messages } = await openExport(new Blob([new Uint8Array(readFileSync(file))]), { identity })
  expect(messages.map((one) => one.text)).toEqual(Texts)
  expect(key['texts']).toEqual(Texts)
})
