/** Whom a client takes for whom: the chain of a person's devices, verified here whatever the database says. */
import { describe, expect, test } from 'vitest'
import { signDevice } from '../src/cross.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { Pins } from '../src/pins.ts'
import type { DeviceRow, DeviceSignatureRow } from '../src/rows.ts'
import { MemoryStore } from '../src/memory.ts'
import { addDevice, newTables } from './memory-database.ts'

interface Person {
  readonly user: string
  readonly devices: readonly Device[]
  readonly rows: readonly DeviceRow[]
}

/** A person with devices of which the first is a first one, and the others say that it signed them. */
async function person(count: number): Promise<Person> {
  const tables = newTables('strict')
  const user = crypto.randomUUID()
  const devices = await Promise.all(Array.from({ length: count }, () => makeDevice()))
  for (const [i, device] of devices.entries()) addDevice(tables, user, device, i === 0 ? null : (devices[0] ?? null))
  return { user, devices, rows: tables.devices }
}

async function vouch(by: Device | undefined, row: DeviceRow | undefined, at = '2026-02-01T00:00:00Z'): Promise<DeviceSignatureRow> {
  if (by === undefined || row === undefined) throw new Error('both are there')
  return {
    id: crypto.randomUUID(), device_id: row.id, user_id: row.user_id, by_device_id: by.kid, signature: await signDevice(by, row),
    created_at: at, refused_at: null,
  }
}

const newPins = (): Pins => new Pins(new MemoryStore(), 'test')

describe('a person met for the first time', () => {
  test('is pinned with the devices for which the first one vouches, by a chain of any length', async () => {
    const { devices: [first, second, third], rows } = await person(3)
    const signatures = [await vouch(second, rows[2]), await vouch(first, rows[1])]
    const pins = newPins()
    expect(await pins.meet(rows, signatures)).toEqual([])
    for (const device of [first, second, third]) expect(await pins.isTrusted(device?.kid ?? '')).toBe(true)
  })

  test('is not pinned with one that only the database calls theirs', async () => {
    const { rows } = await person(2)
    const pins = newPins()
    expect(await pins.meet(rows, [])).toEqual([rows[1]?.id])
    expect(pins.isUnsigned(rows[1]?.id ?? '')).toBe(true)
    expect(pins.isUnsigned(rows[0]?.id ?? '')).toBe(false)
  })

  test('a device that waits for another is passed over', async () => {
    const { rows } = await person(2)
    const waiting = rows.map((row, i) => (i === 0 ? row : { ...row, admitted_at: null, admission: null, admitted_by: null }))
    const pins = newPins()
    expect(await pins.meet(waiting, [])).toEqual([])
    expect(await pins.isTrusted(rows[1]?.id ?? '')).toBe(false)
  })
})

describe('a device that appears later', () => {
  const forgeries: Readonly<Record<string, (parts: Person & { readonly thief: Device }) => Promise<DeviceSignatureRow[]>>> = {
    'with no signature': () => Promise.resolve([]),
    'signed by itself': async ({ devices, rows }) => [
      { ...(await vouch(devices[1], rows[0])), device_id: rows[1]?.id ?? '', by_device_id: rows[1]?.id ?? '' },
    ],
    'signed by a device that nobody knows': async ({ rows, thief }) => [await vouch(thief, rows[1])],
    'signed under the name of a known one': async ({ devices, rows, thief }) => [{ ...(await vouch(thief, rows[1])), by_device_id: devices[0]?.kid ?? '' }],
    'with the signature of another device': async ({ devices, rows }) => {
      const own = await vouch(devices[0], rows[0] === undefined ? undefined : { ...rows[0], id: crypto.randomUUID() })
      return [{ ...own, device_id: rows[1]?.id ?? '' }]
    },
    'signed as a recovery key': async ({ devices, rows }) => {
      const row = rows[1] === undefined ? undefined : { ...rows[1], kind: 'recovery' as const }
      return [await vouch(devices[0], row)]
    },
    'signed for another person': async ({ devices, rows }) => {
      const row = rows[1] === undefined ? undefined : { ...rows[1], user_id: crypto.randomUUID() }
      return [await vouch(devices[0], row)]
    },
  }

  test.each(Object.entries(forgeries))('%s is unsigned, and must be named as that', async (_, forge) => {
    const parts = await person(2)
    const [first, second] = parts.rows
    if (first === undefined || second === undefined) throw new Error('both are there')
    const pins = newPins()
    await pins.meet([first])
    const signatures = await forge({ ...parts, thief: await makeDevice() })
    expect(await pins.meet(parts.rows, signatures)).toEqual([second.id])
    expect(pins.isUnsigned(second.id)).toBe(true)
    await expect(pins.acknowledge(second)).rejects.toMatchObject({ refusal: 'pin' })
    expect(await pins.isTrusted(second.id)).toBe(false)
    await pins.acknowledge(second, { unsigned: true })
    expect(await pins.meet(parts.rows, signatures)).toEqual([])
    expect(pins.isUnsigned(second.id)).toBe(false)
  })

  test('signed by a known one still waits for an acknowledgement, and for no more than that', async () => {
    const { devices, rows } = await person(2)
    const [first, second] = rows
    if (first === undefined || second === undefined) throw new Error('both are there')
    const pins = newPins()
    await pins.meet([first])
    const signatures = [await vouch(devices[0], second)]
    expect(await pins.meet(rows, signatures)).toEqual([second.id])
    expect(pins.isUnsigned(second.id)).toBe(false)
    await pins.acknowledge(second)
    expect(await pins.meet(rows, signatures)).toEqual([])
  })

  test('signed by one after it was revoked is unsigned; signed before, it is not', async () => {
    const { devices, rows } = await person(2)
    const [first, second] = rows
    if (first === undefined || second === undefined) throw new Error('both are there')
    const revoked = [{ ...first, revoked_at: '2026-03-01T00:00:00Z' }, second]
    for (const [at, unsigned] of [['2026-03-02T00:00:00Z', true], ['2026-02-28T00:00:00Z', false]] as const) {
      const pins = newPins()
      await pins.meet([first])
      expect(await pins.meet(revoked, [await vouch(devices[0], second, at)])).toEqual([second.id])
      expect(pins.isUnsigned(second.id)).toBe(unsigned)
    }
  })

  test('acknowledged in one tab is known in another at its next look', async () => {
    const { devices, rows } = await person(2)
    const store = new MemoryStore()
    const [one, other] = [new Pins(store, 'test'), new Pins(store, 'test')]
    const signatures = [await vouch(devices[0], rows[1])]
    for (const pins of [one, other]) await pins.meet(rows.slice(0, 1))
    expect(await other.meet(rows, signatures)).toHaveLength(1)
    for (const row of rows) await one.acknowledge(row)
    expect(await other.meet(rows, signatures)).toEqual([])
  })

  test('a known device under other keys is unsigned, whoever signed it', async () => {
    const { devices, rows } = await person(1)
    const [first] = rows
    const other = await makeDevice()
    if (first === undefined) throw new Error('it is there')
    const pins = newPins()
    await pins.meet([first])
    const changed = { ...first, enc_pub: other.encPub, sig_pub: other.sigPub }
    const next = { ...first, id: other.kid, admission: 'signed' as const }
    expect(await pins.meet([changed, next], [await vouch(devices[0], next)])).toEqual([first.id, next.id])
    expect([pins.isUnsigned(first.id), pins.isUnsigned(next.id)]).toEqual([true, true])
  })

  test.each(['participant', 'analysis'] as const)('a known device under another person’s name is unsigned, vouches for nobody and holds nothing: %s', async (kind) => {
    const { devices, rows } = await person(2)
    const [first, second] = rows
    if (first === undefined || second === undefined) throw new Error('both are there')
    const other = kind === 'analysis' ? null : crypto.randomUUID()
    const pins = newPins()
    await pins.meet([first])
    const moved = { ...first, user_id: other, kind }
    const next = { ...second, user_id: other ?? second.user_id }
    expect(await pins.meet([moved, next], [await vouch(devices[0], next)])).toEqual([first.id, next.id])
    expect([pins.isUnsigned(first.id), pins.isUnsigned(next.id)]).toEqual([true, true])
    expect([await pins.holds(moved), await pins.holds(next), await pins.holds(first)]).toEqual([false, false, true])
  })

  test('a key of the sidecar’s that no known one signed waits, and is no stranger’s', async () => {
    const tables = newTables('assisted')
    addDevice(tables, null, await makeDevice())
    const pins = newPins()
    expect(await pins.meet(tables.devices)).toEqual([])
    const next = await makeDevice()
    addDevice(tables, null, next)
    expect(await pins.meet(tables.devices)).toEqual([next.kid])
    expect(pins.isUnsigned(next.kid)).toBe(false)
    for (const row of tables.devices) await pins.acknowledge(row)
    expect(await pins.meet(tables.devices)).toEqual([])
  })
})

describe('the next key of the sidecar', () => {
  interface Keys {
    readonly rows: readonly [DeviceRow, DeviceRow]
    readonly old: Device
    readonly next: Device
    readonly stranger: Device
  }

  async function keys(): Promise<Keys> {
    const tables = newTables('assisted')
    const [old, next, stranger] = [await makeDevice(), await makeDevice(), await makeDevice()]
    for (const device of [old, next]) addDevice(tables, null, device)
    const [first, second] = tables.devices
    if (first === undefined || second === undefined) throw new Error('both are there')
    return { rows: [first, second], old, next, stranger }
  }

  test('is taken for the operator’s when a known one signed it: nobody is asked', async () => {
    const { rows, old, next } = await keys()
    const pins = newPins()
    await pins.meet([rows[0]])
    expect(await pins.meet(rows, [await vouch(old, rows[1])])).toEqual([])
    expect([await pins.isTrusted(next.kid), await pins.holds(rows[1])]).toEqual([true, true])
    const third = { ...rows[1], id: crypto.randomUUID() } // and vouches for the one after it
    expect(await pins.meet([...rows, third], [await vouch(next, third)])).toEqual([])
  })

  test('is taken when its signer is retired, or was revoked later', async () => {
    for (const ended of [{ retired_at: '2026-01-01T00:00:00Z' }, { revoked_at: '2026-03-01T00:00:00Z' }]) {
      const { rows, old } = await keys()
      const pins = newPins()
      await pins.meet([rows[0]])
      expect(await pins.meet([{ ...rows[0], ...ended }, rows[1]], [await vouch(old, rows[1], '2026-02-01T00:00:00Z')])).toEqual([])
    }
  })

  const forgeries: Readonly<Record<string, (parts: Keys) => Promise<readonly [readonly DeviceRow[], readonly DeviceSignatureRow[]]>>> = {
    'signed by its signer after that was revoked': async ({ rows, old }) => [
      [{ ...rows[0], revoked_at: '2026-01-01T00:00:00Z' }, rows[1]], [await vouch(old, rows[1], '2026-02-01T00:00:00Z')],
    ],
    'signed by a key that nobody knows': async ({ rows, stranger }) => [rows, [await vouch(stranger, rows[1])]],
    'signed under the name of the known one': async ({ rows, old, stranger }) => [rows, [{ ...(await vouch(stranger, rows[1])), by_device_id: old.kid }]],
    'signed with other keys': async ({ rows, old, stranger }) => [[rows[0], { ...rows[1], enc_pub: stranger.encPub }], [await vouch(old, rows[1])]],
    'signed by a key under which other keys are pinned': async ({ rows, stranger }) => [
      [{ ...rows[0], sig_pub: stranger.sigPub }, rows[1]], [{ ...(await vouch(stranger, rows[1])), by_device_id: rows[0].id }],
    ],
  }

  test.each(Object.entries(forgeries))('%s waits for people', async (_, forge) => {
    const parts = await keys()
    const pins = newPins()
    await pins.meet([parts.rows[0]])
    const [rows, signatures] = await forge(parts)
    expect(await pins.meet(rows, signatures)).toContain(parts.next.kid)
    expect(await pins.isTrusted(parts.next.kid)).toBe(false)
  })

  test('vouches for nobody’s device, and nobody’s device for it', async () => {
    const { rows, old } = await keys()
    const { devices, rows: people } = await person(2)
    const [first, second] = people
    if (first === undefined || second === undefined) throw new Error('both are there')
    const pins = newPins()
    await pins.meet([rows[0], first])
    const signatures = [await vouch(devices[0], rows[1]), await vouch(old, second)]
    expect([...(await pins.meet([...rows, ...people], signatures))].sort()).toEqual([rows[1].id, second.id].sort())
    expect([pins.isUnsigned(second.id), await pins.isTrusted(rows[1].id)]).toEqual([true, false])
  })
})
