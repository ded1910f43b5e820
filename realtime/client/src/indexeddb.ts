import { toError } from './failure.ts'
import {
  parseKeptDevice, parseKeptPin, parseQueued, parseSessionPin, type Pin, type QueuedMessage, type SessionPin, type Store,
} from './store.ts'
import type { Device } from './device.ts'

const Devices = 'devices'
const PinsByAccount = 'pins'
/** Since version 2: messages that wait, by rising order; and what is pinned of sessions. */
const Queue = 'queue'
const Sessions = 'sessions'
const Version = 2

/**
 * Keeps keys in IndexedDB as non-extractable CryptoKeys: a script of the page may use them and never read them. Clearing the
 * site's data loses the device, and with it the history that only it can open.
 */
export class IndexedDbStore implements Store {
  readonly #name: string
  readonly #factory: IDBFactory
  #database: Promise<IDBDatabase> | undefined

  constructor(name = 'vigil', factory: IDBFactory = indexedDB) {
    this.#name = name
    this.#factory = factory
  }

  async device(account: string): Promise<Device | undefined> {
    const store = await this.#store(Devices, 'readonly')
    return parseKeptDevice(await done(store.get(account)))
  }

  async keepDevice(account: string, device: Device): Promise<Device> {
    const store = await this.#store(Devices, 'readwrite')
    const kept = parseKeptDevice(await done(store.get(account))) // one transaction: a second tab waits for it
    if (kept !== undefined) return kept
    await done(store.put(device, account))
    return device
  }

  async dropDevice(account: string): Promise<void> {
    const open = (await this.#open()).transaction([Devices, Queue], 'readwrite')
    const queue = open.objectStore(Queue)
    await done(open.objectStore(Devices).delete(account))
    const waiting = await done(queue.index('account').getAllKeys(account))
    if (Array.isArray(waiting)) for (const order of waiting) queue.delete(Number(order))
    await committed(open)
  }

  async pins(account: string): Promise<readonly Pin[]> {
    const store = await this.#store(PinsByAccount, 'readonly')
    const kept = await done(store.index('account').getAll(account))
    return Array.isArray(kept) ? kept.map(parseKeptPin) : []
  }

  async keepPin(account: string, pin: Pin): Promise<void> {
    const store = await this.#store(PinsByAccount, 'readwrite')
    await done(store.put({ ...pin, account }, [account, pin.kid]))
  }

  async queue(account: string, sessionId?: string): Promise<readonly QueuedMessage[]> {
    const store = await this.#store(Queue, 'readonly')
    const wanted = sessionId === undefined ? store.index('account').getAll(account) : store.index('session').getAll([account, sessionId])
    const kept = await done(wanted) // equal index keys come by rising order
    return Array.isArray(kept) ? kept.map(parseQueued) : []
  }

  async keepQueued(account: string, m: QueuedMessage): Promise<void> {
    const store = await this.#store(Queue, 'readwrite')
    const order = await done(store.index('message').getKey([account, m.id]))
    store.put({ ...m, account, ...(typeof order === 'number' && { order }) })
    await committed(store.transaction)
  }

  async dropQueued(account: string, id: string): Promise<boolean> {
    const store = await this.#store(Queue, 'readwrite')
    const order = await done(store.index('message').getKey([account, id]))
    if (typeof order !== 'number') return false
    store.delete(order)
    await committed(store.transaction)
    return true
  }

  async sessionPin(account: string, sessionId: string): Promise<SessionPin | undefined> {
    const store = await this.#store(Sessions, 'readonly')
    return parseSessionPin(await done(store.get([account, sessionId])))
  }

  async changeSessionPin(account: string, sessionId: string, change: (kept: SessionPin | undefined) => SessionPin): Promise<SessionPin> {
    const store = await this.#store(Sessions, 'readwrite')
    const pin = change(parseSessionPin(await done(store.get([account, sessionId])))) // one transaction: a second tab waits for it
    store.put(pin, [account, sessionId])
    await committed(store.transaction)
    return pin
  }

  async #store(name: string, mode: IDBTransactionMode): Promise<IDBObjectStore> {
    return (await this.#open()).transaction(name, mode).objectStore(name)
  }

  #open(): Promise<IDBDatabase> {
    this.#database ??= this.#connect().catch((thrown: unknown) => {
      this.#database = undefined
      throw thrown
    })
    return this.#database
  }

  /**
   * A tab that still runs an older version of this code holds the older version of the stores open. It is asked to close by
   * `versionchange`; one too old to listen is named in the error, rather than waited for without end.
   */
  async #connect(): Promise<IDBDatabase> {
    const request = this.#factory.open(this.#name, Version)
    request.onupgradeneeded = ({ oldVersion }) => {
      upgrade(request.result, oldVersion)
    }
    await new Promise<void>((resolve, reject) => {
      request.onblocked = () => {
        request.onsuccess = () => {
          request.result.close() // it opened after all, for nobody
        }
        reject(new Error('open the key store: another tab holds an older version of it; close the other tabs of this site and load again'))
      }
      done(request).then(() => {
        resolve()
      }, reject)
    })
    const database = request.result
    database.onversionchange = () => {
      database.close() // a newer tab needs it; this one opens it again when it next asks
      this.#database = undefined
    }
    return database
  }
}

function upgrade(database: IDBDatabase, from: number): void {
  if (from < 1) {
    database.createObjectStore(Devices)
    database.createObjectStore(PinsByAccount).createIndex('account', 'account')
  }
  const queue = database.createObjectStore(Queue, { keyPath: 'order', autoIncrement: true })
  queue.createIndex('account', 'account')
  queue.createIndex('session', ['account', 'session_id'])
  queue.createIndex('message', ['account', 'id'], { unique: true })
  database.createObjectStore(Sessions)
}

/** Resolves once a transaction is on disk: a request alone may still be rolled back. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.addEventListener('complete', () => {
      resolve()
    })
    transaction.addEventListener('abort', () => {
      reject(toError(transaction.error, 'write to the key store'))
    })
  })
}

/** What every IDBRequest is, whatever its result. */
interface Pending {
  readonly result: unknown
  readonly error: DOMException | null
  addEventListener(type: 'success' | 'error', listener: () => void): void
}

function done(request: Pending): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => {
      resolve(request.result)
    })
    request.addEventListener('error', () => {
      reject(toError(request.error, 'use the key store'))
    })
  })
}
