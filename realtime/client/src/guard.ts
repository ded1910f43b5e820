import type { ModeChange } from './chat.ts'
import { isWithdrawn } from './consent.ts'
import type { ConsentRow, ParticipantRow, SessionMode, SessionRow } from './rows.ts'
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
 * the person knows of, the highest suite, epoch and min_epoch met, the consents that were withdrawn, and who takes part as what.
 * Read anew each time, for another tab may have moved it.
 */
export class Guard {
  readonly #deps: GuardDeps

  constructor(deps: GuardDeps) {
    this.#deps = deps
  }

  /** The pin; at first use, what the session's row says. */
  pin(row: SessionRow): Promise<SessionPin> {
    return this.#change(row, (pin) => pin)
  }

  /** The mode in force and the one acknowledged, if they differ. */
  async modeChange(row: SessionRow): Promise<ModeChange | undefined> {
    const { mode } = await this.pin(row)
    return mode === row.mode ? undefined : { now: row.mode, acknowledged: mode }
  }

  async acknowledge(row: SessionRow, mode: SessionMode): Promise<void> {
    await this.#change(row, (pin) => ({ ...pin, mode }))
  }

  /** Remembers an epoch that was verified. */
  async opened(row: SessionRow, epoch: number, suite: number): Promise<void> {
    await this.#change(row, (pin) => (
      epoch <= pin.epoch && suite <= pin.suite ? pin : { ...pin, epoch: Math.max(epoch, pin.epoch), suite: Math.max(suite, pin.suite) }
    ))
  }

  /** What was pinned before the session is read: what is read after may not be less. */
  known(): Promise<SessionPin | undefined> {
    const { store, account, sessionId } = this.#deps
    return store.sessionPin(account, sessionId)
  }

  /** Meets the row's min_epoch. No row raises the pin beyond the next epoch, so that a false one cannot end a session for good. */
  async met(row: SessionRow, next: number): Promise<void> {
    const minEpoch = Math.min(row.min_epoch, next)
    await this.#change(row, (pin) => (minEpoch <= pin.minEpoch ? pin : { ...pin, minEpoch }))
  }

  /** The consents as they stand here: one that was ever withdrawn stays so. */
  async consents(row: SessionRow, read: readonly ConsentRow[]): Promise<readonly ConsentRow[]> {
    const withdrawn = await this.withdrew(row, ...read.filter(isWithdrawn).map((one) => one.id))
    return read.map((one) => (withdrawn.includes(one.id) ? { ...one, withdrawn_at: one.withdrawn_at ?? Unknown } : one))
  }

  async withdrew(row: SessionRow, ...ids: readonly string[]): Promise<readonly string[]> {
    const { withdrawn } = await this.#change(row, (pin) => {
      const news = ids.filter((id) => !pin.withdrawn.includes(id))
      return news.length === 0 ? pin : { ...pin, withdrawn: [...pin.withdrawn, ...news] }
    })
    return withdrawn
  }

  /** Meets who takes part: until an epoch was used here whoever is there; later, nobody comes, or comes back, but by `admit`. */
  async meet(row: SessionRow, met: readonly ParticipantRow[]): Promise<void> {
    const live = rolesOf(met.filter((one) => one.ended_at === null))
    await this.#change(row, (pin) => {
      const people = pin.epoch === 0 ? live : Object.fromEntries(Object.entries(pin.people).filter(([id]) => id in live))
      return JSON.stringify(people) === JSON.stringify(pin.people) ? pin : { ...pin, people }
    })
  }

  /** Remembers people in the roles that they have now. */
  async admit(row: SessionRow, people: readonly ParticipantRow[]): Promise<void> {
    await this.#change(row, (pin) => ({ ...pin, people: { ...pin.people, ...rolesOf(people) } }))
  }

  /** Writes only what is another pin; the change is made to what is kept at that moment, by whichever tab. */
  async #change(row: SessionRow, change: (pin: SessionPin) => SessionPin): Promise<SessionPin> {
    const { store, account, sessionId } = this.#deps
    const known = await this.known()
    if (known !== undefined && change(known) === known) return known
    const first: SessionPin = { mode: row.mode, suite: 0, epoch: 0, minEpoch: 0, withdrawn: [], people: {} }
    return store.changeSessionPin(account, sessionId, (kept) => change(kept ?? first))
  }
}

function rolesOf(people: readonly ParticipantRow[]): SessionPin['people'] {
  return Object.fromEntries(people.map((one) => [one.user_id, one.role]))
}
