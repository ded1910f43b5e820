/** Who takes part in a session, and as what, when somebody has the database in hand: nobody comes in, or changes roles, unasked. */
import { afterEach, expect, test, vi } from 'vitest'
import { makeDevice, type Device } from '../src/device.ts'
import { makeEpoch } from '../src/epoch.ts'
import { sealMessage, textContent } from '../src/message.ts'
import { parseRoster } from '../src/roster.ts'
import type { ParticipantRow } from '../src/rows.ts'
import { addDevice, join } from './memory-database.ts'
import { World, type Seat } from './seats.ts'

let world: World
afterEach(() => world.close())

async function setup(): Promise<{ client: Seat; therapist: Seat; analysis: Device }> {
  world = await World.open('strict')
  return world.pair()
}

const member = (device: Device, role: number): object => ({ kid: device.kid, role, enc_pub: device.encPub, sig_pub: device.sigPub })

test('a participant whom the database adds to a running conversation is let in by nobody but a person', async () => {
  const { client } = await setup()
  await client.session.send('a')
  const asked: (readonly string[])[] = []
  client.session.on('devices', (ids) => asked.push(ids))
  const stranger = await makeDevice()
  addDevice(world.tables, join(world.tables, 'therapist'), stranger)
  client.database.rotate()
  await world.stir(client)
  await vi.waitFor(() => {
    expect(asked).toEqual([[stranger.kid]])
  })
  await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [stranger.kid] })
  const later = await world.reload(client)
  await expect(later.session.send('c')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [stranger.kid] })
  expect(world.tables.wraps.filter((row) => row.device === stranger.kid)).toEqual([])
  await later.session.acknowledge(stranger.kid)
  await later.session.send('d')
  expect(world.tables.wraps.map((row) => row.device)).toContain(stranger.kid)
})

test('people who are there before anything was sent are let in, and a stranger who leaves again blocks nobody', async () => {
  const { client, therapist } = await setup()
  const third = await makeDevice()
  const stranger = join(world.tables, 'therapist')
  addDevice(world.tables, stranger, third)
  await world.stir(client)
  await client.session.send('a')
  expect(world.tables.wraps.map((row) => row.device)).toContain(third.kid)
  const asked: (readonly string[])[] = []
  client.session.on('devices', (ids) => asked.push(ids))
  const fourth = await makeDevice()
  addDevice(world.tables, join(world.tables, 'therapist'), fourth)
  await world.stir(client)
  world.tables.devices = world.tables.devices.map((row) => (row.id === fourth.kid ? { ...row, revoked_at: new Date().toISOString() } : row))
  await world.stir(client)
  await vi.waitFor(() => {
    expect(asked).toEqual([[fourth.kid], []])
  })
  await client.session.send('b')
  expect(therapist.errors).toEqual([])
})

test('a participant who was removed, and whom the database brings back, is let in by nobody but a person', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  const end = (ended_at: string | null): void => {
    world.tables.participants = world.tables.participants.map((row) => (row.user_id === therapist.userId ? { ...row, ended_at } : row))
    client.database.rotate()
  }
  end(new Date().toISOString())
  await world.stir(client)
  await client.session.send('b')
  end(null)
  await world.stir(client)
  await expect(client.session.send('c')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [therapist.device.kid] })
  expect(world.tables.wraps.filter((row) => row.device === therapist.device.kid).map((row) => row.epoch)).toEqual([1])
  await client.session.acknowledge(therapist.device.kid)
  await client.session.send('d')
})

test('a participant who is brought back with another key under the same device is refused as that, not let in as somebody new', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  const thief = await makeDevice(therapist.device.kid)
  const live = world.tables.participants
  world.tables.participants = live.map((row) => (row.user_id === therapist.userId ? { ...row, ended_at: new Date().toISOString() } : row))
  await world.stir(client)
  world.tables.participants = live
  world.tables.devices = world.tables.devices.map((row) => (row.id === thief.kid ? { ...row, enc_pub: thief.encPub, sig_pub: thief.sigPub } : row))
  client.database.rotate()
  await world.stir(client)
  await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [thief.kid] })
  await expect(client.session.acknowledge(thief.kid)).rejects.toMatchObject({ refusal: 'pin' })
  expect(world.reports(client)).toEqual(['devices device'])
})

test('a clinician whom the database makes a client: not sent to, no consent, and not read', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  const lie = (rows: readonly ParticipantRow[]): readonly ParticipantRow[] => rows.map((row) => (row.user_id === therapist.userId ? { ...row, role: 'client' } : row))
  client.database.lies.participants = lie
  client.database.rotate()
  await world.stir(client)
  await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [therapist.device.kid] })
  const roster = await parseRoster([member(client.device, 1), member(therapist.device, 1)])
  const made = await makeEpoch(therapist.device, { sessionId: world.tables.session.id, number: 2, roster, consentId: null })
  await therapist.database.createEpoch(made.row)
  await therapist.database.insertMessage(await sealMessage(therapist.device, made.epoch, { id: crypto.randomUUID(), seq: 0 }, textContent('x', new Date())))
  await world.arrive(2, client)
  expect(client.heard[1]?.badge).toEqual({ kind: 'unreadable', refusal: 'roster' })
  expect(world.reports(client)).toEqual(['messages roster'])
  await client.session.acknowledge(therapist.device.kid) // a person says that it is right
  await client.session.send('c')
})

test("a device of one's own that was revoked is told so, and sends nothing", async () => {
  const { client } = await setup()
  await client.session.send('a')
  world.tables.devices = world.tables.devices.map((row) => (row.id === client.device.kid ? { ...row, revoked_at: new Date().toISOString() } : row))
  await world.stir(client)
  await expect(client.session.send('b')).rejects.toMatchObject({ reason: 'device_waiting' })
  await expect(client.session.send('b')).rejects.toThrow('was revoked')
  expect(world.tables.epochs).toHaveLength(1)
})
