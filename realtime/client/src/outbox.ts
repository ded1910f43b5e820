import { backoff, type Clock } from './clock.ts'
import { EnvelopeError, RequestError, SessionError, toError } from './failure.ts'
import type { SealedMessage } from './rows.ts'

/** What is waiting to be sent. Text lives in memory only: a closed tab loses what was not stored. */
interface Draft {
  readonly id: string
  readonly text: string
  /** The sealed row, once made: a retry sends exactly this again. */
  row: SealedMessage | undefined
  resolve: (id: string) => void
  reject: (error: Error) => void
}

/** What an outbox needs; `seal` may make an epoch on the way. */
export interface OutboxDeps {
  readonly seal: (id: string, text: string) => Promise<SealedMessage>
  readonly insert: (m: SealedMessage) => Promise<void>
  readonly stored: (id: string) => Promise<SealedMessage | undefined>
  /** Called once a message is surely stored. */
  readonly sent: (m: SealedMessage) => void
  /** Reads the session again: it is another than the one the message was sealed for. */
  readonly refresh: () => Promise<void>
  readonly clock: Clock
}

/** SQLSTATEs that say: seal anew. The epoch is too old, lacks the device or a wrap, or the seq is used. */
const sealAnew: ReadonlySet<string> = new Set(['VG010', 'VG012', 'VG008', '23505'])
const NotActive = 'VG002'
const MaxSeals = 8

/**
 * Sends one message after the other, in the order given.
 *
 *   draft ─seal─▶ sealed ─insert─▶ stored                         resolve(id)
 *     ▲             │ ├─ no answer ─▶ wait ─▶ the same row again  (a doubled id of its own is "stored")
 *     └─ seal anew ─┘ └─ refused    ─▶ stored after all? else     reject(error)
 *
 * Guarantees: a message is stored once, whatever the network answered; a later one never overtakes an earlier one; a seq is
 * used up only by a stored message, so a refusal leaves no hole.
 */
export class Outbox {
  readonly #deps: OutboxDeps
  readonly #queue: Draft[] = []
  #running = false

  constructor(deps: OutboxDeps) {
    this.#deps = deps
  }

  /** How many messages are waiting. */
  get waiting(): number {
    return this.#queue.length
  }

  /** Resolves with the message's id when it is stored. */
  send(text: string, id: string = crypto.randomUUID()): Promise<string> {
    if (this.#deps.clock.closed) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      this.#queue.push({ id, text, row: undefined, resolve, reject })
      if (!this.#running) void this.#run()
    })
  }

  /** Never rejects: each draft's own promise says how it went. */
  async #run(): Promise<void> {
    this.#running = true
    for (let draft = this.#queue[0]; draft !== undefined; draft = this.#queue[0]) {
      try {
        await this.#deliver(draft)
        draft.resolve(draft.id)
      } catch (thrown) {
        draft.reject(toError(thrown, 'send message'))
      }
      this.#queue.shift()
    }
    this.#running = false
  }

  async #deliver(draft: Draft): Promise<void> {
    let refusals = 0
    for (let attempt = 0; ; attempt++) {
      if (this.#deps.clock.closed) throw closedError()
      try {
        draft.row ??= await this.#deps.seal(draft.id, draft.text)
        await this.#insert(draft.row)
        this.#deps.sent(draft.row)
        return
      } catch (thrown) {
        if (!(thrown instanceof RequestError)) throw thrown
        if (thrown.temporary) {
          await this.#deps.clock.wait(backoff(attempt))
        } else {
          if (draft.row === undefined || !sealAnew.has(thrown.code)) throw refused(thrown)
          if (++refusals === MaxSeals) {
            throw new SessionError('not_active', 'the session changes faster than a message can be sealed', { cause: thrown })
          }
          draft.row = undefined
          attempt = 0
          await this.#refresh()
        }
      }
    }
  }

  /** Inserts a row; whatever the refusal, a row that is there after all is stored. */
  async #insert(row: SealedMessage): Promise<void> {
    try {
      await this.#deps.insert(row)
    } catch (thrown) {
      if (!(thrown instanceof RequestError) || thrown.temporary) throw thrown
      const stored = await this.#deps.stored(row.id)
      if (stored === undefined) throw thrown
      if (stored.body !== row.body) throw new EnvelopeError('format', `message id ${row.id} is another's`)
    }
  }

  async #refresh(): Promise<void> {
    try {
      await this.#deps.refresh()
    } catch (thrown) {
      if (!(thrown instanceof RequestError && thrown.temporary)) throw thrown // sealing will ask again
    }
  }
}

function refused(error: RequestError): Error {
  if (error.code !== NotActive) return error
  return new SessionError('not_active', 'the session is not active', { cause: error })
}

function closedError(): SessionError {
  return new SessionError('closed', 'the session was closed before the message was stored')
}
