import { PointBytes, concat, decodeText, encodeText, label, uuidBytes, type Bytes } from './bytes.ts'
import { hpke, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { parseContent, type Content } from './message.ts'
import type { SealedMessage } from './rows.ts'
import type { QueuedMessage, Store } from './store.ts'

export interface QueueDeps {
  readonly store: Store
  readonly account: string
  readonly sessionId: string
  readonly device: Device
}

/**
 * The messages of one session that are not stored yet, kept over reloads. Their texts are sealed to the device itself, not under
 * an epoch: so no seq is reserved, which a refusal would leave as a hole, and any later epoch can take them.
 */
export class Queue {
  readonly #deps: QueueDeps

  constructor(deps: QueueDeps) {
    this.#deps = deps
  }

  list(): Promise<readonly QueuedMessage[]> {
    return this.#deps.store.queue(this.#deps.account, this.#deps.sessionId)
  }

  /** Whether the account's device is still this one: another's messages are not this one's to drop. */
  async ours(): Promise<boolean> {
    return (await this.#deps.store.device(this.#deps.account))?.kid === this.#deps.device.kid
  }

  keep(id: string, draft: string, row: SealedMessage | null): Promise<void> {
    return this.#deps.store.keepQueued(this.#deps.account, { id, session_id: this.#deps.sessionId, draft, row })
  }

  drop(id: string): Promise<boolean> {
    return this.#deps.store.dropQueued(this.#deps.account, id)
  }

  async seal(id: string, content: Bytes): Promise<string> {
    const { encapsulatedSecret, ciphertext } = await hpke.Seal(this.#deps.device.enc.publicKey, content, { info: this.#info(id) })
    return encodeText(concat(encapsulatedSecret, ciphertext))
  }

  /** Opens a kept text; refuses, as 'format', what this device did not seal for this session and id. */
  async open(m: QueuedMessage): Promise<Content> {
    try {
      const sealed = decodeText(m.draft)
      const { enc } = this.#deps.device
      return parseContent(concat(await hpke.Open(enc, sealed.subarray(0, PointBytes), sealed.subarray(PointBytes), { info: this.#info(m.id) })))
    } catch (cause) {
      throw new EnvelopeError(Refusal.format, `queued message ${m.id} does not open`, { cause })
    }
  }

  #info(id: string): Bytes {
    return concat(label('pe1/queue'), uuidBytes(this.#deps.sessionId), uuidBytes(id), uuidBytes(this.#deps.device.kid))
  }

  /** Runs the work while no other tab of the account sends in this session. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return exclusively(this.#lock, work)
  }

  /** Runs the work unless somebody sends just now; undefined then. */
  unlessBusy<T>(work: () => Promise<T>): Promise<T | undefined> {
    return unlessBusy(this.#lock, work)
  }

  get #lock(): string {
    return `vigil-outbox ${this.#deps.account} ${this.#deps.sessionId}`
  }
}

/** For where there are no Web Locks (Node): one process is all there is. */
const running = new Map<string, Promise<unknown>>()

function locks(): LockManager | undefined {
  return typeof navigator === 'undefined' || !('locks' in navigator) ? undefined : navigator.locks
}

async function exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
  const web = locks()
  if (web !== undefined) return web.request(name, work)
  const before = running.get(name)
  const own = (before ?? Promise.resolve()).then(work, work)
  running.set(name, own)
  try {
    return await own
  } finally {
    if (running.get(name) === own) running.delete(name)
  }
}

async function unlessBusy<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
  const web = locks()
  if (web !== undefined) return web.request(name, { ifAvailable: true }, async (lock) => (lock === null ? undefined : work()))
  return running.has(name) ? undefined : exclusively(name, work)
}
