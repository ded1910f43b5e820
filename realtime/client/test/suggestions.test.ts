import { RealtimeClient } from '@supabase/realtime-js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { makeDevice, type Device } from '../src/device.ts'
import { RequestError } from '../src/failure.ts'
import { Pins } from '../src/pins.ts'
import { Session } from '../src/session.ts'
import { MemoryStore } from '../src/memory.ts'
import type { SuggestionRow, SuggestionSealRow } from '../src/rows.ts'
import type { Suggestion } from '../src/suggestions.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'
import { PhoenixServer } from './phoenix-server.ts'
import { seal } from './seal.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

interface Bench {
  readonly tables: Tables
  readonly server: PhoenixServer
  readonly database: MemoryDatabase
  readonly session: Session
  readonly own: Device
  readonly analysis: Device
  readonly client: MemoryDatabase
}

async function setup(): Promise<Bench> {
  const tables = newTables('assisted')
  const server = new PhoenixServer()
  await server.start()
  cleanUps.push(() => server.stop())
  const [client, own, analysis] = [await makeDevice(), await makeDevice(), await makeDevice()]
  const users = [join(tables, 'client'), join(tables, 'therapist')] as const
  addDevice(tables, users[0], client)
  addDevice(tables, users[1], own)
  addDevice(tables, null, analysis)
  const realtime = new RealtimeClient(`${server.url.replace('http', 'ws')}/realtime/v1`, {
    params: { apikey: 'key' }, accessToken: () => Promise.resolve('token'), reconnectAfterMs: () => 1,
  })
  const database = new MemoryDatabase(tables, users[1])
  const store = new MemoryStore()
  const session = new Session({
    id: tables.session.id, userId: users[1], device: own, database, realtime, trustNewDevices: false, store, account: users[1],
    pins: new Pins(store, users[1]),
  })
  cleanUps.push(async () => {
    await session.close()
    await realtime.disconnect()
  })
  await session.start()
  return { tables, server, database, session, own, analysis, client: new MemoryDatabase(tables, users[0]) }
}

/** The client says something: what a suggestion answers. */
async function say(bench: Bench): Promise<string> {
  const id = crypto.randomUUID()
  await bench.client.insertMessage({ id, session_id: bench.tables.session.id, sender_device_id: crypto.randomUUID(), epoch: 1, seq: bench.tables.messages.length, body: '' })
  return id
}

/** What the sidecar does: offers a text to devices. Returns the rows as the log has them. */
async function offer(
  bench: Bench, of: Partial<SuggestionRow> & { message_id: string }, text: string, by = bench.analysis, to: readonly Device[] = [bench.own],
): Promise<{ row: SuggestionRow; seals: SuggestionSealRow[] }> {
  const row: SuggestionRow = {
    id: crypto.randomUUID(), session_id: bench.tables.session.id, requested_by: null, reason: null, sent_message_id: null,
    decided_by: null, decided_at: null, version: 1, created_at: new Date().toISOString(), model: null, ...of,
    status: 'offered', source: 'bank', move: 'open-question', bank_version: 'v',
  }
  const place = { suggestion_id: row.id, session_id: row.session_id, message_id: row.message_id }
  const seals = await Promise.all(to.map(async (device) => ({ ...(await seal(by, device, place, text)), user_id: crypto.randomUUID() })))
  bench.tables.suggestions = [...bench.tables.suggestions.filter((one) => one.id !== row.id), row]
  bench.tables.seals.push(...seals)
  return { row, seals }
}

function listen(bench: Bench): Suggestion[] {
  const heard: Suggestion[] = []
  bench.session.on('suggestion', (one) => heard.push(one))
  return heard
}

const topic = (bench: Bench): string => `care:${bench.tables.session.id}`

describe('suggestions', () => {
  test('what is offered is verified, opened and told, once, to every listener', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    const { row, seals } = await offer(bench, { message_id: await say(bench) }, 'What would help tonight?')
    for (const times of [1, 2]) {
      bench.server.broadcast(topic(bench), 'suggestion', row, `c${times}`)
      for (const one of seals) bench.server.broadcast(topic(bench), 'suggestion_seal', one, `d${times}`)
    }
    await vi.waitFor(() => {
      expect(heard).toMatchObject([{ id: row.id, text: 'What would help tonight?', unreadable: null, move: 'open-question', source: 'bank', version: 1 }])
    })
    await bench.session.suggestions.list()
    expect(heard).toHaveLength(1)
    expect(listen(bench)).toEqual(heard)
  })

  test('a seal that comes before its suggestion, or alone, tells nothing by itself', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    await bench.session.suggestions.list()
    const { row, seals } = await offer(bench, { message_id: await say(bench) }, 'text')
    bench.tables.suggestions = [] // its row is not to be read yet
    for (const one of seals) bench.server.broadcast(topic(bench), 'suggestion_seal', one, 'c')
    bench.server.broadcast(topic(bench), 'suggestion', row, 'd')
    await vi.waitFor(() => {
      expect(heard).toMatchObject([{ text: 'text' }])
    })
  })

  test('asked for, offered, and accepted with the message that was sent', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await expect(bench.session.suggestions.request()).rejects.toMatchObject({ code: 'VG021' })
    const messageId = await say(bench)
    const asked = await bench.session.suggestions.request()
    expect(asked).toMatchObject({ messageId, status: 'requested', text: null, unreadable: null })
    expect(await bench.session.suggestions.request()).toEqual(asked)
    await offer(bench, { id: asked.id, message_id: messageId, requested_by: asked.requestedBy, version: 2, created_at: asked.at.toISOString() }, 'draft')
    const [offered] = await bench.session.suggestions.list()
    expect(offered).toMatchObject({ id: asked.id, status: 'offered', text: 'draft', version: 2 })
    await expect(bench.session.suggestions.decide(asked.id, 'rejected', 1)).rejects.toMatchObject({ code: 'PT409' })
    await expect(bench.session.suggestions.decide(asked.id, 'accepted', 2, crypto.randomUUID())).rejects.toMatchObject({ code: 'VG022' })
    const sent = crypto.randomUUID()
    await bench.database.insertMessage({ id: sent, session_id: bench.tables.session.id, sender_device_id: bench.own.kid, epoch: 1, seq: 9, body: '' })
    const decided = await bench.session.suggestions.decide(asked.id, 'edited', 2, sent)
    expect(decided).toMatchObject({ status: 'edited', text: 'draft', sentMessageId: sent, version: 3 })
    expect(heard.map((one) => one.status)).toEqual(['requested', 'offered', 'edited'])
  })

  test('what is not sealed to this device says so, and is read when its seal comes', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    const { row } = await offer(bench, { message_id: await say(bench) }, 'text', bench.analysis, [await makeDevice()])
    bench.server.broadcast(topic(bench), 'suggestion', row, 'c')
    await vi.waitFor(() => {
      expect(heard).toMatchObject([{ status: 'offered', text: null, unreadable: 'not_sealed' }])
    })
    const place = { suggestion_id: row.id, session_id: row.session_id, message_id: row.message_id }
    bench.server.broadcast(topic(bench), 'suggestion_seal', { ...(await seal(bench.analysis, bench.own, place, 'late')), user_id: crypto.randomUUID() }, 'd')
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ text: 'late', unreadable: null })
    })
  })

  test('a draft that no trusted analysis device signed is never shown', async () => {
    const bench = await setup()
    const thief = await makeDevice()
    const message_id = await say(bench)
    await offer(bench, { message_id }, 'take these pills', thief)
    await offer(bench, { message_id: await say(bench) }, 'by the own device', bench.own)
    expect((await bench.session.suggestions.list()).map((one) => [one.text, one.unreadable])).toEqual([[null, 'signature'], [null, 'signature']])
    addDevice(bench.tables, null, thief) // a row in devices is not enough: it must be acknowledged
    expect(await bench.session.suggestions.list()).toMatchObject([{ unreadable: 'signature' }, { unreadable: 'signature' }])
    bench.tables.devices = bench.tables.devices.map((row) => (row.id === bench.analysis.kid ? { ...row, sig_pub: thief.sigPub } : row))
    expect(await bench.session.suggestions.list()).toMatchObject([{ unreadable: 'signature' }, { unreadable: 'signature' }])
  })

  test('a new key of the sidecar counts once it is acknowledged', async () => {
    const bench = await setup()
    const next = await makeDevice()
    await offer(bench, { message_id: await say(bench) }, 'text', next)
    addDevice(bench.tables, null, next)
    expect(await bench.session.suggestions.list()).toMatchObject([{ unreadable: 'signature' }])
    await bench.session.acknowledge(next.kid)
    expect(await bench.session.suggestions.list()).toMatchObject([{ text: 'text' }])
  })

  test('a text that was moved to another suggestion does not open there', async () => {
    const bench = await setup()
    const one = await offer(bench, { message_id: await say(bench) }, 'one')
    const other = await offer(bench, { message_id: await say(bench), created_at: new Date(Date.now() + 1000).toISOString() }, 'other')
    bench.tables.seals = [...one.seals, ...one.seals.map((row) => ({ ...row, suggestion_id: other.row.id }))]
    expect(await bench.session.suggestions.list()).toMatchObject([{ text: 'one' }, { text: null, unreadable: 'signature' }])
    bench.tables.seals = bench.tables.seals.map((row) => ({ ...row, message_id: other.row.message_id })) // the seal's own word counts for nothing
    expect(await bench.session.suggestions.list()).toMatchObject([{ text: 'one' }, { unreadable: 'signature' }])
  })

  test('turned off, it is withdrawn, and its text is gone; an older row changes nothing', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    const { row } = await offer(bench, { message_id: await say(bench) }, 'text')
    await bench.session.suggestions.list()
    bench.server.broadcast(topic(bench), 'suggestion', { ...row, status: 'withdrawn', version: 2 }, 'c')
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ status: 'withdrawn', text: null, unreadable: null })
    })
    const told = heard.length
    bench.server.broadcast(topic(bench), 'suggestion', row, 'd')
    await bench.session.suggestions.list()
    expect(heard).toHaveLength(told)
  })

  test('what is erased leaves, for good, and takes nothing else along', async () => {
    const bench = await setup()
    const heard = listen(bench)
    const erased: string[] = []
    bench.session.on('suggestion_deleted', (id) => erased.push(id))
    await bench.server.joinedTimes(topic(bench), 1)
    const { row, seals } = await offer(bench, { message_id: await say(bench) }, 'text')
    const other = await offer(bench, { message_id: await say(bench) }, 'other')
    expect(await bench.session.suggestions.list()).toHaveLength(2)
    const gone = { id: row.id, organization_id: crypto.randomUUID(), session_id: row.session_id }
    bench.server.relay(topic(bench), 'suggestion_deleted', { ...gone, id: other.row.id }) // a participant's word erases nothing
    bench.tables.seals = other.seals
    bench.tables.suggestions = [other.row]
    bench.server.broadcast(topic(bench), 'suggestion_deleted', gone, 'c')
    await vi.waitFor(() => {
      expect(erased).toEqual([row.id])
    })
    const told = heard.length
    for (const one of seals) bench.server.broadcast(topic(bench), 'suggestion_seal', one, 'd')
    bench.server.broadcast(topic(bench), 'suggestion', { ...row, version: 9 }, 'e')
    bench.server.broadcast(topic(bench), 'suggestion', { ...other.row, status: 'withdrawn', version: 2 }, 'f')
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ id: other.row.id, status: 'withdrawn' })
    })
    expect(heard).toHaveLength(told + 1)
    expect(await bench.session.suggestions.list()).toMatchObject([{ id: other.row.id }])
    expect(listen(bench)).toMatchObject([{ id: other.row.id }])
  })

  test('who has no seals reads once for each suggestion, not for each of its events', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    const { row } = await offer(bench, { message_id: await say(bench) }, 'text', bench.analysis, [await makeDevice()])
    const late = await offer(bench, { message_id: await say(bench) }, 'late', bench.analysis, [await makeDevice()])
    await bench.session.suggestions.list()
    const reads = vi.spyOn(bench.database, 'suggestionSeals')
    const fresh = { ...row, id: crypto.randomUUID() }
    bench.tables.suggestions.push(fresh)
    for (const [at, one] of [row, fresh, { ...fresh, version: 2 }, { ...row, status: 'rejected' as const, version: 2 }, fresh].entries()) {
      bench.server.broadcast(topic(bench), 'suggestion', one, `c${at}`)
    }
    bench.server.broadcast(topic(bench), 'suggestion', { ...late.row, status: 'rejected', version: 2 }, 'd')
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ id: late.row.id, status: 'rejected', unreadable: 'not_sealed' })
    })
    expect(reads).toHaveBeenCalledTimes(1)
  })

  test('what another participant broadcasts as a suggestion is none', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    const { row, seals } = await offer(bench, { message_id: await say(bench) }, 'text')
    bench.tables.suggestions = []
    bench.server.relay(topic(bench), 'suggestion', row)
    for (const one of seals) bench.server.relay(topic(bench), 'suggestion_seal', one)
    expect(await bench.session.suggestions.list()).toEqual([])
    expect(heard).toEqual([])
  })

  test('after a re-join, what was missed is read; a read that fails is no suggestion that cannot be read', async () => {
    const bench = await setup()
    const heard = listen(bench)
    await bench.server.joinedTimes(topic(bench), 1)
    await bench.session.suggestions.list()
    await offer(bench, { message_id: await say(bench) }, 'missed')
    bench.database.fail('suggestionSeals', 'before', new RequestError('read', '', 503, 'away'))
    await expect(bench.session.suggestions.list()).rejects.toMatchObject({ status: 503 })
    expect(heard).toEqual([])
    bench.server.drop()
    await bench.server.joinedTimes(topic(bench), 2)
    await vi.waitFor(() => {
      expect(heard).toMatchObject([{ text: 'missed' }])
    })
  })
})
