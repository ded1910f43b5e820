import type { ModeChange } from './chat.ts'
import { isWithdrawn } from './consent.ts'
import type { ConsentRow, SessionMode, SessionRow } from './rows.ts'
import type { SessionPin, Store } from './store.ts'

/** When a consent was withdrawn of which the database tells that no more: before all epochs, so that none opens under it. */
const Unknown = '1970-01-01T00:00:00Z'

export interface GuardDeps {
  readonly store: Store
  readonly account: string
  readonly sessionId: string
}

/**
 * What this browser remembers of a session, so that whoever has the database in hand cannot take it back unseen: the mode that
 * the person knows of, the highest suite, epoch and min_epoch met, and the consents that were withdrawn. Read anew each time, for another tab may have moved it.
 */
export class Guard {
  readonly #deps: GuardDeps

  constructor(deps: GuardDeps) {
    this.#deps = deps
  }

  /** The pin; at first use, what the session's row says. */
  async pin(row: SessionRow): Promise<SessionPin> {
    const { store, account, sessionId } = this.#deps
    const kept = await this.known()
    if (kept !== undefined) return kept
    const first: SessionPin = { mode: row.mode, suite: 0, epoch: 0, minEpoch: 0, withdrawn: [] }
    await store.keepSessionPin(account, sessionId, first)
    return first
  }

  /** The mode in force and the one acknowledged, if they differ. */
  async modeChange(row: SessionRow): Promise<ModeChange | undefined> {
    const { mode } = await this.pin(row)
    return mode === row.mode ? undefined : { now: row.mode, acknowledged: mode }
  }

  async acknowledge(row: SessionRow, mode: SessionMode): Promise<void> {
    await this.#change(row, { mode })
  }

  /** Remembers an epoch that was verified. */
  async opened(row: SessionRow, epoch: number, suite: number): Promise<void> {
    const pin = await this.pin(row)
    if (epoch <= pin.epoch && suite <= pin.suite) return
    await this.#change(row, { epoch: Math.max(epoch, pin.epoch), suite: Math.max(suite, pin.suite) })
  }

  /** What was pinned before the session is read: what is read after may not be less. */
  known(): Promise<SessionPin | undefined> {
    const { store, account, sessionId } = this.#deps
    return store.sessionPin(account, sessionId)
  }

  /** Meets the row's min_epoch. No row raises the pin beyond the next epoch, so that a false one cannot end a session for good. */
  async met(row: SessionRow, next: number): Promise<void> {
    const pin = await this.pin(row)
    const least = Math.min(row.min_epoch, next)
    if (least > pin.minEpoch) await this.#change(row, { minEpoch: least })
  }

  /** The consents as they stand here: one that was ever withdrawn stays so. */
  async consents(row: SessionRow, read: readonly ConsentRow[]): Promise<readonly ConsentRow[]> {
    for (const one of read) if (isWithdrawn(one)) await this.withdrew(row, one.id)
    const { withdrawn } = await this.pin(row)
    return read.map((one) => (withdrawn.includes(one.id) ? { ...one, withdrawn_at: one.withdrawn_at ?? Unknown } : one))
  }

  async withdrew(row: SessionRow, consentId: string): Promise<void> {
    const { withdrawn } = await this.pin(row)
    if (!withdrawn.includes(consentId)) await this.#change(row, { withdrawn: [...withdrawn, consentId] })
  }

  async #change(row: SessionRow, change: Partial<SessionPin>): Promise<void> {
    const pin = await this.pin(row)
    await this.#deps.store.keepSessionPin(this.#deps.account, this.#deps.sessionId, { ...pin, ...change })
  }
}
