/** A person's devices: the first, the second by code, and what becomes of history when one is lost. */
import { describe, expect, test, vi } from 'vitest'
import { ResetWords } from '../src/devices.ts'
import { makeDevice } from '../src/device.ts'
import { DeviceChangedError, EnvelopeError, RequestError, SessionError } from '../src/failure.ts'
import { signGrant, verifyGrant } from '../src/grant.ts'
import { historyOf } from '../src/history.ts'
import { Pins } from '../src/pins.ts'
import { shareHistory } from '../src/share.ts'
import { MemoryStore } from '../src/memory.ts'
import { browser, reads, write, type Browser } from './browser.ts'
import { MemoryDatabase, join, newTables, runSidecar, type Tables } from './memory-database.ts'

interface Bench {
  readonly tables: Tables
  readonly userId: string
  readonly first: Browser
}

async function setup(epochs = 3): Promise<Bench> {
  const tables = newTables('strict')
  const userId = join(tables, 'client')
  const first = await browser(tables, userId)
  for (let i = 0; i < epochs; i++) await write(tables, first)
  return { tables, userId, first }
}

describe('a first device', () => {
  test('is usable at once, and says that all there is is on it alone', async () => {
    const { first } = await setup()
    expect(first.devices.state).toBe('usable')
    expect(first.told.device).toEqual(['usable'])
    expect(first.devices.history).toEqual({ here: 'whole', recovery: 'unset', otherDevices: 0, state: 'only_here' })
  })

  test('is the same after the page was closed', async () => {
    const { tables, userId, first } = await setup()
    const again = await browser(tables, userId, first.store)
    expect(again.devices.device.kid).toBe(first.devices.device.kid)
    expect(again.devices.state).toBe('usable')
    expect(tables.devices).toHaveLength(1)
  })
})

describe('a second device', () => {
  test('waits, is admitted by its code, and reads what came before it', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    expect(second.devices.state).toBe('waiting')
    expect(second.devices.history).toEqual({ here: 'none', recovery: 'unset', otherDevices: 1, state: 'locked' })
    await first.devices.look()
    expect(first.told.waiting.at(-1)?.map((one) => one.id)).toEqual([second.devices.device.kid])
    expect(JSON.stringify(first.told.waiting)).not.toContain(second.devices.code)

    expect(await first.devices.approve(second.devices.code.toLowerCase().replaceAll('-', ' '))).toBe(second.devices.device.kid)
    await second.devices.look()
    expect(second.told.device).toEqual(['waiting', 'usable'])
    for (const epoch of [1, 2, 3]) expect(await reads(tables, second, epoch)).toBe(true)
    expect(second.devices.history).toEqual({ here: 'whole', recovery: 'unset', otherDevices: 1, state: 'safe' })
    expect(first.devices.history.state).toBe('safe')
    expect(first.told.waiting.at(-1)).toEqual([])
    // who was let in stands there, signed; nobody of the two has anything left to acknowledge
    expect(tables.readers.map((row) => [row.epoch, row.role, row.reason]).sort()).toEqual([[1, 1, 'history'], [2, 1, 'history'], [3, 1, 'history']])
    for (const row of tables.readers) {
      const wrap = tables.wraps.find((one) => one.epoch === row.epoch && one.device === row.device_id)?.wrap ?? ''
      expect(await verifyGrant({ ...row, wrap }, first.devices.device.sigPub, row.signature)).toBe(true)
    }
    for (const one of [first, second]) expect(one.told.unacknowledged.at(-1)).toEqual([])
  })

  test('is not admitted by a code that is another’s, mistyped, or shared by two', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    const { code } = second.devices
    for (const wrong of ['', first.devices.code, `${code.slice(0, -1)}${code.endsWith('0') ? '1' : '0'}`, code.slice(0, 9)]) {
      await expect(first.devices.approve(wrong)).rejects.toMatchObject({ name: 'EnvelopeError', refusal: 'pin' })
    }
    const twin = tables.devices.find((row) => row.id === second.devices.device.kid)
    if (twin === undefined) throw new Error('it is there')
    tables.devices.push(twin)
    await expect(first.devices.approve(code)).rejects.toMatchObject({ refusal: 'pin' })
    expect(tables.signatures).toEqual([])
  })

  test('under a thief’s keys has another code: what the person reads off admits only what they hold', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    const thief = await makeDevice()
    tables.devices = tables.devices.map((row) =>
      row.id === second.devices.device.kid ? { ...row, enc_pub: thief.encPub, sig_pub: thief.sigPub } : row)
    await expect(first.devices.approve(second.devices.code)).rejects.toBeInstanceOf(EnvelopeError)
  })

  test('cannot approve, nor share, while it waits itself', async () => {
    const { tables, userId, first } = await setup()
    const [second, third] = [await browser(tables, userId), await browser(tables, userId)]
    await expect(second.devices.approve(third.devices.code)).rejects.toMatchObject({ reason: 'device_waiting' })
    await expect(second.devices.shareHistory(third.devices.device.kid)).rejects.toBeInstanceOf(SessionError)
    await expect(first.devices.shareHistory(second.devices.device.kid)).rejects.toMatchObject({ reason: 'device_waiting' })
  })

  test('that no sidecar admits in time gets its history when one does', async () => {
    const { tables, userId, first } = await setup()
    tables.sidecar = false
    const second = await browser(tables, userId)
    const approval = first.devices.approve(second.devices.code).catch((thrown: unknown) => thrown)
    const ended = { it: false }
    void approval.then(() => {
      ended.it = true
    })
    while (!ended.it) { // a minute passes
      first.clock.wake()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await approval).toMatchObject({ reason: 'device_waiting' })
    await runSidecar(tables)
    await first.devices.look()
    await second.devices.look()
    expect(second.devices.state).toBe('usable')
    expect(await reads(tables, second, 1)).toBe(true)
    expect(second.devices.history.here).toBe('whole')
  })

  test('whose signature was false says so, and is admitted by a true one', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    await first.database.admitRequest({
      device_id: second.devices.device.kid, user_id: userId, by_device_id: first.devices.device.kid, signature: 'A'.repeat(86),
    })
    await second.devices.look()
    expect(second.devices.state).toBe('refused')
    await first.devices.approve(second.devices.code)
    await second.devices.look()
    expect(second.told.device).toEqual(['waiting', 'refused', 'usable'])
  })
})

describe('a device that only the database admitted', () => {
  test('is given nothing, and is shown as one that nobody has confirmed', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    const kid = second.devices.device.kid
    tables.devices = tables.devices.map((row) => (row.id === kid
      ? { ...row, admitted_at: new Date().toISOString(), admission: 'signed', admitted_by: first.devices.device.kid } : row))
    await first.devices.look()
    expect(first.told.unacknowledged.at(-1)).toEqual([kid])
    expect(first.pins.isUnsigned(kid)).toBe(true)
    expect(tables.readers).toEqual([])
    await expect(first.devices.shareHistory(kid)).rejects.toBeInstanceOf(DeviceChangedError)
    await expect(first.devices.acknowledge(kid)).rejects.toMatchObject({ refusal: 'pin' })
    await first.devices.acknowledge(kid, { unsigned: true })
    expect(await reads(tables, second, 1)).toBe(true)
  })
})

describe('history', () => {
  test('an interrupted sharing goes on at the next look, and what is forged is left out', async () => {
    const { tables, userId, first } = await setup(5)
    tables.epochs = tables.epochs.map((row) => (row.epoch === 2 ? { ...row, key_commit: 'A'.repeat(43) } : row))
    const second = await browser(tables, userId)
    first.database.fail('shareEpochs', 'before')
    await expect(first.devices.approve(second.devices.code)).rejects.toBeInstanceOf(RequestError)
    expect(tables.readers).toEqual([])
    await first.devices.look()
    expect(tables.readers.map((row) => row.epoch).sort()).toEqual([1, 3, 4, 5])
    await first.devices.look() // and it does not try for ever
    expect(first.database.calls.filter((name) => name === 'shareEpochs')).toHaveLength(2)
    await second.devices.look()
    expect(second.devices.history).toMatchObject({ here: 'part', state: 'locked' })
  })

  test('many epochs go in batches that the database takes, newest first', async () => {
    const { tables, userId, first } = await setup(5)
    const second = await browser(tables, userId)
    const row = tables.devices.find((one) => one.id === second.devices.device.kid)
    if (row === undefined) throw new Error('it is there')
    tables.devices = tables.devices.map((one) => ({ ...one, admitted_at: one.created_at }))
    const deps = { ...first, userId, by: first.devices.device, batch: 2 }
    expect(await shareHistory(deps, row)).toEqual({ shared: 5, missing: 0 })
    expect(first.database.calls.filter((name) => name === 'shareEpochs')).toHaveLength(3)
    expect(tables.readers.map((one) => one.epoch)).toEqual([5, 4, 3, 2, 1])
    expect(await shareHistory(deps, row)).toEqual({ shared: 0, missing: 0 })
  })

  test('that somebody wrote over with a stolen token is noticed on both devices, and mended by the one that has it', async () => {
    const { tables, userId, first } = await setup(3)
    const second = await browser(tables, userId)
    await first.devices.approve(second.devices.code)
    await second.devices.look()
    expect(second.devices.history).toMatchObject({ here: 'whole', state: 'safe' })
    const overwrite = (change: Partial<Tables['readers'][number]>): void => {
      tables.wraps = tables.wraps.map((row) => (row.device === second.devices.device.kid && row.epoch === 2 ? { ...row, wrap: 'A'.repeat(151) } : row))
      tables.readers = tables.readers.map((row) => (row.epoch === 2 ? { ...row, ...change } : row))
    }
    const another = await makeDevice()
    for (const change of [{}, { signature: 'A'.repeat(86) }, { by_device_id: second.devices.device.kid }, { by_device_id: another.kid }]) {
      overwrite(change)
      const reopened = await browser(tables, userId, second.store)
      expect(reopened.devices.history, JSON.stringify(change)).toMatchObject({ here: 'part', state: 'locked' })
      expect(await reads(tables, reopened, 2)).toBe(false)
      const mender = await browser(tables, userId, first.store)
      expect(mender.devices.history).toMatchObject({ here: 'whole', state: 'safe' })
      await reopened.devices.look()
      expect(reopened.devices.history).toMatchObject({ here: 'whole', state: 'safe' })
      expect(await reads(tables, reopened, 2)).toBe(true)
    }
  })

  test('that somebody replaced with a stolen token is restored, though its giver is gone, by the device itself or another', async () => {
    const { tables, userId, first } = await setup(3)
    const [second, third] = [await browser(tables, userId), await browser(tables, userId)]
    for (const one of [second, third]) {
      await first.devices.approve(one.devices.code)
      for (const each of [second, third]) await each.devices.look()
    }
    for (const row of tables.devices) for (const each of [second, third]) await each.pins.acknowledge(row)
    const kid = second.devices.device.kid
    const lost = first.devices.device.kid
    await second.devices.revoke(lost) // after it gave
    const thief = new MemoryDatabase(tables, userId)
    const garbage = (epoch: number, letter: string): Promise<number> =>
      thief.shareEpochs(kid, third.devices.device.kid, [{ session_id: tables.session.id, epoch, wrap: letter.repeat(151), signature: letter.repeat(86) }])
    for (const letter of ['A', 'Q', 'g']) expect(await garbage(2, letter)).toBe(1)
    tables.wraps = tables.wraps.filter((row) => row.device !== third.devices.device.kid) // nobody else could share it again
    expect(await reads(tables, second, 2)).toBe(false)
    const reopened = await browser(tables, userId, second.store)
    expect(await reads(tables, reopened, 2)).toBe(true)
    expect(reopened.devices.history.here).toBe('whole')
    expect(tables.readers.find((row) => row.device_id === kid && row.epoch === 2)?.by_device_id).toBe(lost)

    expect(await garbage(3, 'w')).toBe(1)
    tables.wraps = tables.wraps.filter((row) => row.device !== third.devices.device.kid)
    await browser(tables, userId, third.store)
    expect(await reads(tables, second, 3)).toBe(true)
  })

  test('that was replaced is not restored to what no known device of the person gave', async () => {
    const { tables, userId, first } = await setup(2)
    const second = await browser(tables, userId)
    await first.devices.approve(second.devices.code)
    await second.devices.look()
    const [kid, thief] = [second.devices.device.kid, await makeDevice()]
    for (const row of tables.readers) {
      const wrap = tables.wraps.find((one) => one.epoch === row.epoch && one.device === kid)?.wrap ?? ''
      const terms = { ...row, by_device_id: thief.kid, wrap }
      tables.formers.push({ ...terms, signature: await signGrant(thief, terms), given_at: row.created_at })
      tables.formers.push({ ...row, wrap: 'A'.repeat(151), given_at: row.created_at })
    }
    tables.readers = tables.readers.map((row) => ({ ...row, signature: 'A'.repeat(86) }))
    const reopened = await browser(tables, userId, second.store)
    expect(reopened.database.calls).toContain('formers')
    expect(tables.readers.map((row) => row.signature)).toEqual(Array(2).fill('A'.repeat(86)))
  })

  test('is looked at again after a while, though nothing of the devices changed', async () => {
    const { tables, userId, first } = await setup(2)
    const second = await browser(tables, userId)
    await first.devices.approve(second.devices.code)
    tables.readers = tables.readers.map((row) => ({ ...row, signature: 'A'.repeat(86) }))
    await first.devices.look()
    expect(tables.readers.map((row) => row.signature)).toEqual(Array(2).fill('A'.repeat(86)))
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 16 * 60_000)
    await first.devices.look()
    vi.restoreAllMocks()
    expect(tables.readers.map((row) => row.signature)).not.toContain('A'.repeat(86))
  })

  const held = (device: string, ...epochs: readonly number[]): { session_id: string; epoch: number; device_id: string; verified: boolean }[] =>
    epochs.map((epoch) => ({ session_id: 's', epoch, device_id: device, verified: true }))
  const bad = (device: string, ...epochs: readonly number[]) => held(device, ...epochs).map((one) => ({ ...one, verified: false }))

  test.each([
    ['nothing anywhere', [], 'usable', { here: 'whole', state: 'safe', otherDevices: 1 }],
    ['nothing anywhere, and no other', [], 'revoked', { here: 'whole', state: 'only_here', otherDevices: 0 }],
    ['all on both', [...held('here', 1, 2), ...held('other', 1, 2)], 'usable', { here: 'whole', state: 'safe' }],
    ['more here', [...held('here', 1, 2), ...held('other', 2)], 'usable', { here: 'whole', state: 'only_here' }],
    ['more there', [...held('here', 2), ...held('other', 1, 2)], 'usable', { here: 'part', state: 'locked' }],
    ['all there', held('other', 1, 2), 'usable', { here: 'none', state: 'locked' }],
    ['there, and revoked', held('other', 1, 2), 'revoked', { here: 'none', state: 'lost', otherDevices: 0 }],
    ['some there, and revoked', [...held('here', 2), ...held('other', 1, 2)], 'revoked', { here: 'part', state: 'lost' }],
    ['all on both, but one there does not count', [...held('here', 1, 2), ...held('other', 1), ...bad('other', 2)], 'usable', { here: 'whole', state: 'only_here' }],
    ['all on both, but one here does not count', [...held('here', 1), ...bad('here', 2), ...held('other', 1, 2)], 'usable', { here: 'part', state: 'locked' }],
    ['nothing that counts', [...bad('here', 1), ...bad('other', 1)], 'usable', { here: 'none', state: 'lost' }],
    ['all here, the other revoked', [...held('here', 1), ...held('other', 1)], 'revoked', { here: 'whole', state: 'only_here' }],
  ] as const)('%s', async (_, wraps, other, expected) => {
    const tables = newTables('strict')
    const database = new MemoryDatabase(tables, 'someone')
    for (const id of ['here', 'other']) {
      await database.insertDevice({ id, user_id: 'someone', enc_pub: '', sig_pub: '', label: null })
    }
    const devices = tables.devices.map((row) => ({ ...row, admitted_at: 'x', revoked_at: row.id === 'other' && other === 'revoked' ? 'x' : null }))
    expect(historyOf(wraps, devices, 'here')).toMatchObject(expected)
    const recovery = devices.map((row) => (row.id === 'other' ? { ...row, kind: 'recovery' as const } : row))
    expect(historyOf(wraps, recovery, 'here').recovery).toBe(other === 'revoked' ? 'unset' : 'set')
  })
})

describe('a lost device', () => {
  test('is revoked from another; it says so, opens nothing new, and is replaced only when it is told to', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    await first.devices.approve(second.devices.code)
    await second.devices.look()
    const lost = first.devices.device.kid
    await second.devices.revoke(lost)
    const epoch = await write(tables, second)
    expect(await reads(tables, first, epoch)).toBe(false)

    const again = await browser(tables, userId, first.store)
    expect(again.devices.state).toBe('revoked')
    expect(again.devices.device.kid).toBe(lost)
    await expect(again.devices.approve('')).rejects.toMatchObject({ reason: 'device_waiting' })
    await again.devices.renew()
    expect(again.renewals()).toBe(1)
    expect(again.devices.device.kid).not.toBe(lost)
    expect(again.devices.state).toBe('waiting')
    await second.devices.approve(again.devices.code)
    await again.devices.look()
    expect(await reads(tables, again, epoch)).toBe(true)
    await expect(again.devices.renew()).rejects.toMatchObject({ reason: 'not_active' })
  })

  test('is not replaced without the words while its keys are the last for any of the history', async () => {
    const { tables, userId, first } = await setup()
    const kid = first.devices.device.kid
    await first.devices.revoke(kid)
    expect(first.devices.history.state).toBe('only_here')
    await expect(first.devices.renew()).rejects.toMatchObject({ reason: 'not_active' })
    const second = await browser(tables, userId)
    await second.devices.reset(ResetWords)
    const epoch = await write(tables, second)
    await first.devices.look()
    expect(first.devices.history).toMatchObject({ here: 'part', state: 'locked' })
    await expect(first.devices.renew()).rejects.toMatchObject({ reason: 'not_active' })
    expect((await first.store.device('test'))?.kid).toBe(kid)
    expect(await reads(tables, first, 1)).toBe(true)
    await first.devices.renew(ResetWords)
    expect(first.devices.device.kid).not.toBe(kid)
    expect(await reads(tables, first, epoch)).toBe(false)
  })

  test('is not replaced without the words while it keeps messages that only it can send', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    await first.devices.approve(second.devices.code)
    await first.devices.revoke(first.devices.device.kid)
    expect(first.devices.history.state).toBe('safe')
    await first.store.keepQueued('test', { id: crypto.randomUUID(), session_id: tables.session.id, draft: 'sealed', row: null })
    await expect(first.devices.renew()).rejects.toMatchObject({ reason: 'not_active' })
    expect(await first.store.queue('test')).toHaveLength(1)
    await first.devices.renew(ResetWords)
    expect(first.devices.state).toBe('waiting')
  })

  test('the last one: without recovery the history is lost, which a reset asks for in words', async () => {
    const { tables, userId, first } = await setup()
    await first.devices.revoke(first.devices.device.kid)
    const next = await browser(tables, userId)
    expect(next.devices.state).toBe('waiting')
    expect(next.devices.history).toMatchObject({ here: 'none', state: 'lost' })
    // @ts-expect-error -- what a program without types may pass
    await expect(next.devices.reset('yes')).rejects.toMatchObject({ reason: 'not_active' })
    expect(next.devices.state).toBe('waiting')
    await next.devices.reset(ResetWords)
    expect(next.told.device).toEqual(['waiting', 'usable'])
    expect(next.devices.history.state).toBe('lost')
    expect(await reads(tables, next, 1)).toBe(false)

    const friend = new Pins(new MemoryStore(), 'friend') // who knew the first one
    const before = tables.devices.filter((row) => row.id === first.devices.device.kid)
    await friend.meet(before, [])
    expect(await friend.meet(tables.devices, tables.signatures)).toEqual([next.devices.device.kid])
    expect(friend.isUnsigned(next.devices.device.kid)).toBe(true)
  })
})

describe('the list', () => {
  test('names each device, which one is here, and what to compare', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    await first.devices.rename(first.devices.device.kid, 'Laptop')
    const list = await first.devices.list()
    expect(list.map((one) => [one.label, one.state, one.here, one.kind])).toEqual([
      ['Laptop', 'usable', true, 'participant'], [null, 'waiting', false, 'participant'],
    ])
    expect(list.every((one) => /^(\d{5} ){5}\d{5}$/.test(one.safety))).toBe(true)
    expect(new Set(list.map((one) => one.safety)).size).toBe(2)
    const theirs = await second.devices.list()
    expect(theirs.map((one) => one.safety)).toEqual(list.map((one) => one.safety))
  })
})

describe('looking', () => {
  test('goes on until the clock is closed, and a fault is told and survived', async () => {
    const { first } = await setup()
    const looks = (): number => first.database.calls.filter((name) => name === 'ownDevices').length
    const run = first.devices.run()
    const before = looks()
    first.database.fail('ownDevices', 'before', new RequestError('look', '42501', 403, 'no'))
    first.clock.wake()
    while (first.told.error.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(first.told.error[0]).toBeInstanceOf(RequestError)
    first.clock.wake()
    while (looks() < before + 2) await new Promise((resolve) => setImmediate(resolve))
    first.clock.close()
    await run
    expect(looks()).toBe(before + 2)
  })
})
