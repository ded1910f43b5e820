import { backoff, type Clock } from './clock.ts'
import type { Finding } from './detect-module.ts'

/** What assesses one message after another: a Detector. */
export interface Assessor {
  assess(text: string, state?: Uint8Array): Promise<Finding>
}

/** A finding, and the position up to which the state it was found with had been folded; 0: by itself. */
export interface Found {
  readonly finding: Finding
  readonly after: number
}

const MaxAttempts = 8

/**
 * A session's messages, folded into the detector's state by position, as the sidecar folds an assisted session's. The state of
 * each position is kept (10 bytes), so that what another device found from an earlier one can be found again.
 *
 * A device that cannot read what others can cannot have the state that they have: from the first such message it assesses each by
 * itself, and says so (`after` 0). A row that nobody can read changes no state, here as at the sidecar.
 */
export class Fold {
  readonly #assessor: Assessor
  readonly #clock: Clock
  readonly #failed: (thrown: unknown) => void
  readonly #states = new Map<number, Uint8Array>()
  #last = 0
  /** Every message up to here was there and was folded. */
  #dense = 0
  #whole = true

  constructor(deps: { readonly assessor: Assessor; readonly clock: Clock; readonly failed: (thrown: unknown) => void }) {
    this.#assessor = deps.assessor
    this.#clock = deps.clock
    this.#failed = deps.failed
  }

  /** Assesses the session's next message and folds it in; undefined: it cannot be read, or the detector gave up on it. */
  async next(position: number, text: string | null): Promise<Found | undefined> {
    const after = this.#whole ? this.#last : 0
    const finding = text === null ? undefined : await this.#assess(text, this.#states.get(after))
    if (finding === undefined) {
      this.#whole = false
      return undefined
    }
    this.#states.set(position, finding.state)
    if (this.#whole && position === this.#dense + 1) this.#dense = position
    this.#last = position
    return { finding, after }
  }

  /** Goes past a row that no device can read, whatever key it has: the state stays as it was. */
  pass(position: number): void {
    const state = this.#states.get(this.#last)
    if (state !== undefined) this.#states.set(position, state)
    if (this.#whole && position === this.#dense + 1) this.#dense = position
    this.#last = position
  }

  /** Assesses what is not in the table yet, after what is folded now. */
  async ahead(text: string): Promise<Found | undefined> {
    const after = this.#whole ? this.#last : 0
    const finding = await this.#assess(text, this.#states.get(after))
    return finding === undefined ? undefined : { finding, after }
  }

  /** Assesses again after an earlier position; undefined: the state there is not known here. */
  async again(text: string, after: number): Promise<Finding | undefined> {
    if (after > this.#dense) return undefined // of erased messages, or unread ones, another device may know more
    return this.#assess(text, this.#states.get(after))
  }

  /** A detector that fails is asked again for about a minute: it may not have been loaded yet. */
  async #assess(text: string, state: Uint8Array | undefined): Promise<Finding | undefined> {
    for (let attempt = 0; attempt < MaxAttempts && !this.#clock.closed; attempt++) {
      try {
        return await this.#assessor.assess(text, state)
      } catch (thrown) {
        if (attempt === 0) this.#failed(thrown)
        await this.#clock.wait(backoff(attempt))
      }
    }
    return undefined
  }
}
