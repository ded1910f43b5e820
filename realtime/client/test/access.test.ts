/** Who can read a session, what changes that, and what stays of it: let in, withdrawn, erased. */
import { afterEach, expect, test, vi } from 'vitest'
import { PointBytes, decodeSized, decodeText, encodeText, sha256 } from '../src/bytes.ts'
import { signDevice } from '../src/cross.ts'
import { importEncPub, makeDevice, type Device } from '../src/device.ts'
import { signGrant } from '../src/grant.ts'
import { rewrapEpoch } from '../src/share.ts'
import { MemoryStore } from '../src/memory.ts'
import type { ReaderRow } from '../src/rows.ts'
import { addSignedDevice } from './memory-database.ts'
import { World, texts, type Seat } from './seats.ts'

let world: World
afterEach(() => world.close())

async function setup(mode: 'strict' | 'assisted' = 'strict'): Promise<{ client: Seat; therapist: Seat; analysis: Device }> {
  world = await World.open(mode)
  return world.pair()
}

/** Lets a device in to an epoch, as an owner's device or the sidecar does. */
async function letIn(seat: Seat, to: Device, userId: string, more: Pick<ReaderRow, 'role' | 'reason' | 'alert_id'>): Promise<ReaderRow> {
  const number = world.tables.epochs.length
  const epoch = world.tables.epochs.at(-1)
  if (epoch === undefined) throw new Error('there is no epoch')
  const encKey = await importEncPub(decodeSized('enc_pub', to.encPub, PointBytes))
  const own = world.tables.wraps.find((row) => row.epoch === number && row.device === seat.device.kid)
  const wrap = await rewrapEpoch(epoch, own?.wrap, undefined, seat.device, { kid: to.kid, encKey })
  const terms = { session_id: world.tables.session.id, epoch: number, by_device_id: seat.device.kid, device_id: to.kid, role: more.role, alert_id: more.alert_id, wrap }
  const row: ReaderRow = {
    ...more, session_id: terms.session_id, epoch: number, device_id: to.kid, user_id: userId, by_device_id: seat.device.kid,
    signature: await signGrant(seat.device, terms), wrap_hash: encodeText(await sha256(decodeText(wrap))),
    created_at: new Date().toISOString(), ended_at: null,
  }
  world.tables.wraps.push({ epoch: number, device: to.kid, wrap })
  world.tables.readers.push(row)
  return row
}

test('a new device shows the places of what came before it, and the texts once another device lets it in', async () => {
  const { client, therapist } = await setup()
  for (const text of ['a', 'b']) await client.session.send(text)
  const second = await makeDevice()
  await addSignedDevice(world.tables, client.userId, second, client.device)
  const later = await world.seat(client.userId, second, new MemoryStore())
  await world.arrive(2, later)
  expect(later.heard.map((message) => message.badge)).toEqual(Array(2).fill({ kind: 'unreadable', refusal: 'wrap' }))
  expect(world.reports(later)).toEqual([]) // nobody did anything wrong
  const row = await letIn(client, second, client.userId, { role: 1, reason: 'history', alert_id: null })
  world.tell('reader', row)
  await vi.waitFor(() => {
    expect(later.changed.map((message) => [message.text, message.badge])).toEqual([['a', null], ['b', null]])
  })
  const replayed: unknown[] = []
  later.session.on('message', (message) => replayed.push(message.text))
  expect(replayed).toEqual(['a', 'b'])
  await world.stir(therapist)
})

test('who is let in beside the roster is named on each message of that epoch, with how, and until when', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  const onCall = { device: await makeDevice(), userId: crypto.randomUUID() }
  const heard: ReaderRow[] = []
  client.session.on('reader', (row) => heard.push(row))
  const row = await letIn(therapist, onCall.device, onCall.userId, { role: 3, reason: 'crisis_access', alert_id: crypto.randomUUID() })
  const reader = { deviceId: onCall.device.kid, role: 'on_call', userId: onCall.userId, via: 'crisis_access', until: null, verified: false } // a participant's device let nobody in on call
  world.tell('reader', row)
  await vi.waitFor(() => {
    expect(client.changed.at(-1)?.readers.at(-1)).toEqual(reader)
  })
  expect(heard).toEqual([row])
  expect(client.session.extraReaders).toEqual([reader])
  const ended = '2026-11-24T00:00:00.000Z'
  world.tables.readers[0] = { ...row, ended_at: ended }
  client.database.rotate()
  world.tell('reader', { ...row, ended_at: ended })
  await vi.waitFor(() => {
    expect(client.changed.at(-1)?.readers.at(-1)).toEqual({ ...reader, until: new Date(ended) })
  })
  expect(client.session.extraReaders).toEqual([])
  await client.session.send('b')
  await world.arrive(2, client)
  expect(client.heard[1]?.readers.map((one) => one.via)).toEqual(['roster', 'roster'])
})

test('a reader beside the roster is verified by who let it in, and by no other', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  const second = await makeDevice()
  await addSignedDevice(world.tables, client.userId, second, client.device)
  const good = await letIn(client, second, client.userId, { role: 1, reason: 'history', alert_id: null })
  const shows = async (row: ReaderRow, verified: boolean, why = ''): Promise<void> => {
    world.tables.readers = [row]
    await vi.waitFor(() => {
      world.tell('session', world.tables.session)
      expect(therapist.session.extraReaders.find((one) => one.deviceId === row.device_id)?.verified, why).toBe(verified)
    })
  }
  for (const change of [
    { signature: 'A'.repeat(86) }, { wrap_hash: 'A'.repeat(43) }, { wrap_hash: null }, { role: 2 }, { device_id: crypto.randomUUID() },
    { by_device_id: therapist.device.kid }, { by_device_id: crypto.randomUUID() }, { user_id: therapist.userId },
  ]) {
    await shows(good, true)
    await shows({ ...good, ...change }, false, JSON.stringify(change))
  }
  await shows(good, true)
  const theirs = await letIn(therapist, second, client.userId, { role: 1, reason: 'history', alert_id: null })
  await shows(theirs, false, 'another person lets in none of the devices of this one')
})

test('a clinician on call is verified where the analysis key on that roster let them in', async () => {
  const { client, analysis } = await setup('assisted')
  await client.session.consent.give({ text: 'I agree' })
  await client.session.send('a')
  await world.arrive(1, client)
  const terms = {
    session_id: world.tables.session.id, epoch: 1, by_device_id: analysis.kid, device_id: crypto.randomUUID(), role: 3, alert_id: crypto.randomUUID(),
    wrap: 'A'.repeat(151),
  }
  const row: ReaderRow = {
    ...terms, user_id: crypto.randomUUID(), reason: 'crisis_access', signature: await signGrant(analysis, terms),
    wrap_hash: encodeText(await sha256(decodeText(terms.wrap))), created_at: new Date().toISOString(), ended_at: null,
  }
  const shows = async (changed: ReaderRow, verified: boolean): Promise<void> => {
    world.tables.readers = [changed]
    await vi.waitFor(() => {
      world.tell('session', world.tables.session)
      expect(client.session.extraReaders[0]?.verified).toBe(verified)
    })
  }
  await shows(row, true)
  await shows({ ...row, alert_id: crypto.randomUUID() }, false)
  await shows(row, true)
  await shows({ ...row, reason: 'history' }, false)
  world.tables.readers = [row]
  world.tell('reader', row)
  await vi.waitFor(() => {
    expect(client.changed.at(-1)?.readers.at(-1)).toMatchObject({ via: 'crisis_access', verified: true })
  })
})

test("a person's recovery key stands among the readers by its own name, and is no stranger if a known device signed it", async () => {
  const { client, therapist } = await setup()
  const recovery = await makeDevice()
  await addSignedDevice(world.tables, client.userId, recovery, client.device)
  world.tables.devices = world.tables.devices.map((row) => (row.id === recovery.kid ? { ...row, kind: 'recovery' } : row))
  const row = world.tables.devices.find((one) => one.id === recovery.kid)
  const signed = world.tables.signatures.at(-1)
  if (row === undefined || signed === undefined) throw new Error('the recovery key is there')
  world.tables.signatures = [{ ...signed, signature: await signDevice(client.device, row) }]
  const fresh = await world.reload({ ...therapist, store: new MemoryStore() }) // who meets them all at once
  await fresh.session.send('a')
  await world.arrive(1, fresh)
  expect(fresh.heard[0]?.readers).toContainEqual({ deviceId: recovery.kid, role: 'recovery', userId: client.userId, via: 'roster', until: null, verified: true })
})

test('a withdrawal silences nobody: with one call it goes on unwatched, and the other person is asked', async () => {
  const { client, therapist, analysis } = await setup('assisted')
  const id = await client.session.consent.give({ text: 'I agree' })
  await client.session.send('watched')
  await world.arrive(1, therapist)
  await client.session.consent.withdraw(id, { goOn: 'strict' })
  await client.session.send('unwatched')
  expect(client.session.watched).toBe(false)
  expect(world.tables.wraps.filter((row) => row.device === analysis.kid).map((row) => row.epoch)).toEqual([1])
  await world.stir(therapist)
  await expect(therapist.session.send('c')).rejects.toMatchObject({ reason: 'mode_changed' })
  await therapist.session.acknowledgeMode('strict')
  await therapist.session.send('c')
  await world.arrive(3, therapist)
  expect(texts(therapist)).toEqual(['watched', 'unwatched', 'c'])
})

test('a withdrawal that waits leaves the mode as it is, and nothing is sent', async () => {
  const { client, therapist } = await setup('assisted')
  const id = await client.session.consent.give({ text: 'I agree' })
  await client.session.send('a')
  await client.session.consent.withdraw(id, { goOn: 'wait' })
  for (const seat of [client, therapist]) await expect(seat.session.send('b')).rejects.toMatchObject({ reason: 'consent_missing' })
  expect(world.tables.session.mode).toBe('assisted')
})

test("a client's own signed consent acknowledges assisted, and only that; it cannot be claimed", async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  world.tables.session = { ...world.tables.session, mode: 'assisted' }
  client.database.rotate()
  await world.stir(client)
  const forged = { id: crypto.randomUUID(), session_id: world.tables.session.id, device_id: client.device.kid, scope: ['analysis'], text_hash: 'A'.repeat(43), signature: 'A'.repeat(86) }
  await therapist.database.insertConsent(forged)
  await expect(client.session.send('b')).rejects.toMatchObject({ reason: 'mode_changed' })
  await client.session.consent.give({ text: 'I agree' })
  await client.session.send('b')
  await expect(client.session.acknowledgeMode('strict')).rejects.toMatchObject({ reason: 'mode_changed' })
})

test('who changes the mode knows of it, also after a reload', async () => {
  const { client } = await setup()
  await client.session.send('a')
  const modes: unknown[] = []
  client.session.on('mode', (change) => modes.push(change))
  await client.session.changeMode('assisted')
  await client.session.consent.give({ text: 'I agree' })
  const later = await world.reload(client)
  await later.session.send('b')
  expect(modes).toEqual([])
})

test('the safety number is the same at both ends, and another once a device came', async () => {
  const { client, therapist } = await setup()
  const before = await client.session.safety(therapist.userId)
  expect(before).toMatch(/^(\d{5} ){5}\d{5}$/)
  expect(await therapist.session.safety(client.userId)).toBe(before)
  await addSignedDevice(world.tables, client.userId, await makeDevice(), client.device)
  await world.stir(therapist)
  await vi.waitFor(async () => {
    expect(await therapist.session.safety(client.userId)).not.toBe(before)
  })
})

const erasure = { id: crypto.randomUUID(), kind: 'session', counts: {}, audit_seq: 1, audit_hash: 'x', created_at: 'now', done_at: null }

test('an erased session leaves no text, no key and no queue on the device', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  const stored = world.tables.messages[0]
  vi.spyOn(client.database, 'insertMessage').mockRejectedValue(new Error('offline'))
  const told: string[] = []
  client.session.on('erasure', (row) => told.push(row.status))
  client.session.on('closed', () => told.push('closed'))
  world.tables.session = { ...world.tables.session, status: 'paused' }
  const held = client.session.send('b', { hold: true }).catch((thrown: unknown) => thrown)
  await vi.waitFor(() => {
    expect(client.session.queue).toHaveLength(1)
  })
  world.tell('erasure', { ...erasure, status: 'requested' })
  world.tell('erasure', { ...erasure, status: 'shredded' })
  world.tables.wraps = []
  client.database.lies.session = () => undefined
  expect(await held).toMatchObject({ reason: 'erased' })
  await vi.waitFor(() => {
    expect(told).toEqual(['shredded', 'closed'])
  })
  expect(await client.store.queue(client.userId, client.session.id)).toEqual([])
  const replayed: unknown[] = []
  client.session.on('message', (message) => replayed.push(message))
  expect(replayed).toEqual([])
  await expect(client.session.send('c')).rejects.toMatchObject({ reason: 'erased' })
  await expect(client.session.open(stored)).rejects.toMatchObject({ reason: 'not_participant' })
})

test('a session that is not there any more is forgotten, and what waited for it', async () => {
  const { client } = await setup()
  await client.session.send('a')
  await client.store.keepQueued(client.userId, { id: crypto.randomUUID(), session_id: client.session.id, draft: 'x', row: null })
  client.database.lies.session = () => undefined
  const closed = vi.fn()
  client.session.on('closed', closed)
  world.tell('session', world.tables.session)
  await vi.waitFor(() => {
    world.tell('session', world.tables.session)
    expect(closed).toHaveBeenCalled()
  })
  expect(await client.store.queue(client.userId, client.session.id)).toEqual([])
  await expect(client.session.send('c')).rejects.toMatchObject({ reason: 'not_participant' })
  await expect(world.seat(client.userId, client.device, client.store, (database) => {
    database.lies.session = () => undefined
  })).rejects.toMatchObject({ reason: 'not_participant' })
})
