import { notLoaded } from './answer.ts'
import { HashBytes, PointBytes, decodeSized, equal } from './bytes.ts'
import { ConsentScope, isWithdrawn, verifyConsent } from './consent.ts'
import { makeEpoch, openEpoch, type Epoch } from './epoch.ts'
import type { ModeChange } from './chat.ts'
import { DeviceChangedError, EnvelopeError, Refusal, RequestError, SessionError } from './failure.ts'
import { fields, json } from './parse.ts'
import { Role, parseRoster, rosterHash, type MemberJson, type Roster } from './roster.ts'
import type { SessionDatabase } from './database.ts'
import { importSigPub, type Device } from './device.ts'
import type { Guard } from './guard.ts'
import type { Pins } from './pins.ts'
import type { KnownReader } from './readers.ts'
import type { Refused } from './refusals.ts'
import {
  DeviceKind, ParticipantRole, SessionMode, SessionStatus,
  type ConsentRow, type DeviceRow, type DeviceSignatureRow, type EpochRow, type ParticipantRow, type ReaderRow, type SessionRow,
} from './rows.ts'

const MaxEpochAttempts = 6

export interface StateDeps {
  readonly id: string
  readonly device: Device
  readonly database: SessionDatabase
  readonly pins: Pins
  readonly guard: Guard
  /** Hears what was refused, by the row that is at fault. */
  readonly refused: (refusal: Refused) => void
  /** Hears, once, that the database tells of less than it did. */
  readonly failed: (thrown: Error) => void
}

interface Snapshot {
  readonly row: SessionRow
  readonly participants: readonly ParticipantRow[]
  readonly devices: readonly DeviceRow[]
  readonly consents: readonly ConsentRow[]
  readonly epochs: readonly EpochRow[]
  readonly wraps: ReadonlyMap<number, string>
  readonly readers: readonly KnownReader[]
  readonly signatures: readonly DeviceSignatureRow[]
}

/** What is known of a session, read again whenever something of it changed; and the epochs opened from it. */
export class State {
  readonly #deps: StateDeps
  readonly #opened = new Map<number, Epoch>()
  /** Devices that the database says must not be on the roster, though participants and devices alone suggest it. */
  readonly #excluded = new Set<string>()
  readonly #nextSeq = new Map<number, number>()
  /** What the database said when it refused an older epoch: its count, its time, not this device's. */
  #least = 0
  #now: Snapshot | undefined
  #reading: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  #warned = false

  constructor(deps: StateDeps) {
    this.#deps = deps
  }

  get #snapshot(): Snapshot {
    if (this.#now === undefined) throw new SessionError('closed', 'the session was not read yet')
    return this.#now
  }

  get row(): SessionRow {
    return this.#snapshot.row
  }

  get participants(): readonly ParticipantRow[] {
    return this.#snapshot.participants
  }

  get devices(): readonly DeviceRow[] {
    return this.#snapshot.devices
  }

  get consents(): readonly ConsentRow[] {
    return this.#snapshot.consents
  }

  /** Who was let in beside the rosters. */
  get readers(): readonly KnownReader[] {
    return this.#snapshot.readers
  }

  /** The epoch that is sent under now, as far as it is known. */
  get liveEpoch(): number | undefined {
    const { row, epochs } = this.#snapshot
    return epochs.findLast((one) => one.epoch >= Math.max(row.min_epoch, this.#least))?.epoch
  }

  /** Whether this device was given the key of an epoch. */
  holds(epoch: number): boolean {
    return this.#snapshot.wraps.has(epoch)
  }

  /** Forgets all keys: the session is erased, or is not for this person any more. */
  forget(): void {
    this.#opened.clear()
    if (this.#now !== undefined) this.#now = { ...this.#now, epochs: [], wraps: new Map() }
  }

  /**
   * Reads everything again; callers who come while a read is under way share the one after it. What is open stays open for
   * reading; sending looks at it anew.
   */
  refresh(): Promise<void> {
    this.#next ??= this.#reading
      .catch(() => undefined) // told to whoever asked for it
      .then(() => {
        this.#next = undefined
        this.#reading = this.#read()
        return this.#reading
      })
    return this.#next
  }

  async #read(): Promise<void> {
    const { database, id, device, guard } = this.#deps
    const before = await guard.known()
    const row = await database.session(id)
    if (row === undefined) throw new SessionError('not_participant', `session ${id} is not there, or not for you`)
    const [participants, given, epochs, wraps, beside] = await Promise.all([
      database.participants(id), database.consents(id), database.epochs(id), database.wraps(id, device.kid), database.readers(id),
    ])
    const people = participants.map((person) => person.user_id)
    const [devices, signatures] = await Promise.all([database.devices(people), database.signatures(people)])
    const consents = await guard.consents(row, given)
    const readers = await this.#verified(beside, devices)
    await guard.meet(row, participants)
    this.#now = { row, participants, devices, consents, epochs, wraps, readers, signatures }
    this.#nextSeq.clear()
    const newest = epochs.at(-1)?.epoch ?? 0
    const shredded = row.status === SessionStatus.ended && newest === 0 // erased: nothing is sent there any more
    if (before !== undefined && !shredded && (row.min_epoch < before.minEpoch || newest < before.epoch)) { // taken back, or hidden
      this.#deps.refused({ table: 'sessions', id, reason: Refusal.epoch })
      if (!this.#warned) this.#deps.failed(new EnvelopeError(Refusal.epoch, 'the database hides epochs that were there, or allows old ones again; none of them is sent under'))
      this.#warned = true
    }
    await guard.met(row, newest + 1)
  }

  /** Who reads beside the rosters; as unverified where that part of the package does not load, for a page is to follow its session all the same. */
  async #verified(beside: readonly ReaderRow[], devices: readonly DeviceRow[]): Promise<readonly KnownReader[]> {
    if (beside.length === 0) return []
    const part = await import('./reader-grants.ts').catch(() => undefined)
    return part?.verifyReaders(beside, devices, this.#deps.pins) ?? beside.map((row) => ({ ...row, verified: false }))
  }

  /** The devices that must hold the next epoch's key, as the database expects them. */
  expectedDevices(): readonly DeviceRow[] {
    const { row, participants, devices } = this.#snapshot
    const people = new Set(participants.filter((person) => person.ended_at === null).map((person) => person.user_id))
    const live = devices.filter((one) => one.revoked_at === null && one.admitted_at !== null && !this.#excluded.has(one.id))
    const roster = live.filter((one) => one.kind !== DeviceKind.analysis && people.has(one.user_id ?? ''))
    if (row.mode === SessionMode.assisted) {
      const analysis = live.filter((one) => one.kind === DeviceKind.analysis && one.retired_at === null).sort(newestFirst)[0]
      if (analysis !== undefined) roster.push(analysis)
    }
    return roster
  }

  #expectedRoster(): MemberJson[] {
    const roles = new Map(this.#snapshot.participants.map((person) => [person.user_id, person.role]))
    return this.expectedDevices().map((row) => ({
      kid: row.id,
      role: roleOf(row, roles.get(row.user_id ?? '')),
      enc_pub: row.enc_pub,
      sig_pub: row.sig_pub,
    }))
  }

  /** The epoch of that number, opened for reading: also what was sent before a consent was withdrawn. */
  async reading(number: number): Promise<Epoch> {
    const known = this.#opened.get(number)
    if (known !== undefined) return known
    if (!this.#snapshot.epochs.some((row) => row.epoch === number)) await this.refresh()
    const epoch = await this.#open(number, true)
    this.#opened.set(number, epoch)
    return epoch
  }

  async #open(number: number, history: boolean): Promise<Epoch> {
    const { epochs, wraps, consents } = this.#snapshot
    const row = epochs.find((one) => one.epoch === number)
    if (row === undefined) throw new EnvelopeError(Refusal.wrap, `epoch ${number} is not there`)
    const { device, pins, guard } = this.#deps
    await this.#checkSuite(row)
    const consent = consents.find((one) => one.id === row.consent_id)
    const checkPins = async (roster: Roster): Promise<void> => {
      await pins.checkRoster(roster)
      await this.#checkRoles(roster)
    }
    const epoch = await openEpoch(row, wraps.get(number), consent, device, { checkPins, history })
    await pins.keepRoster(epoch.roster)
    await guard.opened(this.row, number, row.suite)
    return epoch
  }

  /** Refuses an epoch of a lower suite than one before it, or than one that was ever verified here. */
  async #checkSuite(row: EpochRow): Promise<void> {
    const { epochs, row: session } = this.#snapshot
    const pin = await this.#deps.guard.pin(session)
    const before = epochs.filter((one) => one.epoch < row.epoch).map((one) => one.suite)
    if (row.suite < Math.max(row.epoch > pin.epoch ? pin.suite : 0, ...before)) {
      throw new EnvelopeError(Refusal.suite, `epoch ${row.epoch} is of a lower suite than one before it`)
    }
  }

  /**
   * Refuses a roster on which the sidecar's device stands under a participant's role, where it would need no consent; a recovery key
   * that could send there; and a person in another role than the one that is known here, such as a clinician who could consent.
   */
  async #checkRoles(roster: Roster): Promise<void> {
    const rows = new Map(this.devices.map((row) => [row.id, row]))
    const { people } = await this.#deps.guard.pin(this.row)
    for (const { kid, role } of roster) {
      const row = rows.get(kid)
      const known = people[row?.user_id ?? '']
      const roles = row?.kind === DeviceKind.participant && known === undefined ? [Role.client, Role.therapist] : [row === undefined ? role : roleOf(row, known)]
      if (!roles.includes(role) || (row === undefined && role === Role.analysis)) {
        throw new EnvelopeError(Refusal.roster, `device ${kid} stands on the roster in another role`)
      }
    }
  }

  /** The signing keys of the sidecar's devices that are trusted here, revoked ones too: what they signed before still stands. */
  async analysisKeys(): Promise<readonly CryptoKey[]> {
    const keys: CryptoKey[] = []
    for (const row of this.#snapshot.devices) {
      if (row.kind !== DeviceKind.analysis || !(await this.#deps.pins.holds(row))) continue
      keys.push(await importSigPub(decodeSized('sig_pub', row.sig_pub, PointBytes)))
    }
    return keys
  }

  /**
   * Devices that a person must acknowledge before anything is sent, those of somebody who came later, came back or changed roles among them.
   * Pins, on the way, whoever is met for the first time.
   */
  async unacknowledged(): Promise<readonly string[]> {
    const { pins, guard } = this.#deps
    const { row, participants, devices, signatures } = this.#snapshot // of one reading, though another may come meanwhile
    const expected = this.expectedDevices()
    const { people } = await guard.pin(row)
    const strangers = participants.filter((one) => one.ended_at === null && people[one.user_id] !== one.role).map((one) => one.user_id)
    const isStranger = (one: DeviceRow): boolean => strangers.includes(one.user_id ?? '')
    const owners = await pins.owners()
    const waiting = await pins.meet(devices.filter((one) => !isStranger(one) || owners.has(one.user_id ?? '')), signatures)
    return expected.filter((one) => isStranger(one) || waiting.includes(one.id)).map((one) => one.id)
  }

  /** The epoch to send under: the newest if it still fits, or a new one. Refuses only what it has just read. */
  async sending(): Promise<Epoch> {
    try {
      return await this.#sendingNow()
    } catch (thrown) {
      if (!(thrown instanceof SessionError)) throw thrown
      await this.refresh() // a consent or a status may have changed unheard
      return this.#sendingNow()
    }
  }

  async #sendingNow(): Promise<Epoch> {
    for (let attempt = 0; attempt < MaxEpochAttempts; attempt++) {
      if (this.row.status === SessionStatus.ended) throw new SessionError('not_active', 'the session has ended')
      const own = this.devices.find((one) => one.id === this.#deps.device.kid)
      if (own?.revoked_at !== null) throw new SessionError('device_waiting', 'this device was revoked: renew it, and approve the new one')
      if (own.admitted_at === null) throw new SessionError('device_waiting', 'this device waits to be approved by another of yours')
      if ((await this.modeChange()) !== undefined) {
        throw new SessionError('mode_changed', `the session is ${this.row.mode} now: acknowledge that before sending`)
      }
      const waiting = await this.unacknowledged()
      if (waiting.length > 0) throw new DeviceChangedError(waiting)
      const roster = await parseRoster(this.#expectedRoster())
      const newest = await this.#newestFitting(roster)
      if (newest !== undefined) return newest
      const made = await this.#make(roster)
      if (made !== undefined) return made
    }
    throw new SessionError('not_active', 'the session changes faster than an epoch can be made')
  }

  /** The mode in force, if it is another than the one acknowledged. */
  modeChange(): Promise<ModeChange | undefined> {
    return this.#deps.guard.modeChange(this.row)
  }

  /** Learns from a refused message which epochs may not be used any more, by the database's own count and clock. */
  retire(error: RequestError): void {
    if (error.code !== 'VG010') return
    const newest = this.#snapshot.epochs.at(-1)?.epoch ?? 0
    const told = error.details === '' ? 0 : fields(json(error.details, 'details'), 'details')['min_epoch']
    this.#least = Math.max(this.#least, Math.min(newest + 1, Number(told)) || 0)
  }

  async #newestFitting(roster: Roster): Promise<Epoch | undefined> {
    const row = this.#snapshot.epochs.at(-1)
    const pin = await this.#deps.guard.pin(this.row)
    if (row === undefined || row.epoch < Math.max(this.row.min_epoch, this.#least, pin.epoch, pin.minEpoch)) return undefined
    const hash = await rosterHash(roster)
    try {
      if (!equal(hash, decodeSized('roster_hash', row.roster_hash, HashBytes))) return undefined
      return await this.#open(row.epoch, false)
    } catch (thrown) {
      if (thrown instanceof EnvelopeError && thrown.refusal !== Refusal.pin) return undefined // make one that is sound
      throw thrown
    }
  }

  /** Makes the next epoch; undefined if somebody else was quicker or the session changed, and it was read again. */
  async #make(roster: Roster): Promise<Epoch | undefined> {
    const { device, database, id } = this.#deps
    const number = (this.#snapshot.epochs.at(-1)?.epoch ?? 0) + 1
    const consentId = this.row.mode === SessionMode.assisted ? (await this.#validConsent(roster)).id : null
    const { epoch, row } = await makeEpoch(device, { sessionId: id, number, roster, consentId })
    try {
      await database.createEpoch(row)
    } catch (thrown) {
      if (!(thrown instanceof RequestError) || thrown.temporary) throw thrown
      const { learnRefused } = await import('./refused-epoch.ts').catch(notLoaded)
      learnRefused(thrown, this.#excluded)
      await this.refresh()
      return undefined
    }
    await this.#deps.guard.opened(this.row, number, row.suite)
    await this.refresh()
    this.#opened.set(number, epoch)
    return epoch
  }

  async #validConsent(roster: Roster): Promise<ConsentRow> {
    for (const consent of this.#snapshot.consents.toReversed()) {
      if (isWithdrawn(consent) || !consent.scope.includes(ConsentScope.analysis)) continue
      try {
        await verifyConsent(consent, roster)
        return consent
      } catch (thrown) {
        if (!(thrown instanceof EnvelopeError)) throw thrown // else look at the next one
      }
    }
    throw new SessionError('consent_missing', 'no client on the roster has consented to the analysis')
  }

  /** The next seq of this device in an epoch. It stays the next until `sent`. */
  async nextSeq(epoch: number): Promise<number> {
    const known = this.#nextSeq.get(epoch)
    if (known !== undefined) return known
    const { database, id, device } = this.#deps
    const next = (await database.lastSeq(id, device.kid, epoch)) + 1
    this.#nextSeq.set(epoch, next)
    return next
  }

  sent(epoch: number, seq: number): void {
    this.#nextSeq.set(epoch, seq + 1)
  }
}

function roleOf(row: DeviceRow, role: ParticipantRole | undefined): Role {
  if (row.kind === DeviceKind.analysis) return Role.analysis
  if (row.kind === DeviceKind.recovery) return Role.recovery
  return role === ParticipantRole.client ? Role.client : Role.therapist
}

function newestFirst(a: DeviceRow, b: DeviceRow): number {
  return Date.parse(b.created_at) - Date.parse(a.created_at) || a.id.localeCompare(b.id)
}
