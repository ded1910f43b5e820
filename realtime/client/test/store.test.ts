import { IDBFactory } from 'fake-indexeddb'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../src/bytes.ts'
import { makeDevice, sign, verify } from '../src/device.ts'
import { IndexedDbStore } from '../src/indexeddb.ts'
import { Pins } from '../src/pins.ts'
import { MemoryStore, type Store } from '../src/store.ts'
import type { DeviceRow } from '../src/rows.ts'

const stores: readonly [string, () => Store][] = [
  ['memory', () => new MemoryStore()],
  ['IndexedDB', () => new IndexedDbStore('test', new IDBFactory())],
]

async function row(userId: string | null): Promise<DeviceRow> {
  const device = await makeDevice()
  return {
    id: device.kid, user_id: userId, kind: userId === null ? 'analysis' : 'participant', enc_pub: device.encPub,
    sig_pub: device.sigPub, created_at: '2026-01-01T00:00:00Z', revoked_at: null, label: null, admitted_at: '2026-01-01T00:00:00Z',
    admission: userId === null ? 'sidecar' : 'first', admitted_by: null, retired_at: null,
  }
}

describe.each(stores)('store in %s', (_, open) => {
  test('keeps the first device of each account, with keys that work and cannot be read', async () => {
    const store = open()
    expect(await store.device('a')).toBeUndefined()
    const [first, second, other] = [await makeDevice(), await makeDevice(), await makeDevice()]
    const kept = await Promise.all([store.keepDevice('a', first), store.keepDevice('a', second), store.keepDevice('b', other)])
    expect(kept.map((device) => device.kid)).toEqual([first.kid, first.kid, other.kid])
    const read = await store.device('a')
    if (read === undefined) throw new Error('the device is gone')
    const signature = await sign(read, utf8('x'))
    expect(await verify(first.sig.publicKey, utf8('x'), signature)).toBe(true)
    for (const { privateKey } of [read.enc, read.sig]) {
      expect(privateKey.extractable).toBe(false)
      await expect(crypto.subtle.exportKey('jwk', privateKey)).rejects.toThrow()
    }
    await store.dropDevice('a')
    expect(await store.device('a')).toBeUndefined()
  })

  test('pins on first use, and asks about changes and newcomers', async () => {
    const store = open()
    const [client, therapist, analysis] = [await row(crypto.randomUUID()), await row(crypto.randomUUID()), await row(null)]
    expect(await new Pins(store, 'a').meet([client, therapist, analysis])).toEqual([])
    const pins = new Pins(store, 'a') // another day
    expect(await pins.meet([client, therapist, analysis])).toEqual([])
    const stolen = { ...(await row(client.user_id)), id: client.id }
    const second = await row(client.user_id)
    const sidecar = await row(null)
    expect(await pins.meet([stolen, therapist, second, sidecar])).toEqual([client.id, second.id, sidecar.id])
    await pins.acknowledge(second, { unsigned: true })
    expect(await pins.meet([client, second, therapist, await row(crypto.randomUUID())])).toEqual([])
    expect(await new Pins(store, 'a').isTrusted(second.id)).toBe(true)
    expect(await new Pins(store, 'a').isTrusted(sidecar.id)).toBe(false)
    expect(await new Pins(store, 'b').isTrusted(second.id)).toBe(false)
  })
})
