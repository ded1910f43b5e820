import {
  HashBytes, KeyBytes, PointBytes, SignatureBytes, WrapBytes,
  concat, decodeSized, encodeText, equal, label, uint32, uuidBytes, type Bytes,
} from './bytes.ts'
import { ConsentScope, isWithdrawn, verifyConsent } from './consent.ts'
import { hpke, sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { isWatched, parseRoster, participant, rosterHash, rosterJson, type MemberJson, type Roster } from './roster.ts'
import type { ConsentRow, EpochRow } from './rows.ts'

/** The only suite that is made and opened. Suite 1 signed no consent id; one old test vector has it. */
export const Suite = 2
const SuiteOld = 1
const NoConsent = '00000000-0000-0000-0000-000000000000'

/** An epoch that was verified and opened, or made here. Its key is a non-extractable CryptoKey. */
export interface Epoch {
  readonly sessionId: string
  readonly number: number
  readonly by: string
  readonly roster: Roster
  readonly consentId: string | null
  /** HKDF input for message keys. */
  readonly key: CryptoKey
}

/** What the reader of an epoch asks beyond the row itself. */
export interface OpenOptions {
  /** Called with a roster whose epoch is signed, before anything is opened; throws 'pin' if a known device has other keys. */
  readonly checkPins?: (roster: Roster) => Promise<void>
  /**
   * Read an epoch that was made before its consent was withdrawn: the participants keep their history. Never set it for
   * sending, nor on a device that analyses.
   */
  readonly history?: boolean
}

/** @internal */
export function wrapInfo(sessionId: string, epoch: number, kid: string, hash: Bytes): Bytes {
  return concat(label('pe1/epoch-wrap'), uuidBytes(sessionId), uint32(epoch), uuidBytes(kid), hash)
}

async function hkdf(key: CryptoKey, sessionId: string, info: Bytes): Promise<Bytes> {
  const params = { name: 'HKDF', hash: 'SHA-256', salt: uuidBytes(sessionId), info }
  return new Uint8Array(await crypto.subtle.deriveBits(params, key, KeyBytes * 8))
}

async function importEpochKey(bytes: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits', 'deriveKey'])
}

async function commitment(key: CryptoKey, sessionId: string, epoch: number): Promise<Bytes> {
  return hkdf(key, sessionId, concat(label('pe1/commit'), uint32(epoch)))
}

type EpochTerms = Pick<EpochRow, 'session_id' | 'epoch' | 'device_id' | 'consent_id' | 'suite'>

function signed(row: EpochTerms, hash: Bytes, commit: Bytes): Bytes {
  const old = concat(
    label('pe1/epoch'), uuidBytes(row.session_id), uint32(row.epoch), uuidBytes(row.device_id), hash, commit,
  )
  return row.suite === SuiteOld ? old : concat(old, uuidBytes(row.consent_id ?? NoConsent))
}

/** A row of session_epochs that was checked: roster, maker, signature. */
interface VerifiedRow {
  readonly row: EpochRow
  readonly roster: Roster
  readonly hash: Bytes
  readonly commit: Bytes
}

async function verifyRow(row: EpochRow): Promise<VerifiedRow> {
  const roster = await parseRoster(row.roster)
  const hash = decodeSized('roster_hash', row.roster_hash, HashBytes)
  const commit = decodeSized('key_commit', row.key_commit, HashBytes)
  const signature = decodeSized('signature', row.signature, SignatureBytes)
  if (!equal(await rosterHash(roster), hash)) throw new EnvelopeError(Refusal.roster, 'roster hash disagrees')
  const maker = participant(roster, row.device_id)
  if (!(await verify(maker.sigKey, signed(row, hash, commit), signature))) {
    throw new EnvelopeError(Refusal.signature, `signature of epoch ${row.epoch} does not verify`)
  }
  return { row, roster, hash, commit }
}

async function checkConsent(row: EpochRow, roster: Roster, consent: ConsentRow | undefined, history: boolean): Promise<void> {
  if (row.consent_id === null || row.consent_id === NoConsent || consent === undefined) {
    throw new EnvelopeError(Refusal.consent, 'the roster holds an analysis key, and no consent is there')
  }
  if (consent.id !== row.consent_id || consent.session_id !== row.session_id) {
    throw new EnvelopeError(Refusal.consent, `consent ${consent.id} is not the epoch's`)
  }
  if (!consent.scope.includes(ConsentScope.analysis)) {
    throw new EnvelopeError(Refusal.consent, `consent ${consent.id} does not cover analysis`)
  }
  await verifyConsent(consent, roster)
  if (isWithdrawn(consent) && !(history && madeBefore(row, consent.withdrawn_at))) {
    throw new EnvelopeError(Refusal.consent, `consent ${consent.id} was withdrawn`)
  }
}

/** Whether the epoch was made while the consent still stood, by the database's clock. */
function madeBefore(row: EpochRow, withdrawnAt: string | null): boolean {
  return row.created_at !== null && withdrawnAt !== null && Date.parse(row.created_at) <= Date.parse(withdrawnAt)
}

/** The key of a checked epoch, as bytes that the caller must wipe, and imported. @internal */
export async function unwrapKey(
  checked: VerifiedRow, wrap: string | undefined, device: Device,
): Promise<{ readonly bytes: Bytes; readonly key: CryptoKey }> {
  const { row, hash, commit } = checked
  if (wrap === undefined) throw new EnvelopeError(Refusal.wrap, `no wrap for device ${device.kid}`)
  let bytes: Bytes
  try {
    const sealed = decodeSized('wrap', wrap, WrapBytes)
    const info = wrapInfo(row.session_id, row.epoch, device.kid, hash)
    bytes = concat(await hpke.Open(device.enc, sealed.subarray(0, PointBytes), sealed.subarray(PointBytes), { info }))
  } catch (cause) {
    throw new EnvelopeError(Refusal.wrap, `wrap for device ${device.kid} does not open`, { cause })
  }
  if (bytes.length !== KeyBytes) throw new EnvelopeError(Refusal.wrap, 'wrap holds no epoch key')
  const key = await importEpochKey(bytes)
  if (!equal(await commitment(key, row.session_id, row.epoch), commit)) {
    bytes.fill(0)
    throw new EnvelopeError(Refusal.commitment, `commitment of epoch ${row.epoch} disagrees`)
  }
  return { bytes, key }
}

async function unwrap(checked: VerifiedRow, wrap: string | undefined, device: Device): Promise<Epoch> {
  const { row, roster } = checked
  const { bytes, key } = await unwrapKey(checked, wrap, device)
  bytes.fill(0)
  return { sessionId: row.session_id, number: row.epoch, by: row.device_id, roster, consentId: row.consent_id, key }
}

/**
 * Verifies an epoch and unwraps its key for the device. The checks come in the same order as Go's envelope.OpenEpoch: suite,
 * format, roster hash, maker, signature, pins, consent, wrap, commitment.
 */
export async function openEpoch(
  row: EpochRow,
  wrap: string | undefined,
  consent: ConsentRow | undefined,
  device: Device,
  options: OpenOptions = {},
): Promise<Epoch> {
  return unwrap(await check(row, consent, options), wrap, device)
}

/** All that is checked of an epoch before anything is opened. @internal */
export async function check(row: EpochRow, consent: ConsentRow | undefined, options: OpenOptions): Promise<VerifiedRow> {
  if (row.suite !== Suite) throw new EnvelopeError(Refusal.suite, `suite ${row.suite}`)
  const checked = await verifyRow(row)
  await options.checkPins?.(checked.roster)
  if (isWatched(checked.roster)) await checkConsent(row, checked.roster, consent, options.history ?? false)
  return checked
}

/** @internal */
export async function sealKey(bytes: Bytes, info: Bytes, to: CryptoKey): Promise<string> {
  const { encapsulatedSecret, ciphertext } = await hpke.Seal(to, bytes, { info })
  return encodeText(concat(encapsulatedSecret, ciphertext))
}

/** Opens the one vector of suite 1, which knew no consent. For the test of it only; not exported by the package. */
export async function openFirstVector(row: EpochRow, wrap: string | undefined, device: Device): Promise<Epoch> {
  if (row.suite !== SuiteOld) throw new EnvelopeError(Refusal.suite, `suite ${row.suite}`)
  return unwrap(await verifyRow(row), wrap, device)
}

/** What create_epoch takes. */
export interface NewEpoch {
  readonly session_id: string
  readonly epoch: number
  readonly device_id: string
  readonly roster: readonly MemberJson[]
  readonly roster_hash: string
  readonly key_commit: string
  readonly consent_id: string | null
  readonly signature: string
  readonly suite: number
  readonly wraps: Readonly<Record<string, string>>
}

/** Makes an epoch's key, wraps it for every device of the roster, and signs it. The device must stand on the roster. */
export async function makeEpoch(
  device: Device,
  terms: { readonly sessionId: string; readonly number: number; readonly roster: Roster; readonly consentId: string | null },
): Promise<{ readonly epoch: Epoch; readonly row: NewEpoch }> {
  const { sessionId, number, roster, consentId } = terms
  participant(roster, device.kid)
  const bytes = crypto.getRandomValues(new Uint8Array(KeyBytes))
  const key = await importEpochKey(bytes)
  const [hash, commit] = await Promise.all([rosterHash(roster), commitment(key, sessionId, number)])
  const wraps: Record<string, string> = {}
  for (const member of roster) {
    wraps[member.kid] = await sealKey(bytes, wrapInfo(sessionId, number, member.kid, hash), member.encKey)
  }
  bytes.fill(0)
  const row = { session_id: sessionId, epoch: number, device_id: device.kid, consent_id: consentId, suite: Suite }
  const signature = encodeText(await sign(device, signed(row, hash, commit)))
  return {
    epoch: { sessionId, number, by: device.kid, roster, consentId, key },
    row: {
      ...row,
      roster: rosterJson(roster),
      roster_hash: encodeText(hash),
      key_commit: encodeText(commit),
      signature,
      wraps,
    },
  }
}

const keys = new WeakMap<Epoch, Map<string, Promise<CryptoKey>>>()

/** The AES-256-GCM key of one sender in an epoch, derived once. */
export async function messageKey(epoch: Epoch, sender: string): Promise<CryptoKey> {
  const bySender = keys.get(epoch) ?? new Map<string, Promise<CryptoKey>>()
  keys.set(epoch, bySender)
  const known = bySender.get(sender)
  if (known !== undefined) return known
  const info = concat(label('pe1/msg'), uint32(epoch.number), uuidBytes(sender))
  const params = { name: 'HKDF', hash: 'SHA-256', salt: uuidBytes(epoch.sessionId), info }
  const aes = { name: 'AES-GCM', length: KeyBytes * 8 }
  const made = crypto.subtle.deriveKey(params, epoch.key, aes, false, ['encrypt', 'decrypt'])
  bySender.set(sender, made)
  return made
}
