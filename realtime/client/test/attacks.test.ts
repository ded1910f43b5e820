/**
 * What somebody with the database in hand, or a participant, may try with a whole session; forgeries.test.ts has what they may try
 * with a row. Each is refused, shown, and reported for the audit log.
 */
import { afterEach, expect, test, vi } from 'vitest'
import { encodeText } from '../src/bytes.ts'
import type { Badge } from '../src/chat.ts'
import { isWithdrawn, signConsent, verifyWithdrawal } from '../src/consent.ts'
import { signDevice } from '../src/cross.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { makeEpoch } from '../src/epoch.ts'
import { sealMessage, textContent, type Seen } from '../src/message.ts'
import { parseRoster } from '../src/roster.ts'
import type { DeviceRow, MessageRow } from '../src/rows.ts'
import { StrictWatch } from '../src/strict.ts'
import { addDevice, addSignedDevice } from './memory-database.ts'
import { World, texts, type Seat } from './seats.ts'
import { WordDetector } from './strict-world.ts'

let world: World
afterEach(() => world.close())

async function setup(mode: 'strict' | 'assisted' = 'strict'): Promise<{ client: Seat; therapist: Seat; analysis: Device }> {
  world = await World.open(mode)
  return world.pair()
}

const kinds = (seat: Seat): readonly (readonly Badge['kind'][])[] => seat.heard.map((message) => message.badges.map((one) => one.kind))
const stored = (at: number): MessageRow => {
  const row = world.tables.messages[at]
  if (row === undefined) throw new Error(`there is no message ${at}`)
  return row
}
const member = (device: Device, role: number): object => ({ kid: device.kid, role, enc_pub: device.encPub, sig_pub: device.sigPub })

/** Seals as a device's owner would, outside of any client of ours, and stores it: what it says it has seen may be anything. */
async function sealed(by: Seat, text: string, seen: readonly Seen[] = []): Promise<void> {
  const epoch = await by.session.entry.epoch(world.tables.epochs.length)
  const seq = 1 + Math.max(-1, ...world.tables.messages.filter((row) => row.sender_device_id === by.device.kid).map((row) => row.seq))
  const content = textContent(text, new Date(), { seen })
  await by.database.insertMessage(await sealMessage(by.device, epoch, { id: crypto.randomUUID(), seq }, content))
}

test('split view: two people are shown two rows at one position', async () => {
  const { client, therapist } = await setup()
  const none = (): readonly MessageRow[] => []
  client.database.lies.messages = therapist.database.lies.messages = none
  await therapist.session.send('for both')
  await client.session.send('take one pill')
  await client.session.send('take ten pills')
  const ten = { ...stored(2), position: 2 }
  world.tables.messages = [stored(0), stored(1)]
  delete client.database.lies.messages
  therapist.database.lies.messages = (rows) => rows.map((row) => (row.position === 2 ? ten : row))
  await world.arrive(2, client, therapist)
  expect([texts(client), texts(therapist)]).toEqual([['for both', 'take one pill'], ['for both', 'take ten pills']])
  await therapist.session.send('as you say')
  await world.arrive(3, client)
  expect(client.heard[2]).toMatchObject({ text: 'as you say', badges: [{ kind: 'split_view', positions: [2] }] })
  expect(world.reports(client)).toEqual(['messages split_view'])
})

test('withheld tail: what was sent last reaches one person only, until the other answers', async () => {
  const { client, therapist } = await setup()
  therapist.database.lies.messages = (rows) => rows.filter((row) => row.position !== 2)
  await client.session.send('a')
  await client.session.send('do not come tomorrow')
  await world.arrive(2, client)
  await world.arrive(1, therapist)
  await client.session.send('c')
  await world.arrive(2, therapist)
  expect(therapist.heard.map((message) => [message.text, message.missing])).toEqual([['a', 0], ['c', 1]])
  expect(therapist.heard[1]?.badges).toEqual([{ kind: 'withheld', positions: [2] }])
  expect(world.reports(therapist)).toEqual(['messages withheld'])
})

test("withheld middle: another's message is kept from one person, and no seq of the next sender shows it", async () => {
  const { client, therapist } = await setup()
  client.database.lies.messages = (rows) => rows.filter((row) => row.position !== 2)
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  await sealed(therapist, 'kept from the client')
  await world.arrive(2, therapist)
  await therapist.session.send('and this is not')
  await world.arrive(2, client)
  expect(client.heard.map((message) => message.text)).toEqual(['a', 'and this is not'])
  expect(client.heard[1]?.badges).toContainEqual({ kind: 'withheld', positions: [2] })
  expect(world.reports(client)).toContain('messages withheld')
})

test('positions that cannot have been seen, and another chat, are a split view; each position is told of once', async () => {
  const { client, therapist } = await setup()
  for (const text of ['a', 'b']) await client.session.send(text)
  await world.arrive(2, client, therapist)
  await sealed(client, 'c', [[1, 'AAAAAAAAAAA'], [9, 'AAAAAAAAAAA'], [3, 'AAAAAAAAAAA']])
  await sealed(client, 'd', [[1, 'AAAAAAAAAAA']])
  await world.arrive(4, therapist)
  expect(therapist.heard.slice(2).map((message) => message.badges)).toEqual([[{ kind: 'split_view', positions: [1, 9, 3] }], []])
})

test('a roster replaced whole: new keys under the known devices', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, client, therapist)
  const [mine, theirs] = [await makeDevice(client.device.kid), await makeDevice(therapist.device.kid)]
  const roster = await parseRoster([member(mine, 1), member(theirs, 2)])
  const made = await makeEpoch(theirs, { sessionId: world.tables.session.id, number: 2, roster, consentId: null })
  await client.database.createEpoch(made.row)
  const forged = await sealMessage(theirs, made.epoch, { id: crypto.randomUUID(), seq: 0 }, textContent('from nobody', new Date()))
  await therapist.database.insertMessage(forged)
  await world.arrive(2, client)
  expect(client.heard[1]).toMatchObject({ text: null, badge: { kind: 'unreadable', refusal: 'pin' } })
  expect(world.reports(client)).toEqual(['messages pin'])
  const swap = (row: DeviceRow, by: Device): DeviceRow => (row.id === by.kid ? { ...row, enc_pub: by.encPub, sig_pub: by.sigPub } : row)
  world.tables.devices = world.tables.devices.map((row) => swap(row, theirs))
  await world.stir(client)
  await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [theirs.kid] })
})

test.each(['no device', 'a forged signature of one', 'a device of another person'])(
  "an unknown device among those to seal for, vouched for by %s",
  async (voucher) => {
    const { client, therapist } = await setup()
    await client.session.send('a')
    const asked: (readonly string[])[] = []
    client.session.on('devices', (ids) => asked.push(ids))
    const stranger = await makeDevice()
    addDevice(world.tables, therapist.userId, stranger)
    const row = world.tables.devices.at(-1)
    if (row === undefined) throw new Error('the device is there')
    const signature = await signDevice(voucher === 'a device of another person' ? client.device : { ...stranger, kid: therapist.device.kid }, row)
    const by_device_id = voucher === 'a device of another person' ? client.device.kid : therapist.device.kid
    const given = { id: crypto.randomUUID(), device_id: stranger.kid, user_id: therapist.userId, by_device_id, signature, created_at: 'now', refused_at: null }
    if (voucher !== 'no device') world.tables.signatures.push(given)
    world.tables.devices = world.tables.devices.map((one) => (one.id === stranger.kid ? { ...one, admission: 'signed', admitted_by: by_device_id } : one))
    client.database.rotate()
    await world.stir(client)
    await vi.waitFor(() => {
      expect(asked).toEqual([[stranger.kid]])
    })
    await expect(client.session.send('b')).rejects.toMatchObject({ name: 'DeviceChangedError', devices: [stranger.kid] })
    await expect(client.session.acknowledge(stranger.kid)).rejects.toMatchObject({ refusal: 'pin' })
    expect(world.reports(client)).toEqual(['devices device'])
    expect(world.tables.messages).toHaveLength(1)
  },
)

test("a stolen token's device: registered and never vouched for, it stands on no roster and blocks nobody", async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  const thief = await makeDevice()
  await therapist.database.insertDevice({ id: thief.kid, user_id: therapist.userId, enc_pub: thief.encPub, sig_pub: thief.sigPub, label: null })
  client.database.rotate()
  await client.session.send('b')
  expect(client.session.readers.map((row) => row.id)).not.toContain(thief.kid)
  expect(world.tables.wraps.filter((row) => row.device === thief.kid)).toEqual([])
  const stolen = await world.seat(therapist.userId, thief)
  await expect(stolen.session.send('I am the therapist')).rejects.toMatchObject({ reason: 'device_waiting' })
  await vi.waitFor(() => {
    expect(texts(stolen)).toEqual([null, null])
  })
  expect(kinds(stolen)).toEqual([['unreadable'], ['unreadable']])
})

test('a message from a device that was never acknowledged is read, and marked', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  const second = await makeDevice()
  await addSignedDevice(world.tables, therapist.userId, second, therapist.device)
  client.database.rotate()
  const other = await world.seat(therapist.userId, second)
  await other.session.send('from my telephone')
  await world.arrive(2, client)
  expect(client.heard[1]).toMatchObject({ text: 'from my telephone', badge: { kind: 'new_device', deviceId: second.kid } })
  await client.session.acknowledge(second.kid) // it is vouched for
  expect(client.changed.map((message) => [message.text, message.badge])).toEqual([['from my telephone', null]])
})

test.each([['assisted', 'strict'], ['strict', 'assisted']] as const)('the mode goes from %s to %s unasked', async (from, to) => {
  const { client, therapist } = await setup(from)
  if (from === 'assisted') await client.session.consent.give({ text: 'I agree' })
  await client.session.send('a')
  const modes: unknown[] = []
  therapist.session.on('mode', (change) => modes.push(change))
  world.tables.session = { ...world.tables.session, mode: to }
  client.database.rotate()
  await world.stir(therapist)
  for (const seat of [client, therapist]) {
    await expect(seat.session.send('b')).rejects.toMatchObject({ name: 'SessionError', reason: 'mode_changed' })
  }
  expect(modes).toEqual([{ now: to, acknowledged: from }])
  await vi.waitFor(() => {
    expect(world.reports(therapist)).toEqual(['sessions mode'])
  })
  expect(world.tables.epochs).toHaveLength(1)
  await therapist.session.acknowledgeMode(to)
  if (to === 'assisted') { // acknowledged or not: nothing is sealed for the sidecar without a client's signature
    await expect(therapist.session.send('c')).rejects.toMatchObject({ reason: 'consent_missing' })
  }
  expect(modes.at(-1)).toEqual({ now: to, acknowledged: to })
  expect(world.tables.messages).toHaveLength(1)
})

test.each(['', 'over a reload'])('a withdrawn consent brought back, and the mode with it: nothing is sent, nor sealed for the sidecar %s', async (reload) => {
  const { client, analysis } = await setup('assisted')
  const id = await client.session.consent.give({ text: 'I agree' })
  await client.session.send('a')
  const standing = world.tables.consents
  await client.session.consent.withdraw(id, { goOn: 'strict' })
  await client.session.send('b')
  world.tables.consents = standing // as if it had never been withdrawn
  world.tables.session = { ...world.tables.session, mode: 'assisted' }
  client.database.rotate()
  await world.stir(client)
  const seat = reload === '' ? client : await world.reload(client)
  await expect(seat.session.send('c')).rejects.toMatchObject({ reason: 'mode_changed' })
  expect(seat.session.consent.list().map((row) => row.withdrawn_at === null)).toEqual([false])
  await seat.session.acknowledgeMode('assisted') // knowing of the mode is no consent
  await expect(seat.session.send('d')).rejects.toMatchObject({ reason: 'consent_missing' })
  const again = await seat.session.consent.give({ text: 'I agree after all' })
  await seat.session.send('e')
  expect(world.tables.epochs.map((row) => row.consent_id)).toEqual([id, null, again])
  expect(world.tables.wraps.filter((row) => row.device === analysis.kid).map((row) => row.epoch)).toEqual([1, 3])
})

test('a withdrawal that the database takes and does not store stands on the device that signed it', async () => {
  const { client } = await setup('assisted')
  const id = await client.session.consent.give({ text: 'I agree' })
  client.database.withdrawConsent = () => Promise.resolve()
  await client.session.consent.withdraw(id)
  await expect(client.session.send('a')).rejects.toMatchObject({ reason: 'consent_missing' })
})

test('an epoch for the sidecar in a session that nobody consented to is not read', async () => {
  const { client, therapist, analysis } = await setup()
  const roster = await parseRoster([member(client.device, 1), member(therapist.device, 2), member(analysis, 9)])
  const made = await makeEpoch(therapist.device, { sessionId: world.tables.session.id, number: 1, roster, consentId: crypto.randomUUID() })
  await therapist.database.createEpoch(made.row)
  await therapist.database.insertMessage(
    await sealMessage(therapist.device, made.epoch, { id: crypto.randomUUID(), seq: 0 }, textContent('x', new Date())),
  )
  await world.arrive(1, client)
  expect(client.heard[0]).toMatchObject({ text: null, readers: [], badge: { kind: 'unreadable', refusal: 'consent' } })
  expect(world.reports(client)).toEqual(['messages consent'])
})

test.each([
  ['a lower suite', (): number => 1],
  ['an unknown suite', (): number => 3],
])('mixed suites: an epoch of %s is not read, and not sent under', async (_, suite) => {
  const { client, therapist } = await setup()
  therapist.database.lies.epochs = (rows) => rows.map((row) => (row.epoch === 2 ? { ...row, suite: suite() } : row))
  await client.session.send('a')
  client.database.rotate()
  await client.session.send('b')
  await world.arrive(2, therapist)
  expect(kinds(therapist)).toEqual([[], ['unreadable']])
  expect(therapist.heard[1]?.badge).toEqual({ kind: 'unreadable', refusal: 'suite' })
  expect(world.reports(therapist)).toEqual(['messages suite'])
})

test('mixed suites: an epoch of this suite that follows one of a higher suite is refused', async () => {
  const { client, therapist } = await setup()
  therapist.database.lies.epochs = (rows) => rows.map((row) => (row.epoch === 1 ? { ...row, suite: 3 } : row))
  for (const text of ['a', 'b']) {
    await client.session.send(text)
    client.database.rotate()
  }
  await world.arrive(2, therapist)
  expect(therapist.heard.map((message) => message.badge)).toEqual(Array(2).fill({ kind: 'unreadable', refusal: 'suite' }))
})

test('suite lowered: what was once verified under a higher suite is remembered over a reload', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, therapist)
  const pin = await therapist.store.sessionPin(therapist.userId, world.tables.session.id)
  expect(pin).toMatchObject({ suite: 2, epoch: 1 })
  if (pin === undefined) throw new Error('nothing is pinned')
  await therapist.store.changeSessionPin(therapist.userId, world.tables.session.id, () => ({ ...pin, suite: 3 })) // a later version's work
  client.database.rotate()
  await client.session.send('b')
  const later = await world.reload(therapist)
  await vi.waitFor(() => {
    expect(later.heard.map((message) => message.badge)).toEqual([null, { kind: 'unreadable', refusal: 'suite' }])
  })
})

test('min_epoch lowered: an epoch that was given up is not sent under again', async () => {
  const { client } = await setup()
  await client.session.send('a')
  client.database.rotate()
  await world.stir(client)
  client.database.lies.session = (row) => ({ ...row, min_epoch: 1 })
  await world.stir(client)
  await client.session.send('b')
  expect(world.tables.messages.map((row) => row.epoch)).toEqual([1, 2])
  await world.stir(client)
  expect(world.reports(client)).toEqual(['sessions epoch'])
  expect(client.errors).toMatchObject([{ name: 'EnvelopeError', refusal: 'epoch' }]) // told once
})

test('the newest epoch hidden: an older one is not sent under again, and nothing is sent', async () => {
  const { client } = await setup()
  await client.session.send('a')
  client.database.rotate()
  await client.session.send('b')
  client.database.lies = { epochs: (rows) => rows.filter((row) => row.epoch < 2), session: (row) => ({ ...row, min_epoch: 1 }) }
  const later = await world.reload(client, (database) => {
    database.lies = client.database.lies
  })
  await expect(later.session.send('c')).rejects.toMatchObject({ name: 'SessionError' })
  expect(world.reports(client)).toContain('sessions epoch')
  expect(world.tables.messages).toHaveLength(2)
})

test('a row replayed under a new id, at a new position', async () => {
  const { client, therapist } = await setup()
  await client.session.send('yes')
  await world.arrive(1, therapist)
  world.tables.messages.push({ ...stored(0), id: crypto.randomUUID(), position: 2, seq: 1 })
  await world.arrive(2, therapist)
  expect(therapist.heard[1]).toMatchObject({ text: null, badge: { kind: 'unreadable', refusal: 'signature' } })
  expect(world.reports(therapist)).toEqual(['messages signature'])
})

test('a recovery key that stands where a participant does, and one that would send', async () => {
  const { client, therapist } = await setup()
  const recovery = await makeDevice()
  await addSignedDevice(world.tables, client.userId, recovery, client.device)
  world.tables.devices = world.tables.devices.map((row) => (row.id === recovery.kid ? { ...row, kind: 'recovery' } : row))
  const forged = async (role: number, number: number, by: Device): Promise<void> => {
    const roster = await parseRoster([member(client.device, 1), member(therapist.device, 2), member(recovery, role)])
    const made = await makeEpoch(by, { sessionId: world.tables.session.id, number, roster, consentId: null })
    await client.database.createEpoch(made.row)
    await client.database.insertMessage(await sealMessage(by, made.epoch, { id: crypto.randomUUID(), seq: 0 }, textContent('x', new Date())))
  }
  await forged(1, 1, recovery)
  await world.arrive(1, therapist)
  expect(therapist.heard[0]?.badge).toEqual({ kind: 'unreadable', refusal: 'roster' })
  await expect(forged(4, 2, recovery)).rejects.toMatchObject({ refusal: 'roster' })
  expect(world.reports(therapist)).toContain('messages roster')
})

test('a strict message that is called assisted counts as what its roster says: it is scored on the devices', async () => {
  const { client, therapist } = await setup()
  therapist.database.lies.messages = (rows) => rows.map((row) => ({ ...row, assisted: true }))
  const watch = new StrictWatch(therapist.session, new WordDetector(), { graceMs: 0, clinician: true })
  await client.session.send('something grave')
  await world.arrive(1, therapist)
  await watch.settled()
  watch.close()
  expect(therapist.heard[0]).toMatchObject({ text: 'something grave', watched: false })
  expect(world.reports(therapist)).toEqual(['messages mode'])
  expect(world.tables.scores.map((score) => [score.message_id, score.side])).toEqual([[stored(0).id, 'clinician']])
  expect(watch.badgesOf(stored(0).id)).toEqual([{ kind: 'unscored' }])
})

test('an assisted message that is called strict is shown as watched', async () => {
  const { client, therapist } = await setup('assisted')
  await client.session.consent.give({ text: 'I agree' })
  therapist.database.lies.messages = (rows) => rows.map((row) => ({ ...row, assisted: false }))
  await client.session.send('a')
  await world.arrive(1, therapist)
  expect(therapist.heard[0]).toMatchObject({ text: 'a', watched: true })
  expect(world.reports(therapist)).toEqual(['messages mode'])
})

test('one message shown at two positions is shown once, and later ones are not lost for it', async () => {
  const { client, therapist } = await setup()
  await client.session.send('yes')
  await client.session.send('no')
  const [yes, no] = [stored(0), stored(1)]
  therapist.database.lies.messages = (rows) => [yes, { ...yes, position: 2 }, { ...no, position: 3 }].filter((row) => rows.length > 0 && row.position > therapist.heard.length)
  await world.arrive(3, therapist)
  expect(texts(therapist)).toEqual(['yes', null, 'no'])
  expect(therapist.heard[1]).toMatchObject({ readers: [], badge: { kind: 'unreadable', refusal: 'replay' } })
  expect(world.reports(therapist)).toEqual(['messages split_view'])
})

test("a sender's messages in another order, and at another time, than they were signed in", async () => {
  const { client, therapist } = await setup()
  const none = (): readonly MessageRow[] => []
  therapist.database.lies.messages = none
  for (const text of ['shall I take them?', 'no', 'all is well']) await client.session.send(text)
  const late = new Date(Date.now() + 3_600_000).toISOString()
  const [a, b, c] = [stored(0), { ...stored(2), position: 2 }, { ...stored(1), position: 3, created_at: late }]
  world.tables.messages = [a, b, c]
  delete therapist.database.lies.messages
  await world.arrive(3, therapist)
  expect(therapist.heard.map((message) => [message.text, message.missing])).toEqual([['shall I take them?', 0], ['all is well', 1], ['no', 0]])
  expect(kinds(therapist).map((badges) => badges.includes('out_of_order'))).toEqual([false, false, true])
  expect(therapist.heard.map((message) => message.writtenAt !== undefined)).toEqual([false, false, true])
  expect(therapist.heard[2]?.writtenAt?.getTime()).toBeLessThan(Date.now())
})

test('a forged row does not hide that messages are missing after it', async () => {
  const { client, therapist } = await setup()
  therapist.database.lies.messages = (): readonly MessageRow[] => []
  for (const text of ['a', 'b', 'c']) await client.session.send(text)
  world.tables.messages = [stored(0), { ...stored(1), id: crypto.randomUUID(), seq: 1000 }, stored(2)]
  delete therapist.database.lies.messages
  await world.arrive(3, therapist)
  expect(therapist.heard.map((message) => [message.text, message.missing])).toEqual([['a', 0], [null, 0], ['c', 1]])
  expect(world.reports(therapist)).toEqual(expect.arrayContaining(['messages signature', 'messages withheld']))
})

test('what opens late is held against what was shown, as is what comes in time', async () => {
  const { client, therapist } = await setup()
  await client.session.send('a')
  await world.arrive(1, therapist)
  await sealed(client, 'b', [[1, 'AAAAAAAAAAA']])
  await sealed(client, 'c')
  const wraps = world.tables.wraps.splice(0)
  const later = await world.reload(therapist)
  await world.arrive(3, later)
  expect(kinds(later)).toEqual([['unreadable'], ['unreadable'], ['unreadable']])
  world.tables.wraps.push(...wraps)
  await world.stir(later)
  await vi.waitFor(() => {
    expect(later.changed.map((message) => message.text)).toEqual(['a', 'b', 'c'])
  })
  expect(later.changed[1]?.badges).toEqual([{ kind: 'split_view', positions: [1] }])
  expect(world.reports(therapist)).toEqual(['messages split_view'])
})

test('a stolen token withdraws a consent: nobody goes on as if it stood, and whoever looks sees that no device signed it', async () => {
  const { client, therapist } = await setup('assisted')
  const id = await client.session.consent.give({ text: 'I agree' })
  await client.session.send('a')
  const told: unknown[] = []
  client.session.on('consent', (consents) => told.push(consents.map((one) => isWithdrawn(one))))
  await client.database.withdrawConsent(id, encodeText(new Uint8Array(64))) // SQL verifies no signature
  await world.stir(client)
  await world.stir(therapist)
  for (const seat of [client, therapist]) await expect(seat.session.send('b')).rejects.toMatchObject({ reason: 'consent_missing' })
  expect(told.at(-1)).toEqual([true])
  const [withdrawn] = client.session.consent.list()
  if (withdrawn === undefined) throw new Error('the consent is not listed')
  expect(await verifyWithdrawal(withdrawn, client.device.sig.publicKey)).toBe(false)
  await client.session.consent.give({ text: 'I still agree' })
  await therapist.session.send('c')
  expect(world.tables.messages).toHaveLength(2)
})

test('a stolen token consents, and makes an epoch: both are refused, and the next sender makes one that is sound', async () => {
  const { client, therapist } = await setup('assisted')
  const stranger = await makeDevice()
  const consent = await signConsent(stranger, { id: crypto.randomUUID(), sessionId: world.tables.session.id, text: 'I agree', scope: ['analysis'] })
  await client.database.insertConsent({ ...consent, device_id: client.device.kid })
  await world.stir(therapist)
  await expect(therapist.session.send('a')).rejects.toMatchObject({ reason: 'consent_missing' })
  await client.session.consent.give({ text: 'I do agree' })
  await therapist.session.send('b')
  expect(world.tables.messages).toHaveLength(1)
  const standing = world.tables.epochs[0]
  if (standing === undefined) throw new Error('there is no epoch')
  world.tables.epochs = [...world.tables.epochs, { ...standing, epoch: 2, key_commit: encodeText(new Uint8Array(32)), signature: encodeText(new Uint8Array(64)) }]
  await world.stir(therapist)
  await therapist.session.send('c')
  expect(world.tables.epochs.map((row) => row.epoch)).toEqual([1, 2, 3])
  expect(world.tables.messages.at(-1)?.epoch).toBe(3)
})
