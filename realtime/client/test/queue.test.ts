/** What waits to be sent, over reloads, tabs and rotations: stored once, in order, with no hole. */
import { IDBFactory } from 'fake-indexeddb'
import { afterEach, expect, test, vi } from 'vitest'
import { encodeText } from '../src/bytes.ts'
import { makeDevice } from '../src/device.ts'
import { RequestError } from '../src/failure.ts'
import { IndexedDbStore } from '../src/indexeddb.ts'
import { textContent } from '../src/message.ts'
import { Queue } from '../src/queue.ts'
import { MemoryStore } from '../src/memory.ts'
import { addSignedDevice } from './memory-database.ts'
import { World, texts, type Seat } from './seats.ts'

let world: World
afterEach(() => world.close())

/** A client whose store is IndexedDB, and a therapist to read what was sent. */
async function setup(mode: 'strict' | 'assisted' = 'strict'): Promise<{ client: Seat; therapist: Seat; factory: IDBFactory }> {
  world = await World.open(mode)
  const { client: first, therapist } = await world.pair()
  await first.session.close()
  const factory = new IDBFactory()
  return { client: await world.seat(first.userId, first.device, new IndexedDbStore('vigil', factory)), therapist, factory }
}

const away = (): RequestError => new RequestError('send message', '', 0, 'no answer')
const bodies = async (seat: Seat): Promise<readonly (string | null)[]> =>
  Promise.all(world.tables.messages.map(async (row) => (await seat.session.open(row)).text))

/** Keeps a seat's inserts from the table until it is undone. */
function offline(seat: Seat): () => void {
  const insert = vi.spyOn(seat.database, 'insertMessage').mockRejectedValue(away())
  return () => {
    insert.mockRestore()
    seat.session.wake()
  }
}

async function emptied(...seats: readonly Seat[]): Promise<void> {
  await vi.waitFor(async () => {
    for (const seat of seats) seat.session.wake()
    for (const seat of seats) {
      const kept = await seat.store.queue(seat.userId, seat.session.id)
      if (seat.session.waiting + kept.length > 0) throw new Error('something waits')
    }
  }, { timeout: 20_000, interval: 20 })
}

test('what was written while the network was away is sent after a reload, in order, once', async () => {
  const { client, therapist, factory } = await setup()
  offline(client)
  const outcomes = Promise.allSettled(['a', 'b', 'c'].map((text) => client.session.send(text)))
  await vi.waitFor(async () => {
    expect(await client.store.queue(client.userId, client.session.id)).toHaveLength(3)
  })
  const later = await world.reload(client)
  expect((await outcomes).map((one) => (one.status === 'rejected' ? String(one.reason) : one.value))).toEqual(
    Array(3).fill(expect.stringContaining('it is sent when the session is opened next')),
  )
  await emptied(later)
  expect(await bodies(therapist)).toEqual(['a', 'b', 'c'])
  expect(world.tables.messages.map((row) => row.seq)).toEqual([0, 1, 2])
  expect(await new IndexedDbStore('vigil', factory).queue(client.userId, client.session.id)).toEqual([])
})

test('a page that dies between the insert and its answer sends nothing twice', async () => {
  const { client, therapist } = await setup()
  const insert = client.database.insertMessage.bind(client.database)
  const stored = vi.fn()
  vi.spyOn(client.database, 'insertMessage').mockImplementation(async (row) => {
    await insert(row)
    stored()
    return new Promise<void>(() => undefined) // and no answer ever comes
  })
  void client.session.send('once').catch(() => undefined)
  await vi.waitFor(() => {
    expect(stored).toHaveBeenCalled()
  })
  const disk = new MemoryStore() // what the page left as it died; under its account's name nobody else would get the dead page's lock here
  for (const one of await client.store.queue(client.userId, client.session.id)) await disk.keepQueued('after', one)
  const later = await world.seat(client.userId, client.device, disk, undefined, 'after')
  await vi.waitFor(async () => {
    expect(await disk.queue('after', client.session.id)).toEqual([])
  })
  expect(await bodies(therapist)).toEqual(['once'])
  expect(later.errors).toEqual([])
})

test('texts written under one epoch go under the next, when that was given up meanwhile', async () => {
  const { client, therapist } = await setup()
  await client.session.send('before')
  const online = offline(client)
  const sent = Promise.all(['a', 'b'].map((text) => client.session.send(text)))
  await vi.waitFor(async () => {
    expect((await client.store.queue(client.userId, client.session.id)).map((one) => one.row?.epoch)).toEqual([1, undefined])
  })
  const second = await makeDevice()
  await addSignedDevice(world.tables, therapist.userId, second, therapist.device)
  client.database.rotate()
  await client.session.acknowledge(second.kid).catch(() => undefined) // not read yet: it is asked for by the send
  await world.stir(client)
  await client.session.acknowledge(second.kid)
  online()
  await sent
  expect(world.tables.messages.map((row) => [row.epoch, row.seq])).toEqual([[1, 0], [2, 0], [2, 1]])
  const other = await world.seat(therapist.userId, second)
  await vi.waitFor(() => {
    expect(texts(other)).toEqual([null, 'a', 'b'])
  })
})

test('what is held over a reload waits for the person, and goes when they have decided', async () => {
  const { client, therapist } = await setup('assisted')
  const held = client.session.send('I need help', { hold: true })
  held.catch(() => undefined)
  await vi.waitFor(() => {
    expect(client.session.queue).toMatchObject([{ text: 'I need help', held: { reason: 'consent_missing' } }])
  })
  const later = await world.reload(client)
  await vi.waitFor(() => {
    expect(later.session.queue).toMatchObject([{ text: 'I need help', held: { reason: 'consent_missing' } }])
  })
  await later.session.consent.give({ text: 'I agree' })
  await emptied(later)
  expect(await bodies(therapist)).toEqual(['I need help'])
})

test("a tab whose device was renewed in another one leaves the new device's messages alone", async () => {
  const { client, therapist } = await setup()
  const renewed = await makeDevice()
  await addSignedDevice(world.tables, client.userId, renewed, client.device)
  await client.store.keepDevice(client.userId, renewed)
  await world.stir(client)
  await client.session.acknowledge(renewed.kid)
  const queue = new Queue({ store: client.store, account: client.userId, sessionId: client.session.id, device: renewed })
  const id = crypto.randomUUID()
  await queue.keep(id, await queue.seal(id, textContent('by the new one', new Date())), null)
  await client.session.send('by the old one') // looks at all that waits on the way
  expect((await queue.list()).map((one) => one.id)).toEqual([id])
  expect(client.errors).toEqual([])
  const other = await world.seat(client.userId, renewed, client.store)
  await emptied(other)
  expect(await bodies(therapist)).toEqual(['by the old one', 'by the new one'])
})

test('two tabs: what one wrote before goes before what the other writes, and both hear of their own', async () => {
  const { client, therapist } = await setup()
  const tab = await world.seat(client.userId, client.device, client.store)
  const online = offline(client)
  const first = client.session.send('a')
  await vi.waitFor(async () => {
    expect(await client.store.queue(client.userId, client.session.id)).toHaveLength(1)
  })
  const second = tab.session.send('b')
  online()
  expect(await Promise.all([first, second])).toEqual(world.tables.messages.map((row) => row.id))
  expect(await bodies(therapist)).toEqual(['a', 'b'])
})

test('a tab sends what a closed one left, before its own', async () => {
  const { client, therapist } = await setup()
  const tab = await world.seat(client.userId, client.device, client.store)
  offline(client)
  const left = client.session.send('left').catch(() => 'closed')
  await vi.waitFor(async () => {
    expect(await client.store.queue(client.userId, client.session.id)).toHaveLength(1)
  })
  await client.session.close()
  expect(await left).toBe('closed')
  await tab.session.send('mine')
  expect(await bodies(therapist)).toEqual(['left', 'mine'])
})

test('nothing readable is kept: no text, and no key that could be read', async () => {
  const { client, factory } = await setup()
  offline(client)
  client.session.send('my name is written nowhere', { files: [] }).catch(() => undefined)
  await vi.waitFor(async () => {
    expect((await client.store.queue(client.userId, client.session.id))[0]?.row?.seq).toBe(0)
  })
  const request = factory.open('vigil')
  await new Promise((resolve) => {
    request.onsuccess = resolve
  })
  const kept: unknown[] = []
  for (const name of request.result.objectStoreNames) {
    const all = request.result.transaction(name).objectStore(name).getAll()
    await new Promise((resolve) => {
      all.onsuccess = resolve
    })
    kept.push(all.result)
  }
  request.result.close()
  expect(kept.flat().length).toBeGreaterThan(0)
  expect(JSON.stringify(kept)).not.toMatch(/name is written|bXkgbmFtZS/)
})

test('a kept text opens for its own device, session and id only', async () => {
  const { client } = await setup()
  const { store, device } = client
  const own = new Queue({ store, account: 'a', sessionId: client.session.id, device })
  const id = crypto.randomUUID()
  const draft = await own.seal(id, textContent('x', new Date()))
  const m = { id, session_id: client.session.id, draft, row: null }
  await expect(own.open(m)).resolves.toMatchObject({ body: 'x' })
  const others = [
    new Queue({ store, account: 'a', sessionId: crypto.randomUUID(), device }),
    new Queue({ store, account: 'a', sessionId: client.session.id, device: await makeDevice() }),
  ]
  for (const other of others) await expect(other.open(m)).rejects.toMatchObject({ refusal: 'format' })
  const forged = [{ ...m, id: crypto.randomUUID() }, { ...m, draft: '' }, { ...m, draft: `${draft}AAAA` }, { ...m, draft: encodeText(new Uint8Array(200)) }]
  for (const one of forged) await expect(own.open(one)).rejects.toMatchObject({ refusal: 'format' })
})

/** Numbers that are the same in each run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

test('100 messages from two tabs, with lost answers, rotations and reloads at random: each stored once, in order', async () => {
  const { client, therapist } = await setup()
  const random = numbers(7)
  await client.session.close()
  const store = new MemoryStore() // IndexedDB is tried above; here it is only slow
  const tabs = [await world.seat(client.userId, client.device, store), await world.seat(client.userId, client.device, store)]
  const outcomes: Promise<string>[] = []
  for (let i = 0; i < 50; i++) {
    for (const [at, tab] of tabs.entries()) {
      outcomes.push(tab.session.send(`${at} ${i}`).catch((thrown: unknown) => String(thrown)))
      if (random.next().value < 0.2) tab.database.fail('insertMessage', random.next().value < 0.5 ? 'before' : 'after')
      if (random.next().value < 0.05) tab.database.fail('session', 'before')
      if (random.next().value < 0.03) tab.database.rotate()
      tab.database.mostMessages = 30
      if (random.next().value < 0.03) tabs[at] = await world.reload(tab)
      tab.session.wake()
    }
  }
  await emptied(...tabs)
  const wrong = (await Promise.all(outcomes)).filter((one) => !/^[0-9a-f-]{36}$|opened next/.test(one))
  expect(wrong).toEqual([])
  const sent = await bodies(therapist)
  for (const at of [0, 1]) {
    expect(sent.filter((text) => text?.startsWith(`${at} `) === true)).toEqual(Array.from({ length: 50 }, (_, i) => `${at} ${i}`))
  }
  expect(world.tables.epochs.length).toBeGreaterThan(3)
  await world.arrive(100, therapist)
  expect(therapist.heard.filter((message) => message.missing > 0 || message.badges.length > 0)).toEqual([])
}, 60_000)
