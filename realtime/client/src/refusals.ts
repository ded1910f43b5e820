import { RequestError, type Refusal } from './failure.ts'

/** Why a row is reported: a refusal of its envelope, or what only two devices together can see. */
export type RefusalReason = Refusal | 'split_view' | 'withheld' | 'mode' | 'score' | 'device'

/** A row that this device refused. */
export interface Refused {
  readonly table: string
  readonly id: string
  readonly reason: RefusalReason
}

/**
 * Reports refused rows for the audit log, each once for its reason. A report holds ids and a code, never text. That it cannot be
 * made keeps nothing from being refused: it is dropped, and made again when the row is met again.
 */
export class Refusals {
  readonly #report: (refused: Refused) => Promise<void>
  readonly #reported = new Set<string>()

  constructor(report: (refused: Refused) => Promise<void>) {
    this.#report = report
  }

  readonly report = (refused: Refused): void => {
    const key = `${refused.table} ${refused.id} ${refused.reason}`
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    this.#report(refused).catch((thrown: unknown) => {
      if (thrown instanceof RequestError && thrown.temporary) this.#reported.delete(key)
    })
  }
}
