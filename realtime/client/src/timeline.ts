import { backoff, type Clock } from './clock.ts'
import { PageRows } from './answer.ts'
import type { MessageRow } from './rows.ts'

export interface TimelineDeps {
  /** Rows after a position, in order, at most PageRows. */
  readonly read: (position: number) => Promise<readonly MessageRow[]>
  /** Called for each message once, by rising position. May throw when the network is away: it is called again then. */
  readonly deliver: (row: MessageRow) => Promise<void>
  /** Hears what read or deliver threw, before it is tried again. */
  readonly failed: (thrown: unknown) => void
  readonly clock: Clock
}

/** How often a row that was announced and does not show is looked for, before the announcement is forgotten. */
const MaxLooks = 6

/**
 * Puts a session's messages in order. Positions are dense in the table, and given under a lock: when a read shows position n,
 * every position below n that it does not show was erased. A live row is shown as it came only if it is the next one; any other
 * is an announcement, and what the table holds is shown. An announcement alone never moves the last position.
 *
 *   live row ──▶ pending ──▶ next position? ── yes ─▶ deliver
 *   arrival, join, gap ────────▶ read the table ──────▲
 */
export class Timeline {
  readonly #deps: TimelineDeps
  readonly #pending = new Map<number, MessageRow>()
  #last = 0
  /** The highest position heard of. */
  #heard = 0
  #stale = false
  #running: Promise<void> | undefined

  constructor(deps: TimelineDeps) {
    this.#deps = deps
  }

  /** The position of the last message delivered. */
  get last(): number {
    return this.#last
  }

  /** A row came over the socket. */
  offer(row: MessageRow): void {
    if (row.position <= this.#last) return
    this.#pending.set(row.position, row)
    this.heard(row.position)
  }

  /** A message of that position exists. */
  heard(position: number): void {
    this.#heard = Math.max(this.#heard, position)
    void this.#kick()
  }

  /** Reads the table to its end; resolves when what it held is delivered. */
  catchUp(): Promise<void> {
    this.#stale = true
    return this.#kick()
  }

  #kick(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      const more = this.#stale || this.#heard > this.#last // heard of since the last look
      if (more && !this.#deps.clock.closed) void this.#kick()
    })
    return this.#running
  }

  async #run(): Promise<void> {
    let attempt = 0
    let looks = 0
    let sought = 0
    while (!this.#deps.clock.closed) {
      try {
        await this.#deliverPending()
        if (!this.#stale && this.#heard <= this.#last) return
        if (this.#heard > sought) looks = 0
        sought = this.#heard
        const shown = await this.#readOn()
        attempt = 0
        if (shown || this.#heard <= this.#last) {
          looks = 0
        } else if (++looks >= MaxLooks) {
          this.#forget(sought)
          sought = 0
        } else {
          await this.#deps.clock.wait(50 * 2 ** looks) // the log runs ahead of snapshots
        }
      } catch (thrown) {
        this.#deps.failed(thrown) // the network is away, or a row cannot be judged without it
        await this.#deps.clock.wait(backoff(attempt++))
      }
    }
  }

  async #deliverPending(): Promise<void> {
    for (let row = this.#pending.get(this.#last + 1); row !== undefined; row = this.#pending.get(this.#last + 1)) {
      await this.#deliver(row)
    }
  }

  /** Reads one page and delivers it; reports whether it showed anything. */
  async #readOn(): Promise<boolean> {
    const whole = this.#stale
    const page = await this.#deps.read(this.#last)
    for (const row of page) await this.#deliver(row)
    if (whole && page.length < PageRows) this.#stale = false
    return page.length > 0
  }

  async #deliver(row: MessageRow): Promise<void> {
    if (row.position > this.#last) {
      await this.#deps.deliver(row)
      this.#last = row.position
    }
    for (const position of this.#pending.keys()) if (position <= this.#last) this.#pending.delete(position)
  }

  /** What was announced up to a position is not in the table: erased, or it never was. The next reading shows what is. */
  #forget(position: number): void {
    for (const pending of this.#pending.keys()) if (pending <= position) this.#pending.delete(pending)
    if (this.#heard <= position) this.#heard = this.#last
  }
}
