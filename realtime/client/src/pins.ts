import { PointBytes, decodeSized } from './bytes.ts'
import { verifyDevice } from './cross.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fingerprint, type Roster } from './roster.ts'
import { Admission, DeviceKind, type DeviceRow, type DeviceSignatureRow } from './rows.ts'
import type { Pin, Store } from './store.ts'

/** The owner under which the sidecar's devices are pinned. */
export const AnalysisOwner = 'analysis'

/**
 * Keys pinned on first use. A person's first device is trusted when that person is first met, and so are those for which it vouches,
 * by a chain of signatures that is verified here; one that appears later waits for an acknowledgement, and one whose keys changed
 * is refused. A recovery key that a known device signed is that person's, and nobody is asked; nor for an analysis key that a known
 * one signed: the operator's next one. Without this, someone with the database
 * in hand could replace a whole roster, or add a device of their own to it.
 */
export class Pins {
  readonly #store: Store
  readonly #account: string
  /** Devices that wait, for which no known device of that person vouches. */
  readonly #unsigned = new Set<string>()
  #known: Promise<Map<string, Pin>> | undefined
  /** One meeting after the other: half of one must not make the rest of a person's devices late-comers. */
  #meeting: Promise<unknown> = Promise.resolve()

  constructor(store: Store, account: string) {
    this.#store = store
    this.#account = account
  }

  #load(): Promise<Map<string, Pin>> {
    this.#known ??= this.#store.pins(this.#account).then((pins) => new Map(pins.map((pin) => [pin.kid, pin])))
    return this.#known
  }

  async #keep(pin: Pin): Promise<void> {
    await this.#store.keepPin(this.#account, pin)
    const known = await this.#load()
    known.set(pin.kid, pin)
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
   * Meets the rows of `devices`, with who vouches for whom. Pins the devices of people not met before: a first one as it is, later
   * ones if a known one vouches for them. Returns the kids that must be acknowledged before anything is sent: those with other keys
   * than pinned, those new for someone already known (but a recovery or analysis key for which a known one vouches), and those for which nobody
   * known vouches. Devices that wait to be admitted
   * are passed over: they hold nothing.
   */
  meet(rows: readonly DeviceRow[], signatures: readonly DeviceSignatureRow[] = []): Promise<readonly string[]> {
    const met = this.#meeting.then(() => this.#meet(rows, signatures))
    this.#meeting = met.catch(() => undefined) // told to whoever asked for it
    return met
  }

  async #meet(rows: readonly DeviceRow[], signatures: readonly DeviceSignatureRow[]): Promise<readonly string[]> {
    this.#known = undefined // another tab may have acknowledged something
    const known = await this.#load()
    const met = await this.owners()
    const confirmed = new Map<string, DeviceRow>()
    const news: DeviceRow[] = []
    for (const row of rows) {
      if (row.admitted_at === null) continue
      const print = await rowFingerprint(row)
      const pin = known.get(row.id)
      if (pin?.trusted === true && pin.fingerprint === print && pin.owner === ownerOf(row)) {
        confirmed.set(row.id, row)
      } else if ((pin === undefined || (!pin.trusted && pin.fingerprint === print)) && !met.has(ownerOf(row)) && row.admission !== Admission.signed) {
        await this.#keep({ kid: row.id, owner: ownerOf(row), fingerprint: print, trusted: true })
        confirmed.set(row.id, row)
      } else {
        news.push(row)
      }
    }
    return this.#ask(news, met, await vouchedFor(news, confirmed, signatures))
  }

  /**
   * Pins those of people not met before for which a known device vouches, and anybody's recovery key for which one does: it can do
   * nothing but read what its owner reads, and is shown among the readers; so is the operator's next analysis key. The others wait.
   */
  async #ask(news: readonly DeviceRow[], met: ReadonlySet<string>, vouched: ReadonlySet<string>): Promise<readonly string[]> {
    const known = await this.#load()
    const waiting: string[] = []
    for (const row of news) {
      const print = await rowFingerprint(row)
      const pin = known.get(row.id)
      const changed = pin !== undefined && (pin.fingerprint !== print || (pin.trusted && pin.owner !== ownerOf(row)))
      const signed = vouched.has(row.id) && !changed
      if (signed && (!met.has(ownerOf(row)) || row.kind !== DeviceKind.participant)) {
        await this.#keep({ kid: row.id, owner: ownerOf(row), fingerprint: print, trusted: true })
        continue
      }
      waiting.push(row.id)
      if (signed || (row.kind === DeviceKind.analysis && !(pin?.trusted === true && pin.owner !== AnalysisOwner))) this.#unsigned.delete(row.id)
      else this.#unsigned.add(row.id)
    }
    return waiting
  }

  /** Whether the device waits here and no known device of that person vouches for it: compare the safety number. */
  isUnsigned(kid: string): boolean {
    return this.#unsigned.has(kid)
  }

  /**
   * Trusts a device with the keys it has now: a person compared the safety number, or did not care to. One for which no known
   * device of that person vouches is refused as 'pin' unless `unsigned` says that this is known: after a reset, or an attack.
   */
  async acknowledge(row: DeviceRow, options: { readonly unsigned?: boolean } = {}): Promise<void> {
    if (this.#unsigned.has(row.id) && options.unsigned !== true) {
      throw new EnvelopeError(Refusal.pin, `no known device vouches for device ${row.id}: compare the safety number, and say that it is unsigned`)
    }
    await this.#keep({ kid: row.id, owner: ownerOf(row), fingerprint: await rowFingerprint(row), trusted: true })
    this.#unsigned.delete(row.id)
  }

  /** Whose devices are trusted here, some of them at least. */
  async owners(): Promise<ReadonlySet<string>> {
    return new Set([...(await this.#load()).values()].filter((pin) => pin.trusted).map((pin) => pin.owner))
  }

  async isTrusted(kid: string): Promise<boolean> {
    return (await this.#load()).get(kid)?.trusted === true
  }

  /** Whether the device is trusted with the very keys that the row has, as the person's whose the row says it is. */
  async holds(row: DeviceRow): Promise<boolean> {
    const pin = (await this.#load()).get(row.id)
    return pin?.trusted === true && pin.owner === ownerOf(row) && pin.fingerprint === (await rowFingerprint(row))
  }
}

function ownerOf(row: DeviceRow): string {
  return row.kind === DeviceKind.analysis ? AnalysisOwner : (row.user_id ?? '')
}

/** Which of the devices are vouched for by a confirmed one of the same person, or by one that is. Confirms them on the way. */
async function vouchedFor(
  news: readonly DeviceRow[],
  confirmed: Map<string, DeviceRow>,
  signatures: readonly DeviceSignatureRow[],
): Promise<ReadonlySet<string>> {
  const vouched = new Set<string>()
  for (let grown = true; grown;) {
    grown = false
    for (const row of news) {
      if (vouched.has(row.id) || !(await hasVoucher(row, confirmed, signatures))) continue
      vouched.add(row.id)
      confirmed.set(row.id, row)
      grown = true
    }
  }
  return vouched
}

async function hasVoucher(
  row: DeviceRow, confirmed: ReadonlyMap<string, DeviceRow>, signatures: readonly DeviceSignatureRow[],
): Promise<boolean> {
  for (const given of signatures) {
    const by = confirmed.get(given.by_device_id)
    if (given.device_id !== row.id || by === undefined || ownerOf(by) !== ownerOf(row)) continue
    const late = by.revoked_at !== null && Date.parse(given.created_at) > Date.parse(by.revoked_at)
    if (!late && (await verifyDevice(row, by, given.signature))) return true
  }
  return false
}

async function rowFingerprint(row: DeviceRow): Promise<string> {
  return fingerprint({
    encPub: decodeSized('enc_pub', row.enc_pub, PointBytes),
    sigPub: decodeSized('sig_pub', row.sig_pub, PointBytes),
  })
}
