import { IDBFactory } from 'fake-indexeddb'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../src/bytes.ts'
import { makeDevice, sign, verify, type Device } from '../src/device.ts'
import { IndexedDbStore } from '../src/indexeddb.ts'
import { Pins } from '../src/pins.ts'
import { MemoryStore } from '../src/memory.ts'
import type { QueuedMessage, SessionPin, Store } from '../src/store.ts'
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

  test('keeps the queue in the order in which each message was first kept, by session and account', async () => {
    const store = open()
    const [session, other] = [crypto.randomUUID(), crypto.randomUUID()]
    const message = (session_id: string): QueuedMessage => ({ id: crypto.randomUUID(), session_id, draft: 'x', row: null })
    const [a, b, c, elsewhere] = [message(session), message(session), message(session), message(other)]
    for (const one of [a, b, elsewhere, c]) await store.keepQueued('me', one)
    await store.keepQueued('another', { ...a, draft: 'theirs' })
    const row = { id: a.id, session_id: session, sender_device_id: crypto.randomUUID(), epoch: 3, seq: 9, body: 'y' }
    await store.keepQueued('me', { ...a, row }) // sealed anew: it keeps its place
    expect(await store.queue('me', session)).toEqual([{ ...a, row }, b, c])
    expect(await store.queue('me', other)).toEqual([elsewhere])
    expect(await Promise.all([store.dropQueued('me', b.id), store.dropQueued('me', crypto.randomUUID())])).toEqual([true, false])
    expect(await store.dropQueued('me', b.id)).toBe(false)
    expect(await store.queue('me', session)).toEqual([{ ...a, row }, c])
    expect(await store.queue('another', session)).toEqual([{ ...a, draft: 'theirs' }])
    await store.dropDevice('me')
    expect([await store.queue('me', session), await store.queue('me', other)]).toEqual([[], []])
    expect(await store.queue('another', session)).toHaveLength(1)
  })

  test('keeps what is pinned of each session', async () => {
    const store = open()
    const id = crypto.randomUUID()
    expect(await store.sessionPin('a', id)).toBeUndefined()
    const pin = { mode: 'strict', suite: 2, epoch: 4, minEpoch: 3, withdrawn: [id], people: { [id]: 'client' } } as const
    expect(await store.changeSessionPin('a', id, (kept) => ({ ...pin, epoch: kept?.epoch ?? 4 }))).toEqual(pin)
    expect(await store.changeSessionPin('a', id, (kept) => ({ ...(kept ?? pin), mode: 'assisted' }))).toEqual({ ...pin, mode: 'assisted' })
    expect(await store.sessionPin('a', id)).toEqual({ ...pin, mode: 'assisted' })
    expect(await store.sessionPin('b', id)).toBeUndefined()
  })
})

test('two tabs that change what is pinned of a session undo nothing of each other', async () => {
  const factory = new IDBFactory()
  const [one, two] = [new IndexedDbStore('vigil', factory), new IndexedDbStore('vigil', factory)]
  const id = crypto.randomUUID()
  const first: SessionPin = { mode: 'strict', suite: 2, epoch: 1, minEpoch: 1, withdrawn: [], people: {} }
  await one.changeSessionPin('a', id, () => first)
  const news = Array.from({ length: 20 }, () => crypto.randomUUID())
  await Promise.all(news.map((consent, i) => (i % 2 === 0 ? one : two).changeSessionPin('a', id, (kept = first) => ({
    ...kept, withdrawn: [...kept.withdrawn, consent], epoch: kept.epoch + 1,
  }))))
  const kept = await two.sessionPin('a', id)
  expect(kept?.epoch).toBe(21)
  expect(new Set(kept?.withdrawn)).toEqual(new Set(news))
})

/** The stores as version 1 made them, with a device in them. */
async function oldStores(factory: IDBFactory, device: Device): Promise<IDBDatabase> {
  const request = factory.open('test', 1)
  request.onupgradeneeded = () => {
    request.result.createObjectStore('devices').put(device, 'a')
    request.result.createObjectStore('pins').createIndex('account', 'account')
  }
  await new Promise((resolve) => {
    request.onsuccess = resolve
  })
  return request.result
}

describe('the stores of version 2', () => {
  test('keep what version 1 kept', async () => {
    const factory = new IDBFactory()
    const device = await makeDevice()
    const old = await oldStores(factory, device)
    old.close()
    const store = new IndexedDbStore('test', factory)
    expect((await store.device('a'))?.kid).toBe(device.kid)
    expect(await store.queue('a', crypto.randomUUID())).toEqual([])
  })

  test('an old tab that does not let go is named, and not waited for; the next try finds it gone', async () => {
    const factory = new IDBFactory()
    const old = await oldStores(factory, await makeDevice())
    const store = new IndexedDbStore('test', factory)
    await expect(store.device('a')).rejects.toThrow('close the other tabs of this site')
    old.close()
    expect(await store.device('a')).toBeDefined()
  })

  test('let go when a newer version asks, and say so rather than hang when it has been here', async () => {
    const factory = new IDBFactory()
    const store = new IndexedDbStore('test', factory)
    await store.device('a')
    const newer = factory.open('test', 3)
    await new Promise((resolve) => {
      newer.onsuccess = resolve
    })
    newer.result.close()
    await expect(store.device('a')).rejects.toThrow()
  })
})
