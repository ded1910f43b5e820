import { rowHash, type Seen } from './message.ts'
import type { MessageRow } from './rows.ts'

/** How many rows a message names; the reader takes no more. */
const MaxNamed = 8

/** What a sender was shown otherwise than this device. */
export interface Differences {
  /** Positions where the sender had verified another row, or one where none can have been. */
  readonly split: readonly number[]
  /** Positions where the sender had verified a row, and this device was shown none: withheld, or erased since. */
  readonly withheld: readonly number[]
}

/**
 * The rows that this device was shown, by position. Every message names the last rows that its sender had verified; whoever
 * shows two people two sessions is found out by the first message that passes between them.
 */
export class SeenRows {
  readonly #hashes = new Map<number, string>()
  readonly #told = new Set<number>()
  #verified: readonly Seen[] = []

  /** A row was shown here, and was verified or not. */
  async shown(row: MessageRow, verified: boolean): Promise<void> {
    const hash = await rowHash(row).catch(() => '') // a body that is no base64url can have been verified by nobody
    this.#hashes.set(row.position, hash)
    if (verified) this.#verified = [...this.#verified, [row.position, hash] as const].slice(-MaxNamed)
  }

  /** The last rows that were verified here, for the next message. */
  get recent(): readonly Seen[] {
    return this.#verified
  }

  /**
   * Compares what a message's sender had verified with what was shown here before it. What lies before the first row shown here
   * is left out: history that was erased to a date looks the same. Each position is told of once.
   */
  compare(row: MessageRow, seen: readonly Seen[]): Differences {
    const first = Math.min(row.position, ...this.#hashes.keys())
    const [split, withheld]: [number[], number[]] = [[], []]
    for (const [position, hash] of seen) {
      const own = this.#hashes.get(position)
      if (own === hash || position < first || this.#told.has(position)) continue
      this.#told.add(position)
      if (own === undefined && position < row.position) withheld.push(position)
      else split.push(position)
    }
    return { split, withheld }
  }
}

/**
 * The rows that were verified here, in the order they are shown in. No signature covers a position: whoever has the database could
 * show one message twice, or a sender's messages in another order.
 */
export class VerifiedRows {
  /** By id, and by device, epoch and seq. */
  readonly #positions = new Map<string, number>()
  readonly #seqs = new Map<string, number>()

  /** Whether the message was verified at another position before; if not, it is known from now on. */
  isRepeated(row: MessageRow): boolean {
    const keys = [row.id, `${chainOf(row)} ${row.seq}`]
    if (keys.some((key) => (this.#positions.get(key) ?? row.position) !== row.position)) return true
    for (const key of keys) this.#positions.set(key, row.position)
    return false
  }

  /** How many seqs of the sender are missing before the row, and whether a later one was shown before it. */
  follow(row: MessageRow): { readonly missing: number; readonly late: boolean } {
    const last = this.#seqs.get(chainOf(row)) ?? -1
    this.#seqs.set(chainOf(row), Math.max(row.seq, last))
    return { missing: Math.max(0, row.seq - last - 1), late: row.seq < last }
  }
}

const chainOf = (row: MessageRow): string => `${row.sender_device_id} ${row.epoch}`
