import { backoff, type Clock } from './clock.ts'
import { RequestError } from './failure.ts'
import type { ScoreInsert } from './rows.ts'
import type { SignedScore } from './score.ts'

export interface ScoreOutboxDeps {
  readonly insert: (row: ScoreInsert) => Promise<void>
  /** A score was refused for good: the message stays unscored by this side. */
  readonly refused: (row: SignedScore, error: RequestError) => void
  readonly clock: Clock
}

/**
 * Refusals that end a score in peace: it stands already (the table's key is its signature: a row that somebody else put there is
 * none), the side has one that the sidecar verified, the sidecar watches the message after all, or the message was erased.
 */
const settled: ReadonlySet<string> = new Set(['23505', 'VG029', 'VG026', '23503'])
/** Others, true or not, were first within this minute: there will be room. */
const Crowded = 'PT429'

/** Stores scores one after the other, each until it stands; one that is crowded out lets the others pass. What is not stored when the tab closes is scored anew by the next visit. */
export class ScoreOutbox {
  readonly #deps: ScoreOutboxDeps
  readonly #queue: SignedScore[] = []
  #running: Promise<void> | undefined

  constructor(deps: ScoreOutboxDeps) {
    this.#deps = deps
  }

  add(row: SignedScore): void {
    this.#queue.push(row)
    this.#kick()
  }

  #kick(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#queue.length > 0 && !this.#deps.clock.closed) this.#kick() // added since the last look
    })
  }

  /** Resolves when nothing waits. */
  settled(): Promise<void> {
    return this.#running ?? Promise.resolve()
  }

  async #run(): Promise<void> {
    let attempt = 0
    for (let row = this.#queue[0]; row !== undefined && !this.#deps.clock.closed; row = this.#queue[0]) {
      try {
        await this.#deps.insert(insertOf(row))
      } catch (thrown) {
        const error = thrown instanceof RequestError ? thrown : new RequestError('store score', '', 0, 'no answer', '', { cause: thrown })
        if (error.code === Crowded) this.#queue.push(...this.#queue.splice(0, 1))
        if (error.code === Crowded || error.temporary) {
          await this.#deps.clock.wait(backoff(attempt++))
          continue
        }
        if (!settled.has(error.code)) this.#deps.refused(row, error)
      }
      attempt = 0
      this.#queue.shift()
    }
  }
}

/** What the database sets itself is left out: it grants no insert of it. */
function insertOf(row: SignedScore): ScoreInsert {
  const {
    message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items, scores, rules, model_version,
    ruleset_version, signature,
  } = row
  return {
    message_id, side, device_id, after_position, level, harm_others, abuse, distress, alert, escalate, hard, items, scores, rules, model_version,
    ruleset_version, signature,
  }
}
