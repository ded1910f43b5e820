import { RealtimeClient } from '@supabase/realtime-js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { encodeText } from '../src/bytes.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { makeEpoch } from '../src/epoch.ts'
import { sealMessage, textContent } from '../src/message.ts'
import { Pins } from '../src/pins.ts'
import { parseRoster } from '../src/roster.ts'
import type { ChatMessage } from '../src/chat.ts'
import { Session } from '../src/session.ts'
import { MemoryStore } from '../src/memory.ts'
import { alertEventRow, alertRow, assessmentRow, notAssessedRow } from './finding-rows.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'
import { PhoenixServer } from './phoenix-server.ts'

interface Person {
  readonly userId: string
  readonly device: Device
  readonly database: MemoryDatabase
  readonly session: Session
  readonly heard: ChatMessage[]
}

interface Bench {
  readonly tables: Tables
  readonly server: PhoenixServer
  readonly client: Person
  readonly therapist: Person
  readonly analysis: Device
}

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function person(bench: Pick<Bench, 'tables' | 'server'>, userId: string, device: Device): Promise<Person> {
  const database = new MemoryDatabase(bench.tables, userId)
  const realtime = new RealtimeClient(`${bench.server.url.replace('http', 'ws')}/realtime/v1`, {
    params: { apikey: 'key' },
    accessToken: () => Promise.resolve(`token of ${userId}`),
    reconnectAfterMs: () => 1,
  })
  const store = new MemoryStore()
  const pins = new Pins(store, userId)
  const session = new Session({
    id: bench.tables.session.id, userId, device, database, store, account: userId, pins, realtime, trustNewDevices: false,
  })
  cleanUps.push(async () => {
    await session.close()
    await realtime.disconnect()
  })
  await session.start()
  const heard: ChatMessage[] = []
  session.on('message', (message) => heard.push(message))
  return { userId, device, database, session, heard }
}

async function setup(mode: 'assisted' | 'strict' = 'assisted'): Promise<Bench> {
  const tables = newTables(mode)
  const server = new PhoenixServer()
  await server.start()
  cleanUps.push(() => server.stop())
  const devices = [await makeDevice(), await makeDevice(), await makeDevice()] as const
  const users = [join(tables, 'client'), join(tables, 'therapist')] as const
  addDevice(tables, users[0], devices[0])
  addDevice(tables, users[1], devices[1])
  addDevice(tables, null, devices[2])
  const bench = { tables, server, analysis: devices[2] }
  const client = await person(bench, users[0], devices[0])
  const therapist = await person(bench, users[1], devices[1])
  return { ...bench, client, therapist }
}

const texts = (who: Person): (string | null)[] => who.heard.map((message) => message.text)
const last = (bench: Pick<Bench, 'tables'>): Tables['messages'][number] => {
  const row = bench.tables.messages.at(-1)
  if (row === undefined) throw new Error('no message is stored')
  return row
}

/** What the relay would send of the newest message. */
function relay(bench: Bench): void {
  bench.server.broadcast(`session:${bench.tables.session.id}`, 'message', last(bench), `c${last(bench).position}`)
}

describe('session', () => {
  test('nothing is sent in an assisted session before the client has consented', async () => {
    const { client, therapist, tables } = await setup()
    await expect(client.session.send('x')).rejects.toMatchObject({ reason: 'consent_missing' })
    const id = await client.session.consent.give({ text: 'I agree' })
    await client.session.send('hello')
    expect(tables.epochs.map((row) => row.consent_id)).toEqual([id])
    await client.session.consent.withdraw(id)
    await expect(client.session.send('y')).rejects.toMatchObject({ reason: 'consent_missing' })
    await therapist.session.open(tables.messages[0]) // reads the session as it is now
    await expect(therapist.session.send('z')).rejects.toMatchObject({ reason: 'consent_missing' })
    expect(tables.messages).toHaveLength(1)
  })

  test('a withdrawal leaves the history readable', async () => {
    const { client, therapist, tables } = await setup()
    const id = await client.session.consent.give({ text: 'I agree' })
    await client.session.send('before')
    await client.session.consent.withdraw(id)
    await expect(therapist.session.open(tables.messages[0])).resolves.toMatchObject({ text: 'before', badge: null })
  })

  test('history, then live, in order, once each, to every listener', async () => {
    const bench = await setup('strict')
    const { client, therapist, server } = bench
    for (const text of ['a', 'b']) await client.session.send(text)
    await server.joinedTimes(`session:${bench.tables.session.id}`, 2)
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a', 'b'])
    })
    await therapist.session.send('c')
    relay(bench)
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a', 'b', 'c'])
    })
    const late: (string | null)[] = []
    const undo = therapist.session.on('message', (message) => late.push(message.text))
    undo()
    expect(late).toEqual(['a', 'b', 'c'])
    expect(therapist.heard.map((message) => message.from.me)).toEqual([false, false, true])
    expect(therapist.heard.map((message) => message.from.role)).toEqual(['client', 'client', 'therapist'])
    expect(therapist.heard.every((message) => message.missing === 0 && !message.watched)).toBe(true)
  })

  test('a re-join carries the last cursor, and reads what was missed', async () => {
    const bench = await setup('strict')
    const topic = `session:${bench.tables.session.id}`
    await bench.server.joinedTimes(topic, 2)
    await bench.client.session.send('a')
    relay(bench)
    await vi.waitFor(() => {
      expect([texts(bench.therapist), texts(bench.client)]).toEqual([['a'], ['a']])
    })
    await bench.client.session.send('b') // and nobody relays it
    bench.server.drop()
    for (const times of [3, 4]) {
      const again = await bench.server.joinedTimes(topic, times)
      expect(again).toMatchObject({ config: { private: true, broadcast: { replay: { after: 'c1' } } } })
      expect(again['access_token']).toMatch(/^token of /)
    }
    await vi.waitFor(() => {
      expect(texts(bench.therapist)).toEqual(['a', 'b'])
    })
  })

  test('an epoch that another device makes first is used', async () => {
    const { client, therapist, tables } = await setup('strict')
    client.database.beforeEpoch = async () => {
      client.database.beforeEpoch = undefined
      await therapist.session.send('mine was first')
    }
    await client.session.send('then mine')
    expect(tables.epochs).toHaveLength(1)
    expect(tables.messages.map((row) => row.epoch)).toEqual([1, 1])
  })

  test('an epoch whose answer was lost is not made twice', async () => {
    const { client, tables } = await setup('strict')
    client.database.fail('createEpoch', 'after')
    client.database.fail('insertMessage', 'after')
    const sent = client.session.send('hello')
    await vi.waitFor(() => {
      client.session.wake()
      expect(tables.messages).toHaveLength(1)
    })
    client.session.wake()
    await sent
    expect(tables.epochs).toHaveLength(1)
    expect(tables.messages).toHaveLength(1)
  })

  test('a raised min_epoch or another roster makes the next epoch', async () => {
    const { client, tables, therapist } = await setup('strict')
    await client.session.send('a')
    client.database.rotate()
    await client.session.send('b')
    tables.devices = tables.devices.map((row) => (row.id === therapist.device.kid ? { ...row, revoked_at: 'now' } : row))
    client.database.rotate()
    await client.session.send('c')
    expect(tables.messages.map((row) => [row.epoch, row.seq])).toEqual([[1, 0], [2, 0], [3, 0]])
    expect(client.session.readers.map((row) => row.id)).toEqual([client.device.kid])
  })

  test('two tabs with one device share its seqs', async () => {
    const bench = await setup('strict')
    const tab = await person(bench, bench.client.userId, bench.client.device)
    for (const who of [bench.client, tab, bench.client, tab]) await who.session.send('x')
    expect(bench.tables.messages.map((row) => row.seq)).toEqual([0, 1, 2, 3])
  })

  test('a new device of someone known blocks sending until it is acknowledged', async () => {
    const bench = await setup('strict')
    const { client, tables, therapist } = bench
    await client.session.send('a')
    const asked: (readonly string[])[] = []
    client.session.on('devices', (ids) => asked.push(ids))
    const device = await makeDevice()
    addDevice(tables, therapist.userId, device)
    client.database.rotate()
    await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [device.kid] })
    expect(tables.messages).toHaveLength(1)
    bench.server.broadcast(`session:${tables.session.id}`, 'session', tables.session, 'c')
    await vi.waitFor(() => {
      expect(asked).toEqual([[device.kid]])
    })
    await expect(client.session.acknowledge(device.kid)).rejects.toMatchObject({ refusal: 'pin' }) // nobody vouches for it
    await client.session.acknowledge(device.kid, { unsigned: true })
    await client.session.send('b')
    expect(client.session.readers.map((row) => row.id)).toContain(device.kid)
  })

  test('a replaced roster, and a key changed in place, are refused', async () => {
    const { client, therapist, tables } = await setup('strict')
    await client.session.send('a')
    const thief = await makeDevice(therapist.device.kid)
    tables.devices = tables.devices.map((row) =>
      row.id === thief.kid ? { ...row, enc_pub: thief.encPub, sig_pub: thief.sigPub } : row,
    )
    client.database.rotate()
    await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [thief.kid] })
  })

  test("the sidecar's key in a participant's role is refused, for reading and for sending", async () => {
    const { client, tables, analysis } = await setup('strict')
    const member = (device: Device, role: number): object => ({ kid: device.kid, role, enc_pub: device.encPub, sig_pub: device.sigPub })
    const roster = await parseRoster([member(client.device, 1), member(analysis, 2)])
    const made = await makeEpoch(client.device, { sessionId: tables.session.id, number: 1, roster, consentId: null })
    await client.database.createEpoch(made.row)
    const sealed = await sealMessage(client.device, made.epoch, { id: crypto.randomUUID(), seq: 0 }, textContent('x', new Date()))
    await client.database.insertMessage(sealed)
    const badge = { kind: 'unreadable', refusal: 'roster' }
    await expect(client.session.open(tables.messages[0])).resolves.toMatchObject({ text: null, badge })
    await client.session.send('y')
    expect(tables.messages.map((row) => row.epoch)).toEqual([1, 2])
  })

  test('what cannot be read has a badge, and a missing seq is counted', async () => {
    const bench = await setup('strict')
    const { client, therapist, tables } = bench
    for (const text of ['a', 'b', 'c', 'd']) await client.session.send(text)
    tables.messages = tables.messages.map((row) => {
      if (row.position !== 3) return row
      return { ...row, body: `${row.body.slice(0, -4)}${encodeText(new Uint8Array(3))}` }
    })
    tables.messages.splice(1, 1) // erased
    await bench.server.joinedTimes(`session:${tables.session.id}`, 2)
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a', null, 'd'])
    })
    expect(therapist.heard.map((message) => message.missing)).toEqual([0, 0, 2]) // what was forged counts for nothing
    expect(therapist.heard[1]?.badge).toEqual({ kind: 'unreadable', refusal: 'signature' })
    expect(therapist.heard.map((message) => message.position)).toEqual([1, 3, 4])
  })

  test('an ended channel says so', async () => {
    const bench = await setup('strict')
    const topic = `session:${bench.tables.session.id}`
    await bench.server.joinedTimes(topic, 2)
    const heard: string[] = []
    bench.therapist.session.on('status', (status) => heard.push(status))
    await vi.waitFor(() => {
      expect(heard.at(-1)).toBe('joined')
    })
    bench.server.end(topic)
    await vi.waitFor(() => {
      expect(heard.at(-1)).toBe('ended')
    })
  })

  test('clinicians hear alerts on care:, joined when first asked for', async () => {
    const bench = await setup()
    const topic = `care:${bench.tables.session.id}`
    expect(bench.server.joins.some((one) => one.topic === topic)).toBe(false)
    const alerts: unknown[] = []
    bench.therapist.session.on('alert', (row) => alerts.push(row.level))
    await bench.server.joinedTimes(topic, 1)
    bench.server.broadcast(topic, 'alert', alertRow(bench.tables.session.id), 'c')
    await vi.waitFor(() => {
      expect(alerts).toEqual([4])
    })
  })

  test('clinicians hear each finding as its row; one that is no row is an error, and the next is heard', async () => {
    const { server, tables, therapist } = await setup()
    const { id } = tables.session
    const [heard, errors]: [unknown[], Error[]] = [[], []]
    for (const name of ['assessment', 'alert', 'alert_event'] as const) therapist.session.on(name, (row) => heard.push(row))
    therapist.session.on('error', (error) => errors.push(error))
    await server.joinedTimes(`care:${id}`, 1)
    const told = { assessment: [assessmentRow(id), notAssessedRow(id)], alert: [{ session_id: id, level: 5 }, alertRow(id)], alert_event: [alertEventRow(id)] }
    for (const [event, rows] of Object.entries(told)) for (const row of rows) server.broadcast(`care:${id}`, event, row, 'c')
    await vi.waitFor(() => {
      expect(heard).toEqual([...told.assessment, told.alert[1], ...told.alert_event])
    })
    expect(errors.map((error) => error.message)).toEqual([expect.stringContaining('id is no text')])
  })

  test('what another participant broadcasts as a message is neither shown nor hides what is sent', async () => {
    const bench = await setup('strict')
    const { client, therapist, server } = bench
    const topic = `session:${bench.tables.session.id}`
    await server.joinedTimes(topic, 2)
    await client.session.send('a')
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a'])
    })
    for (const position of [2, 3, 1e9]) {
      server.relay(topic, 'message', { ...last(bench), id: crypto.randomUUID(), position })
      server.relay(topic, 'arrival', { session_id: bench.tables.session.id, position })
    }
    for (const event of ['session', 'participant', 'consent', 'epoch']) server.relay(topic, event, bench.tables.session)
    await client.session.send('b')
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a', 'b'])
    })
    expect(therapist.heard.map((message) => message.position)).toEqual([1, 2])
  })

  test("an alert on the session's topic is none, with meta or without", async () => {
    const bench = await setup()
    const { id } = bench.tables.session
    const heard: unknown[] = []
    const rows = { alert: alertRow(id), assessment: assessmentRow(id), alert_event: alertEventRow(id) }
    for (const name of ['alert', 'assessment', 'alert_event'] as const) bench.therapist.session.on(name, (row) => heard.push(row.id))
    await bench.server.joinedTimes(`care:${id}`, 1)
    for (const [event, row] of Object.entries(rows)) {
      bench.server.relay(`session:${id}`, event, row)
      bench.server.broadcast(`session:${id}`, event, row, 'c')
      bench.server.relay(`care:${id}`, event, row)
    }
    const alert = alertRow(id)
    bench.server.broadcast(`care:${id}`, 'alert', alert, 'c')
    await vi.waitFor(() => {
      expect(heard).toEqual([alert['id']])
    })
  })

  test('a message names who can read it, and the sidecar only where it can', async () => {
    const bench = await setup()
    const { client, therapist, analysis } = bench
    await client.session.consent.give({ text: 'I agree' })
    await client.session.send('a')
    relay(bench)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['a'])
    })
    const readers = [...(therapist.heard[0]?.readers ?? [])].sort((a, b) => a.role.localeCompare(b.role))
    expect(readers).toEqual([
      { deviceId: analysis.kid, role: 'analysis', userId: null, via: 'roster', until: null, verified: true },
      { deviceId: client.device.kid, role: 'client', userId: client.userId, via: 'roster', until: null, verified: true },
      { deviceId: therapist.device.kid, role: 'therapist', userId: therapist.userId, via: 'roster', until: null, verified: true },
    ])
  })

  test('what a join made good is told, with how much was sent again; a first join claims nothing', async () => {
    const { client, server, tables } = await setup()
    const topic = `session:${tables.session.id}`
    const recoveries: unknown[] = []
    client.session.on('recovery', (recovery) => recoveries.push(recovery))
    await server.joinedTimes(topic, 2)
    const recovery = { extension: 'recovery', status: 'ok', channel: topic, from: 1, to: 2, cursor: 'c' }
    server.system(topic, { ...recovery, recovered: false, missed: null, code: 'CursorMissing' })
    server.broadcast(topic, 'participant', { session_id: tables.session.id }, 'c1', { replayed: true })
    server.broadcast(topic, 'participant', { session_id: tables.session.id }, 'c2', { seq: 2, prev: 1, replayed: true })
    server.system(topic, { ...recovery, recovered: true, missed: 0 })
    server.system(topic, { ...recovery, recovered: false, missed: null, code: 'LogEpochChanged' })
    await vi.waitFor(() => {
      expect(recoveries).toEqual([
        { recovered: true, replayed: 2, missed: 0 },
        { recovered: false, replayed: 0, missed: null },
      ])
    })
  })

  test('who is there is told, also after the channel was away, and nobody while it is', async () => {
    const { client, therapist, server, tables } = await setup()
    const topic = `session:${tables.session.id}`
    const seen: (readonly string[])[] = []
    client.session.on('presence', (present) => seen.push(present))
    const join = await server.joinedTimes(topic, 1)
    expect(join['config']).toMatchObject({ presence: { key: client.userId, enabled: true } })
    server.presence(topic, [client.userId, therapist.userId])
    await vi.waitFor(() => {
      expect(seen.at(-1)).toEqual([client.userId, therapist.userId])
    })
    server.broadcast(topic, 'participant', { session_id: tables.session.id }, 'c9')
    server.drop()
    await vi.waitFor(() => {
      expect(seen.at(-1)).toEqual([])
    })
    const again = await server.joinedTimes(topic, 3)
    expect(again['config']).toMatchObject({ presence: { enabled: true } })
  })
})
