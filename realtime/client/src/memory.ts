import type { Device } from './device.ts'
import type { Pin, QueuedMessage, SessionPin, Store } from './store.ts'

/** Forgets with the process: for tests, and for Node programs that are a new device each time. */
export class MemoryStore implements Store {
  readonly #devices = new Map<string, Device>()
  readonly #pins = new Map<string, Map<string, Pin>>()
  readonly #queues = new Map<string, Map<string, QueuedMessage>>()
  readonly #sessions = new Map<string, SessionPin>()

  device(account: string): Promise<Device | undefined> {
    return Promise.resolve(this.#devices.get(account))
  }

  keepDevice(account: string, device: Device): Promise<Device> {
    const kept = this.#devices.get(account) ?? device
    this.#devices.set(account, kept)
    return Promise.resolve(kept)
  }

  dropDevice(account: string): Promise<void> {
    this.#devices.delete(account)
    this.#queues.delete(account)
    return Promise.resolve()
  }

  pins(account: string): Promise<readonly Pin[]> {
    return Promise.resolve([...(this.#pins.get(account)?.values() ?? [])])
  }

  keepPin(account: string, pin: Pin): Promise<void> {
    const pins = this.#pins.get(account) ?? new Map<string, Pin>()
    this.#pins.set(account, pins.set(pin.kid, pin))
    return Promise.resolve()
  }

  queue(account: string, sessionId?: string): Promise<readonly QueuedMessage[]> {
    const all = [...(this.#queues.get(account)?.values() ?? [])]
    return Promise.resolve(all.filter((one) => sessionId === undefined || one.session_id === sessionId))
  }

  keepQueued(account: string, m: QueuedMessage): Promise<void> {
    const queue = this.#queues.get(account) ?? new Map<string, QueuedMessage>()
    this.#queues.set(account, queue.set(m.id, m)) // a Map keeps a known key's place
    return Promise.resolve()
  }

  dropQueued(account: string, id: string): Promise<boolean> {
    return Promise.resolve(this.#queues.get(account)?.delete(id) ?? false)
  }

  sessionPin(account: string, sessionId: string): Promise<SessionPin | undefined> {
    return Promise.resolve(this.#sessions.get(`${account} ${sessionId}`))
  }

  changeSessionPin(account: string, sessionId: string, change: (kept: SessionPin | undefined) => SessionPin): Promise<SessionPin> {
    const pin = change(this.#sessions.get(`${account} ${sessionId}`))
    this.#sessions.set(`${account} ${sessionId}`, pin)
    return Promise.resolve(pin)
  }
}
