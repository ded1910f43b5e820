import { backoff, type Clock } from './clock.ts'
import type { QueuedText } from './chat.ts'
import { EnvelopeError, Refusal, RequestError, SessionError, toError } from './failure.ts'
import { textContent, type AttachedFile, type Content } from './message.ts'
import type { Queue } from './queue.ts'
import type { SealedMessage } from './rows.ts'

/** What an outbox needs; `seal` may make an epoch on the way. */
export interface OutboxDeps {
  readonly queue: Pick<Queue, keyof Queue>
  readonly seal: (id: string, content: Content) => Promise<SealedMessage>
  readonly insert: (m: SealedMessage) => Promise<void>
  readonly stored: (id: string) => Promise<SealedMessage | undefined>
  /** Called once a message is surely stored. */
  readonly sent: (m: SealedMessage, text: string) => void
  /** Reads the session again: it is another than the one the message was sealed for, as the refusal says. */
  readonly refresh: (refusal: RequestError) => Promise<void>
  readonly changed: (waiting: readonly QueuedText[]) => void
  /** Hears what went wrong with a message that nobody awaits. */
  readonly failed: (thrown: unknown) => void
  readonly clock: Clock
}

/** A message that waits. */
interface Entry {
  readonly id: string
  readonly content: Content
  readonly draft: string
  /** The sealed row, once made: a retry sends exactly this again. */
  row: SealedMessage | null
}

/** One that was given to `send` here, and is awaited. */
interface Awaited {
  readonly content: Content
  readonly hold: boolean
  /** Whether it is in the store: null while it is on the way there; a store that is full or shut leaves it in memory only. */
  kept: boolean | null
  readonly resolve: (id: string) => void
  readonly reject: (error: Error) => void
}

/** SQLSTATEs that say: seal anew. The epoch is too old, lacks the device or a wrap, or the seq is used. */
const sealAnew: ReadonlySet<string> = new Set(['VG010', 'VG012', 'VG008', '23505'])
const NotActive = 'VG002'
const DeviceWaiting = 'VG025'
const MaxSeals = 8

/**
 * Sends one message after the other, in the order given, over tabs and reloads.
 *
 *   draft ─keep─▶ queue ─seal─▶ sealed, kept ─insert─▶ stored, dropped            resolve(id)
 *                   ▲              │ ├─ no answer ─▶ wait ─▶ the same row again   (a doubled id of its own is "stored")
 *                   └─ seal anew ──┘ └─ refused    ─▶ stored after all? else      reject(error), dropped;
 *                                                                                 held, if nobody awaits it or it is to hold
 *
 * Guarantees: a message is stored once, whatever the network answered and whichever tab sent it, since a row is kept before it
 * is tried; a later one never overtakes an earlier one; a seq is used up only by a stored message, so a refusal leaves no hole.
 */
export class Outbox {
  readonly #deps: OutboxDeps
  readonly #awaited = new Map<string, Awaited>()
  readonly #opened = new Map<string, Content>()
  /** What holds the first one, and so all that wait. */
  #held: Error | null = null
  #waiting: readonly QueuedText[] = []
  #keeping: Promise<void> = Promise.resolve()
  #current: string | undefined
  #running = false
  #again = false

  constructor(deps: OutboxDeps) {
    this.#deps = deps
  }

  /** What is waiting, in order, as last known. */
  get waiting(): readonly QueuedText[] {
    return this.#waiting
  }

  /** Resolves with the message's id when it is stored. */
  send(text: string, options: { readonly files?: readonly AttachedFile[]; readonly hold?: boolean } = {}): Promise<string> {
    if (this.#deps.clock.closed) return Promise.reject(closedError())
    const id = crypto.randomUUID()
    const content = { kind: 'text', body: text, at: new Date(), files: options.files ?? [], seen: [] }
    return new Promise((resolve, reject) => {
      const awaited = { content, hold: options.hold ?? false, kept: null, resolve, reject }
      this.#awaited.set(id, awaited)
      this.#tell([...this.#waiting, { id, text, files: content.files, held: null }])
      this.#keeping = this.#keeping.then(() => this.#keep(id, awaited))
      this.kick()
    })
  }

  /** Never rejects: what cannot be kept is sent from memory. */
  async #keep(id: string, awaited: Awaited): Promise<void> {
    const { queue } = this.#deps
    try {
      await queue.keep(id, await queue.seal(id, textContent(awaited.content.body, awaited.content.at, awaited.content)), null)
      awaited.kept = true
    } catch (thrown) {
      awaited.kept = false
      this.#deps.failed(thrown)
    }
  }

  /** Tries what waits: at the start, and when something changed that may have held it. */
  kick(): void {
    this.#again = true
    if (!this.#running && !this.#deps.clock.closed) void this.#run()
  }

  /** Never rejects: each message's own promise says how it went. */
  async #run(): Promise<void> {
    this.#running = true
    let failures = 0
    while (this.#again && !this.#deps.clock.closed) {
      this.#again = false
      try {
        await this.#keeping
        await this.#deps.queue.exclusively(() => this.#drain())
        failures = 0
      } catch (thrown) { // the store is shut, or nobody can say what another tab did
        this.#deps.failed(thrown)
        await this.#deps.clock.wait(backoff(failures++))
        this.#again ||= this.#awaited.size > 0
      }
    }
    this.#running = false
    if (this.#deps.clock.closed) await this.close()
  }

  /** Lets go of what waits, but for what is being sent just now. It is kept, for the next visit: resolves when it is. */
  async close(): Promise<void> {
    for (const id of [...this.#awaited.keys()]) if (id !== this.#current) this.#settle(id)?.reject(closedError())
    await this.#keeping
  }

  /** Sends what waits, to the end or to what holds it. */
  async #drain(): Promise<void> {
    for (let entries = await this.#entries(); entries.length > 0; entries = await this.#entries()) {
      this.#list(entries)
      for (const entry of entries) {
        if (!this.#waiting.some((one) => one.id === entry.id)) continue // taken back meanwhile
        if (this.#deps.clock.closed || !(await this.#passed(entry, entries))) return
      }
    }
    this.#list([])
  }

  /** Sends one message; reports whether the next one may go. */
  async #passed(entry: Entry, entries: readonly Entry[]): Promise<boolean> {
    this.#current = entry.id
    try {
      await this.#deliver(entry)
    } catch (thrown) {
      this.#current = undefined
      if (this.#deps.clock.closed) return false // it is kept, for the next visit
      return !(await this.#refused(entry, entries, toError(thrown, 'send message')))
    }
    this.#held = null
    this.#current = undefined
    const awaited = this.#settle(entry.id)
    this.#tell(this.#waiting.filter((one) => one.id !== entry.id))
    awaited?.resolve(entry.id)
    await this.#drop(entry.id)
    return true
  }

  /** What waits, in order: of all tabs and visits, then what is in memory only. */
  async #entries(): Promise<readonly Entry[]> {
    await this.#keeping
    const entries: Entry[] = []
    const ours = [...this.#awaited].filter(([, one]) => one.kept !== null) // what comes while we read is seen the next time
    for (const kept of await this.#deps.queue.list()) {
      try {
        const content = this.#awaited.get(kept.id)?.content ?? this.#opened.get(kept.id) ?? (await this.#deps.queue.open(kept))
        this.#opened.set(kept.id, content)
        entries.push({ id: kept.id, content, draft: kept.draft, row: kept.row })
      } catch (thrown) {
        if (!(await this.#deps.queue.ours())) continue // this device was renewed in another tab, which sends it
        this.#deps.failed(thrown)
        await this.#deps.queue.drop(kept.id) // a former device's, or broken: nobody can ever send it
      }
    }
    const listed = new Set(entries.map((one) => one.id))
    for (const [id, { kept, content }] of ours) {
      if (kept === false) entries.push({ id, content, draft: '', row: null })
      else if (!listed.has(id)) await this.#sentElsewhere(id)
    }
    return entries
  }

  /** One of ours that left the queue without us: another tab stored it, or took it back. */
  async #sentElsewhere(id: string): Promise<void> {
    const row = await this.#deps.stored(id)
    const awaited = this.#settle(id)
    if (row === undefined) awaited?.reject(new SessionError('taken_back', 'the message was taken back in another tab'))
    else awaited?.resolve(id)
  }

  /** Says what becomes of a refused message; reports whether the queue must stop before it. */
  async #refused(entry: Entry, entries: readonly Entry[], error: Error): Promise<boolean> {
    const hopeless = error instanceof EnvelopeError && error.refusal === Refusal.format
    if (hopeless || this.#awaited.get(entry.id)?.hold === false) {
      await this.#drop(entry.id)
      const awaited = this.#settle(entry.id)
      if (awaited === undefined) this.#deps.failed(error)
      awaited?.reject(error)
      return false
    }
    this.#held = error
    const left: Entry[] = []
    for (const one of entries) {
      if (!this.#waiting.some(({ id }) => id === one.id)) continue
      if (this.#awaited.get(one.id)?.hold !== false) {
        left.push(one)
        continue
      }
      await this.#drop(one.id) // what holds the first one holds them all
      this.#settle(one.id)?.reject(error)
    }
    this.#list(left)
    return true
  }

  async #drop(id: string): Promise<void> {
    this.#opened.delete(id)
    await this.#deps.queue.drop(id)
    this.#tell(this.#waiting.filter((one) => one.id !== id))
  }

  /** Forgets who awaits a message; what is done with it is not told twice. */
  #settle(id: string): Awaited | undefined {
    const awaited = this.#awaited.get(id)
    this.#awaited.delete(id)
    return awaited
  }

  /** What waits is what was read, and what was given here since. */
  #list(entries: readonly Entry[]): void {
    const read = new Set(entries.map((one) => one.id))
    const since = [...this.#awaited].filter(([id]) => !read.has(id)).map(([id, { content }]) => ({ id, content }))
    this.#tell([...entries, ...since].map(({ id, content }) => ({ id, text: content.body, files: content.files, held: this.#held })))
  }

  #tell(waiting: readonly QueuedText[]): void {
    const same = waiting.length === this.#waiting.length && waiting.every((one, i) => one.id === this.#waiting[i]?.id && one.held === this.#waiting[i].held)
    this.#waiting = waiting
    if (!same) this.#deps.changed(waiting)
  }

  async #deliver(entry: Entry): Promise<void> {
    let refusals = 0
    for (let attempt = 0; ; attempt++) {
      if (this.#deps.clock.closed) throw closedError()
      try {
        const row = entry.row ?? (await this.#seal(entry))
        await this.#insert(row)
        this.#deps.sent(row, entry.content.body)
        return
      } catch (thrown) {
        if (!(thrown instanceof RequestError)) throw thrown
        if (thrown.temporary) {
          await this.#deps.clock.wait(backoff(attempt))
        } else {
          if (entry.row === null || !sealAnew.has(thrown.code)) throw refused(thrown)
          if (++refusals === MaxSeals) {
            throw new SessionError('not_active', 'the session changes faster than a message can be sealed', { cause: thrown })
          }
          entry.row = null
          attempt = 0
          await this.#refresh(thrown)
        }
      }
    }
  }

  /** Seals, and keeps the row before anybody sees it: after a reload exactly this is tried again. */
  async #seal(entry: Entry): Promise<SealedMessage> {
    entry.row = await this.#deps.seal(entry.id, entry.content)
    if (entry.draft !== '') await this.#deps.queue.keep(entry.id, entry.draft, entry.row)
    return entry.row
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

  async #refresh(refusal: RequestError): Promise<void> {
    try {
      await this.#deps.refresh(refusal)
    } catch (thrown) {
      if (!(thrown instanceof RequestError && thrown.temporary)) throw thrown // sealing will ask again
    }
  }

  /** Takes a message out that is not being sent just now, by this tab or another; reports whether it was taken. */
  async takeBack(id: string): Promise<boolean> {
    const { queue } = this.#deps
    const take = async (): Promise<boolean> => {
      const row = (await queue.list()).find((one) => one.id === id)?.row ?? null
      if (row !== null && (await this.#deps.stored(id)) !== undefined) return false
      await this.#drop(id)
      this.#settle(id)?.reject(new SessionError('taken_back', 'the message was taken back'))
      return true
    }
    if (this.#current === id || !this.#waiting.some((one) => one.id === id)) return false
    await this.#keeping
    return this.#current === undefined ? ((await queue.unlessBusy(take)) ?? false) : take()
  }

  /** Drops everything that waits, of all tabs: the session is erased. */
  async forget(error: Error): Promise<void> {
    await this.#keeping
    for (const { id } of await this.#deps.queue.list()) await this.#drop(id)
    for (const id of [...this.#awaited.keys()]) this.#settle(id)?.reject(error)
    this.#tell([])
  }
}

function refused(error: RequestError): Error {
  if (error.code === DeviceWaiting) return new SessionError('device_waiting', 'this device waits to be approved by another of yours', { cause: error })
  if (error.code !== NotActive) return error
  return new SessionError('not_active', 'the session is not active', { cause: error })
}

function closedError(): SessionError {
  return new SessionError('closed', 'the session was closed before the message was stored; it is sent when the session is opened next')
}
