import { PointBytes, decodeSized } from './bytes.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fingerprint, type Roster } from './roster.ts'
import { DeviceKind, type DeviceRow } from './rows.ts'
import type { Pin, Store } from './store.ts'

/** The owner under which the sidecar's devices are pinned. */
export const AnalysisOwner = 'analysis'

/**
 * Keys pinned on first use. All devices that a person has when first met are trusted; one that appears later waits for an
 * acknowledgement, and one whose keys changed is refused. Without this, someone with the database in hand could replace a
 * whole roster, or add a device of their own to it.
 */
export class Pins {
  readonly #store: Store
  readonly #account: string
  #known: Promise<Map<string, Pin>> | undefined

  constructor(store: Store, account: string) {
    this.#store = store
    this.#account = account
  }

  #load(): Promise<Map<string, Pin>> {
    this.#known ??= this.#store.pins(this.#account).then((pins) => new Map(pins.map((pin) => [pin.kid, pin])))
    return this.#known
  }

  async #keep(pin: Pin): Promise<void> {
    const known = await this.#load()
    known.set(pin.kid, pin)
    await this.#store.keepPin(this.#account, pin)
  }

  /** Refuses, as 'pin', a roster with a known device under other keys. */
  async checkRoster(roster: Roster): Promise<void> {
    const known = await this.#load()
    for (const member of roster) {
      const pin = known.get(member.kid)
      if (pin !== undefined && pin.fingerprint !== (await fingerprint(member))) {
        throw new EnvelopeError(Refusal.pin, `keys of device ${member.kid} have changed`)
      }
    }
  }

  /** Remembers the devices of a roster that opened, without a word on whose they are. They are not yet trusted. */
  async keepRoster(roster: Roster): Promise<void> {
    const known = await this.#load()
    for (const member of roster) {
      if (known.has(member.kid)) continue
      await this.#keep({ kid: member.kid, owner: '', fingerprint: await fingerprint(member), trusted: false })
    }
  }

  /**
   * Meets the rows of `devices`: pins the devices of people not met before. Returns the kids that must be acknowledged before
   * anything is sent: those with other keys than pinned, and those new for someone already known.
   */
  async meet(rows: readonly DeviceRow[]): Promise<readonly string[]> {
    const known = await this.#load()
    const met = new Set([...known.values()].filter((pin) => pin.trusted).map((pin) => pin.owner))
    const waiting: string[] = []
    for (const row of rows) {
      const owner = ownerOf(row)
      const print = await rowFingerprint(row)
      const pin = known.get(row.id)
      if (pin?.trusted === true && pin.fingerprint === print) continue
      const changed = pin !== undefined && pin.fingerprint !== print
      if (!changed && !met.has(owner)) {
        await this.#keep({ kid: row.id, owner, fingerprint: print, trusted: true })
      } else {
        waiting.push(row.id)
      }
    }
    return waiting
  }

  /** Trusts a device with the keys it has now: a person compared the safety number, or did not care to. */
  async acknowledge(row: DeviceRow): Promise<void> {
    await this.#keep({ kid: row.id, owner: ownerOf(row), fingerprint: await rowFingerprint(row), trusted: true })
  }

  async isTrusted(kid: string): Promise<boolean> {
    return (await this.#load()).get(kid)?.trusted === true
  }

  /** Whether the device is trusted with the very keys that the row has. */
  async holds(row: DeviceRow): Promise<boolean> {
    const pin = (await this.#load()).get(row.id)
    return pin?.trusted === true && pin.fingerprint === (await rowFingerprint(row))
  }
}

function ownerOf(row: DeviceRow): string {
  return row.kind === DeviceKind.analysis ? AnalysisOwner : (row.user_id ?? '')
}

async function rowFingerprint(row: DeviceRow): Promise<string> {
  return fingerprint({
    encPub: decodeSized('enc_pub', row.enc_pub, PointBytes),
    sigPub: decodeSized('sig_pub', row.sig_pub, PointBytes),
  })
}
