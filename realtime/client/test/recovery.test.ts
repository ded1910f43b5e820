/** A person who loses every device comes back by a passphrase; and nobody else does. */
import { describe, expect, test } from 'vitest'
import { argon2Here } from '../src/argon2-serve.ts'
import { ageRecipient, ageSecret } from '../src/age.ts'
import { makeDevice } from '../src/device.ts'
import { ResetWords } from '../src/devices.ts'
import { makeEpoch } from '../src/epoch.ts'
import { EnvelopeError, RequestError, SessionError } from '../src/failure.ts'
import { Pins } from '../src/pins.ts'
import { makeRecoveryKey, openSecrets, recoveryDevice, sealSecrets } from '../src/recovery-key.ts'
import { changePassphrase, exportIdentity, exportRecipient, recover, removeRecovery, setRecovery, type Argon2 } from '../src/recovery.ts'
import { Role, parseRoster } from '../src/roster.ts'
import { MemoryStore } from '../src/memory.ts'
import { browser, reads, rosterOf, write, type Browser } from './browser.ts'
import { join, newTables, runSidecar, type Tables } from './memory-database.ts'

const passphrase = 'vier Wörter über Käse'

/** Argon2id, too weak for anything but a test; with how often it was asked. */
function quick(): { readonly argon2: Argon2; readonly asked: { count: number } } {
  const asked = { count: 0 }
  const argon2: Argon2 = (typed, salt) => {
    asked.count++
    return argon2Here(typed, salt, { memoryKiB: 8, passes: 1, lanes: 1 })
  }
  return { argon2, asked }
}
const deps = { argon2: quick().argon2 }

interface Bench {
  readonly tables: Tables
  readonly userId: string
  readonly first: Browser
}

async function setup(): Promise<Bench> {
  const tables = newTables('strict')
  const userId = join(tables, 'client')
  const first = await browser(tables, userId)
  for (let i = 0; i < 3; i++) await write(tables, first)
  return { tables, userId, first }
}

const recoveryRow = (tables: Tables): Tables['devices'][number] => {
  const row = tables.devices.find((one) => one.kind === 'recovery' && one.revoked_at === null)
  if (row === undefined) throw new Error('a recovery key is set')
  return row
}

/** A recovery key as whoever has the database can make one: admitted, sealed under the passphrase, signed by nobody who is known. */
async function forgeKey(tables: Tables, userId: string, typed: string, version: number): Promise<void> {
  const { device, secrets } = await makeRecoveryKey()
  const row = { id: device.kid, user_id: userId, kind: 'recovery', enc_pub: device.encPub, sig_pub: device.sigPub, label: null, created_at: '2026-01-01T00:00:00Z' } as const
  tables.devices.push({ ...row, revoked_at: null, admitted_at: row.created_at, admission: 'signed', admitted_by: null, retired_at: null })
  tables.recoveryKeys.push({ ...(await sealSecrets(secrets, typed, { userId, kid: device.kid, version }, deps.argon2)), device_id: device.kid, user_id: userId })
}

describe('a recovery key', () => {
  test('is a device that this one vouches for, on every roster, with the history from before it', async () => {
    const { tables, first } = await setup()
    await setRecovery(first, passphrase, deps)
    expect(first.devices.history).toEqual({ here: 'whole', recovery: 'set', otherDevices: 0, state: 'safe' })
    const epoch = await write(tables, first)
    const { id } = recoveryRow(tables)
    expect(tables.wraps.filter((row) => row.device === id).map((row) => row.epoch).sort()).toEqual([1, 2, 3, epoch])
    expect(tables.readers.map((row) => row.role)).toEqual([4, 4, 4])
    expect(first.told.unacknowledged.at(-1)).toEqual([])
    expect((await first.devices.list()).map((one) => one.kind)).toEqual(['participant', 'recovery'])
    const stored = JSON.stringify(tables.recoveryKeys)
    expect(stored).not.toContain(passphrase)
    expect(stored).toContain('"memory_kib":65536,"passes":3,"lanes":1')
  })

  test('is no stranger’s to those who know the device that signed it', async () => {
    const { tables, first } = await setup()
    const friend = new Pins(new MemoryStore(), 'friend')
    await friend.meet(tables.devices, [])
    await setRecovery(first, passphrase, deps)
    expect(await friend.meet(tables.devices, [])).toEqual([recoveryRow(tables).id])
    expect(friend.isUnsigned(recoveryRow(tables).id)).toBe(true) // without the signature it is one
    expect(await friend.meet(tables.devices, tables.signatures)).toEqual([])
  })

  test('can make no epoch', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const [key] = tables.recoveryKeys
    if (key === undefined) throw new Error('it is set')
    const device = await recoveryDevice(await openSecrets(key, userId, passphrase, deps.argon2), recoveryRow(tables))
    const terms = { sessionId: tables.session.id, number: 9, roster: await rosterOf(tables), consentId: null }
    await expect(makeEpoch(device, terms)).rejects.toMatchObject({ refusal: 'roster' })
    const as = await parseRoster([{ kid: device.kid, role: Role.recovery, enc_pub: device.encPub, sig_pub: device.sigPub }])
    await expect(makeEpoch(device, { ...terms, roster: as })).rejects.toMatchObject({ refusal: 'roster' })
  })

  test('asks for a passphrase of some length, before anything else', async () => {
    const { tables, first } = await setup()
    for (const short of ['', 'elf Zeichen', '            ']) {
      await expect(setRecovery(first, short, deps)).rejects.toMatchObject({ refusal: 'format' })
    }
    expect(tables.recoveryKeys).toEqual([])
  })

  test('is not set by a device that waits', async () => {
    const { tables, userId } = await setup()
    await expect(setRecovery(await browser(tables, userId), passphrase, deps)).rejects.toMatchObject({ reason: 'device_waiting' })
  })

  test('that no sidecar admits yet gets its history later', async () => {
    const { tables, first } = await setup()
    tables.sidecar = false
    const ended = { it: false }
    const set = setRecovery(first, passphrase, deps).catch((thrown: unknown) => thrown).finally(() => {
      ended.it = true
    })
    while (!ended.it) { // a minute passes
      first.clock.wake()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await set).toBeInstanceOf(SessionError)
    await first.devices.look()
    expect(first.devices.history).toMatchObject({ recovery: 'unset', state: 'only_here' })
    await runSidecar(tables)
    await first.devices.look()
    expect(first.devices.history).toMatchObject({ recovery: 'set', state: 'safe' })
  })
})

describe('recovering', () => {
  test('admits a new device when all others are lost, and brings the whole history back', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    await write(tables, first) // after it was set: nothing was uploaded for it
    await first.devices.revoke(first.devices.device.kid)
    const next = await browser(tables, userId)
    expect(next.devices.state).toBe('waiting')
    expect(next.devices.history).toEqual({ here: 'none', recovery: 'set', otherDevices: 0, state: 'locked' })
    expect(await recover(next, passphrase.normalize('NFD'), deps)).toEqual({ epochs: 4, missing: 0 })
    expect(next.told.device).toEqual(['waiting', 'usable'])
    for (const epoch of [1, 2, 3, 4]) expect(await reads(tables, next, epoch)).toBe(true)
    expect(next.devices.history).toEqual({ here: 'whole', recovery: 'set', otherDevices: 0, state: 'safe' })
    expect(next.told.unacknowledged.at(-1)).toEqual([])
    expect(await reads(tables, next, await write(tables, next))).toBe(true)

    const friend = new Pins(new MemoryStore(), 'friend') // who knew the first one: the chain leads to it by way of the key
    await friend.meet(tables.devices.slice(0, 1), [])
    expect(await friend.meet(tables.devices, tables.signatures)).toEqual([next.devices.device.kid])
    expect(friend.isUnsigned(next.devices.device.kid)).toBe(false)
  })

  test('with a wrong passphrase changes nothing', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const next = await browser(tables, userId)
    const before = tables.signatures.length
    await expect(recover(next, 'vier Wörter über Brot', deps)).rejects.toMatchObject({ name: 'EnvelopeError', refusal: 'wrap' })
    expect(next.devices.state).toBe('waiting')
    expect(tables.signatures).toHaveLength(before)
    await expect(recover(await browser(tables, join(tables, 'client')), passphrase, deps)).rejects.toMatchObject({ reason: 'not_active' })
  })

  test('is not shut out by versions that somebody else added', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const [key] = tables.recoveryKeys
    if (key === undefined) throw new Error('it is set')
    for (const [i, change] of [{ wrapped: 'A'.repeat(166) }, { passes: 1 }, { memory_kib: 2 ** 30 }, { wrapped: '' }, { device_id: userId }].entries()) {
      tables.recoveryKeys.push({ ...key, ...change, version: i + 2 })
    }
    const next = await browser(tables, userId)
    const { argon2, asked } = quick()
    expect(await recover(next, passphrase, { argon2 })).toEqual({ epochs: 3, missing: 0 })
    expect(asked.count).toBe(2) // the false one that could be the person's, and the true one
  })

  test('says which newer versions are somebody else’s, of a key of theirs or of this one', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const [key] = tables.recoveryKeys
    const real = recoveryRow(tables)
    if (key === undefined) throw new Error('it is set')
    tables.recoveryKeys.push({ ...key, version: 2, wrapped: 'A'.repeat(166) }) // by whoever has the database, as are these:
    await forgeKey(tables, userId, passphrase, 3)
    const next = await browser(tables, userId)
    expect(await recover(next, passphrase, deps)).toEqual({ epochs: 3, missing: 0 })
    expect(next.told.error.map((error) => (error instanceof EnvelopeError ? error.refusal : error))).toEqual(['pin', 'wrap'])
    expect(tables.signatures.at(-1)?.by_device_id).toBe(real.id)
    const forged = tables.devices.at(-2)
    expect(forged?.kind).toBe('recovery')
    expect(tables.readers.filter((row) => row.device_id === forged?.id), 'it is given nothing').toEqual([])
    expect(next.told.unacknowledged.at(-1), 'and is shown').toEqual([forged?.id])
  })

  test('by a key that no known device signed is refused, though the passphrase opens it', async () => {
    const { tables, userId, first } = await setup()
    await forgeKey(tables, userId, passphrase, 1)
    await expect(recover(first, passphrase, deps)).rejects.toMatchObject({ refusal: 'pin' })
    await expect(changePassphrase(first, passphrase, 'another passphrase', deps)).rejects.toMatchObject({ refusal: 'pin' })
    await expect(exportRecipient(first, passphrase, deps)).rejects.toMatchObject({ refusal: 'pin' })
    expect(tables.readers).toEqual([])
    await first.devices.look()
    await first.devices.acknowledge(recoveryRow(tables).id, { unsigned: true }) // the person knows it after all
    expect(await recover(first, passphrase, deps)).toMatchObject({ missing: 0 })
  })

  test('says what is missing: what the key cannot open either', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const { id } = recoveryRow(tables)
    tables.epochs = tables.epochs.map((row) => (row.epoch === 2 ? { ...row, key_commit: 'A'.repeat(43) } : row))
    const next = await browser(tables, userId)
    expect(await recover(next, passphrase, deps)).toEqual({ epochs: 2, missing: 1 })
    expect(tables.wraps.some((row) => row.device === id)).toBe(true)
  })

  test('is not shut out by a version that asks for more than the machine has', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const [key] = tables.recoveryKeys
    if (key === undefined) throw new Error('it is set')
    tables.recoveryKeys.push({ ...key, memory_kib: 2 ** 20, passes: 10, version: 2 })
    const small: Argon2 = (typed, salt, asked) =>
      asked.memoryKiB > 65536 ? Promise.reject(new Error('out of memory')) : deps.argon2(typed, salt, asked)
    await expect(recover(await browser(tables, userId), 'vier Wörter über Brot', { argon2: small })).rejects.toMatchObject({ refusal: 'wrap' })
    expect(await recover(await browser(tables, userId), passphrase, { argon2: small })).toEqual({ epochs: 3, missing: 0 })
  })

  test('refuses a key whose row is another’s', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const thief = await makeDevice()
    tables.devices = tables.devices.map((row) => (row.kind === 'recovery' ? { ...row, enc_pub: thief.encPub, sig_pub: thief.sigPub } : row))
    await expect(recover(await browser(tables, userId), passphrase, deps)).rejects.toBeInstanceOf(EnvelopeError)
  })

  test('on a usable device gives back what it lacks', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const second = await browser(tables, userId)
    first.database.fail('shareEpochs', 'before')
    await expect(first.devices.approve(second.devices.code)).rejects.toBeInstanceOf(RequestError)
    await second.devices.look()
    expect(second.devices.history).toMatchObject({ here: 'none', state: 'locked' })
    expect(await recover(second, passphrase, deps)).toEqual({ epochs: 3, missing: 0 })
    expect(second.devices.history.state).toBe('safe')
    expect(await recover(second, passphrase, deps)).toEqual({ epochs: 0, missing: 0 })
  })

  test('of a revoked device asks to renew it first', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    await first.devices.revoke(first.devices.device.kid)
    const again = await browser(tables, userId, first.store)
    await expect(recover(again, passphrase, deps)).rejects.toMatchObject({ reason: 'device_waiting' })
    await again.devices.renew()
    expect(await recover(again, passphrase, deps)).toEqual({ epochs: 3, missing: 0 })
  })
})

describe('a passphrase', () => {
  test('is changed by whoever knows the old one, and the key stays', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const { id } = recoveryRow(tables)
    await expect(changePassphrase(first, 'not the old one', 'another passphrase', deps)).rejects.toMatchObject({ refusal: 'wrap' })
    await expect(changePassphrase(first, passphrase, 'short', deps)).rejects.toMatchObject({ refusal: 'format' })
    await changePassphrase(first, passphrase, 'another passphrase', deps)
    expect(recoveryRow(tables).id).toBe(id)
    expect(tables.recoveryKeys.map((row) => row.version)).toEqual([2])
    const next = await browser(tables, userId)
    await expect(recover(next, passphrase, deps), 'the old one').rejects.toMatchObject({ refusal: 'wrap' })
    expect(await recover(next, 'another passphrase', deps)).toEqual({ epochs: 3, missing: 0 })
  })

  test('of a former key opens nothing once a new one is set', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    await setRecovery(first, 'another passphrase', deps)
    expect(tables.devices.filter((row) => row.kind === 'recovery' && row.revoked_at === null)).toHaveLength(1)
    const next = await browser(tables, userId)
    await expect(recover(next, passphrase, deps)).rejects.toMatchObject({ refusal: 'wrap' })
    expect(await recover(next, 'another passphrase', deps)).toEqual({ epochs: 3, missing: 0 })
  })

  test('opens exports that were sealed to the key', async () => {
    const { tables, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const identity = await exportIdentity(first, passphrase, deps)
    expect(await ageRecipient(await ageSecret(identity))).toBe(tables.recoveryKeys[0]?.age_recipient)
  })

  test('gives the recipient of exports, whatever the database says it is', async () => {
    const { tables, first } = await setup()
    await setRecovery(first, passphrase, deps)
    const recipient = await exportRecipient(first, passphrase, deps)
    expect(await ageRecipient(await ageSecret(await exportIdentity(first, passphrase, deps)))).toBe(recipient)
    await expect(exportRecipient(first, 'not the passphrase', deps)).rejects.toMatchObject({ refusal: 'wrap' })
    const theirs = await ageRecipient(crypto.getRandomValues(new Uint8Array(32)))
    tables.recoveryKeys = tables.recoveryKeys.map((row) => ({ ...row, age_recipient: theirs }))
    await expect(exportRecipient(first, passphrase, deps)).rejects.toMatchObject({ refusal: 'pin' })
    await changePassphrase(first, passphrase, 'another passphrase', deps)
    expect(await exportRecipient(first, 'another passphrase', deps)).toBe(recipient)
  })

  test('opens nothing after the key was removed', async () => {
    const { tables, userId, first } = await setup()
    await setRecovery(first, passphrase, deps)
    await removeRecovery(first)
    expect(first.devices.history).toMatchObject({ recovery: 'unset', state: 'only_here' })
    await expect(recover(await browser(tables, userId), passphrase, deps)).rejects.toMatchObject({ reason: 'not_active' })
  })
})

describe('a recovery key that is the last to open something', () => {
  async function onlyTheKeyHasAll(): Promise<Bench & { readonly second: Browser }> {
    const bench = await setup()
    await setRecovery(bench.first, passphrase, deps)
    const second = await browser(bench.tables, bench.userId)
    bench.first.database.fail('shareEpochs', 'before')
    await expect(bench.first.devices.approve(second.devices.code)).rejects.toBeInstanceOf(RequestError)
    await second.devices.look()
    await second.devices.revoke(bench.first.devices.device.kid)
    expect(second.devices.history).toMatchObject({ here: 'none', state: 'locked' })
    return { ...bench, second }
  }

  test('is neither replaced nor removed by a device that lacks some of it, unless that is said', async () => {
    const { tables, second } = await onlyTheKeyHasAll()
    const { id } = recoveryRow(tables)
    await expect(setRecovery(second, 'another passphrase', deps)).rejects.toMatchObject({ name: 'SessionError', reason: 'history_missing' })
    await expect(removeRecovery(second)).rejects.toMatchObject({ reason: 'history_missing' })
    expect(recoveryRow(tables).id).toBe(id)
    await recover(second, passphrase, deps) // what the refusal says to do
    await setRecovery(second, 'another passphrase', deps)
    expect(recoveryRow(tables).id).not.toBe(id)
    await removeRecovery(second)
  })

  test('is replaced, and removed, by who says that the history will be lost', async () => {
    const { tables, second } = await onlyTheKeyHasAll()
    const { id } = recoveryRow(tables)
    await setRecovery(second, 'another passphrase', { ...deps, evenIf: ResetWords })
    expect(recoveryRow(tables).id).not.toBe(id)
    await expect(removeRecovery(second)).rejects.toMatchObject({ reason: 'history_missing' })
    await removeRecovery(second, { evenIf: ResetWords })
    expect(second.devices.history).toMatchObject({ recovery: 'unset', state: 'lost' })
  })

  test('is not removed by a device that was revoked, and could pass nothing on', async () => {
    const { first } = await setup()
    await setRecovery(first, passphrase, deps)
    await first.devices.revoke(first.devices.device.kid)
    await expect(removeRecovery(first)).rejects.toMatchObject({ reason: 'history_missing' })
  })

  test('a first one is set by any device that is in use, for it ends none', async () => {
    const { tables, userId, first } = await setup()
    const second = await browser(tables, userId)
    first.database.fail('shareEpochs', 'before')
    await expect(first.devices.approve(second.devices.code)).rejects.toBeInstanceOf(RequestError)
    await second.devices.look()
    expect(second.devices.history.here).toBe('none')
    await setRecovery(second, passphrase, deps)
    expect(second.devices.history.recovery).toBe('set')
  })
})
