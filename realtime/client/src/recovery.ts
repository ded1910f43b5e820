/**
 * Recovery by a passphrase, which is not the login's password: a reset of that one changes nothing here, and neither opens what the
 * other does.
 *
 *     await setRecovery(v, passphrase)            // on a device in use
 *     const { epochs, missing } = await recover(v, passphrase)   // on a new one, when all others are lost
 *
 * The recovery key is a device of its own on every roster: what is sent is recoverable from its first second. It can neither send,
 * nor make an epoch, nor consent. Its private keys are sealed under Argon2id (64 MiB, 3 passes) over the passphrase, and are read
 * in a Worker, and wiped. Nobody can recover anything without the passphrase.
 */
import { ageIdentity, ageRecipient } from './age.ts'
import { untilAdmitted } from './approval.ts'
import { argon2 as ownArgon2, argon2In, type Argon2, type Argon2Parameters, type Argon2Worker } from './argon2.ts'
import { KeyBytes } from './bytes.ts'
import { signDevice } from './cross.ts'
import type { Device } from './device.ts'
import { DeviceState, ResetWords } from './devices.ts'
import { EnvelopeError, Refusal, SessionError, toError } from './failure.ts'
import { readHeld } from './held.ts'
import { historyOf } from './history.ts'
import { makeRecoveryKey, openSecrets, recoveryDevice, sealSecrets, Stretch, type Secrets } from './recovery-key.ts'
import { Admission, DeviceKind, type DeviceRow, type RecoveryKeyRow } from './rows.ts'
import { shareHistory } from './share.ts'
import type { Vigil } from './vigil.ts'

export { argon2In, type Argon2, type Argon2Parameters, type Argon2Worker }

/** How long a passphrase is at least. Length is what counts: four words that nobody else would put together. */
export const MinPassphraseCharacters = 12

/** What a recovery needs of Vigil. */
export type RecoveryVigil = Pick<Vigil, 'devices' | 'entry'>

export interface RecoveryDeps {
  /** How the passphrase is stretched. Default: Argon2id in a Worker. */
  readonly argon2?: Argon2
}

/** For what ends a recovery key. */
export interface EndOptions {
  /** The words that let it end though what only it can open is lost: ask the person first. */
  readonly evenIf?: typeof ResetWords
}

/**
 * Makes a recovery key, seals it under the passphrase, and gives it all of the history that this device can read; a former recovery
 * key is revoked when the new one is admitted. Rejects with EnvelopeError 'format' for a short passphrase, with SessionError
 * 'history_missing' if there is a former key and this device lacks some of the history (see EndOptions), and with 'device_waiting' if
 * this device is not usable, or if no sidecar admits the key within a minute: it is set then, and the history follows by itself
 * once one has.
 */
export async function setRecovery(v: RecoveryVigil, passphrase: string, deps: RecoveryDeps & EndOptions = {}): Promise<void> {
  const { clock, database, pins, userId } = v.entry
  checkPassphrase(passphrase)
  mustBeUsable(v)
  await mustKeepHistory(v, deps)
  const by = v.devices.device
  const { device, secrets } = await makeRecoveryKey()
  try {
    const version = nextVersion(await database.recoveryKeys())
    const key = await sealSecrets(secrets, passphrase, { userId, kid: device.kid, version }, deps.argon2 ?? ownArgon2)
    const row = { id: device.kid, user_id: userId, kind: DeviceKind.recovery, enc_pub: device.encPub, sig_pub: device.sigPub }
    const signature = { by_device_id: by.kid, signature: await signDevice(by, row) }
    await database.setRecovery({ id: row.id, enc_pub: row.enc_pub, sig_pub: row.sig_pub }, signature, key)
  } finally {
    secrets.fill(0)
  }
  await pins.acknowledge(ownRow(device, userId, DeviceKind.recovery), { unsigned: true }) // it was made here
  await untilAdmitted({ clock, database }, device.kid, 0)
  await v.devices.look() // gives it the history
}

/** What came back. */
export interface Recovered {
  /** How many epochs were given to this device. */
  readonly epochs: number
  /** How many others of the person's devices hold, or held, that it still lacks: what the key cannot open either, or is refused. */
  readonly missing: number
}

/**
 * Admits this waiting device by the recovery key, and lets it read all that the key can. On a usable device it only brings back what
 * is missing. Rejects with EnvelopeError 'wrap' for a wrong passphrase, with 'pin' if no device that is known here has signed the
 * recovery key, and with SessionError 'not_active' if there is none. What somebody else added is passed over, and told by the event
 * 'error' of Vigil.
 */
export async function recover(v: RecoveryVigil, passphrase: string, deps: RecoveryDeps = {}): Promise<Recovered> {
  const { clock, database, pins, userId } = v.entry
  if (v.devices.state === DeviceState.revoked) throw new SessionError('device_waiting', 'this device was revoked: renew it first')
  const found = await open(v, passphrase, deps)
  const recovery = await recoveryDevice(found.secrets, found.device).finally(() => found.secrets.fill(0))
  const own = ownRow(v.devices.device, userId)
  if (v.devices.state !== DeviceState.usable) {
    const refused = await database.refusedSignatures(own.id)
    await database.admitRequest({
      device_id: own.id, user_id: userId, by_device_id: recovery.kid, signature: await signDevice(recovery, own),
    })
    await untilAdmitted({ clock, database }, own.id, refused)
  }
  const { shared, missing } = await shareHistory({ database, pins, userId, by: recovery }, own)
  await v.devices.look()
  return { epochs: shared, missing }
}

/**
 * Seals the same recovery key under another passphrase; the old one opens nothing any more. Rejects with EnvelopeError 'wrap' if the
 * old one is wrong, and with RequestError VG024 if the sign-in is older than ten minutes. Whoever knew the old one and had kept the
 * sealed key from before can open that: set a new recovery key if it may be known.
 */
export async function changePassphrase(v: RecoveryVigil, old: string, next: string, deps: RecoveryDeps = {}): Promise<void> {
  const { database, userId } = v.entry
  checkPassphrase(next)
  const { device, keys, secrets } = await open(v, old, deps)
  try {
    const terms = { userId, kid: device.id, version: nextVersion(keys) }
    await database.rewrapRecovery(await sealSecrets(secrets, next, terms, deps.argon2 ?? ownArgon2))
  } finally {
    secrets.fill(0)
  }
}

/**
 * Revokes the recovery key and deletes it. Rejects with SessionError 'history_missing' if this device is not usable or lacks some of
 * the history (see EndOptions), and with RequestError VG024 if the sign-in is older than ten minutes.
 */
export async function removeRecovery(v: RecoveryVigil, options: EndOptions = {}): Promise<void> {
  await mustKeepHistory(v, options)
  await v.entry.database.removeRecovery()
  await v.devices.look()
}

/** The age identity that opens an export which was sealed to the person's recovery key. To be shown, and kept nowhere. */
export async function exportIdentity(v: RecoveryVigil, passphrase: string, deps: RecoveryDeps = {}): Promise<string> {
  const { secrets } = await open(v, passphrase, deps)
  return ageIdentity(secrets.slice(2 * KeyBytes)).finally(() => secrets.fill(0))
}

/**
 * The age recipient of the recovery key, for exportSession: derived from the key that the passphrase opens, for the row that names it is
 * the database's word. Rejects with EnvelopeError 'pin' if that names another: exports sealed to it are somebody else's to open.
 */
export async function exportRecipient(v: RecoveryVigil, passphrase: string, deps: RecoveryDeps = {}): Promise<string> {
  const { key, secrets } = await open(v, passphrase, deps)
  const recipient = await ageRecipient(secrets.slice(2 * KeyBytes)).finally(() => secrets.fill(0))
  if (recipient !== key.age_recipient) {
    throw new EnvelopeError(Refusal.pin, 'the database names an age recipient that is not the recovery key’s: change the passphrase, which writes it anew')
  }
  return recipient
}

interface Opened {
  readonly secrets: Secrets
  /** The recovery key's row of `devices`. */
  readonly device: DeviceRow
  readonly key: RecoveryKeyRow
  /** All versions there are. */
  readonly keys: readonly RecoveryKeyRow[]
}

/**
 * Opens the newest version that the passphrase opens, of a recovery key that this device knows: a device of the person's signed it, or
 * it was set or acknowledged here. More than the newest is tried: somebody could add false ones, and must not be able to shut the
 * person out. Those that are passed over, and newer, are told.
 */
async function open(v: RecoveryVigil, passphrase: string, deps: RecoveryDeps): Promise<Opened> {
  const { database, pins, userId } = v.entry
  const [keys, devices] = await Promise.all([database.recoveryKeys(), database.ownDevices(userId)])
  const rows = devices.filter((row) => row.kind === DeviceKind.recovery && row.revoked_at === null)
  const live = rows.filter((row) => row.admitted_at !== null)
  const known = new Map<string, DeviceRow>()
  for (const row of live) if (await pins.holds(row)) known.set(row.id, row)
  let refused: unknown
  for (const key of [...keys.filter(isOurs), ...keys.filter((one) => !isOurs(one))]) {
    const device = known.get(key.device_id)
    if (device === undefined) continue
    try {
      const secrets = await openSecrets(key, userId, passphrase, deps.argon2 ?? ownArgon2)
      const waiting = new Set(rows.filter((row) => row.admitted_at === null).map((row) => row.id)) // set just now, perhaps
      tellForged(v, keys.filter((one) => one.version > key.version && !waiting.has(one.device_id)), known)
      return { device, key, keys, secrets }
    } catch (thrown) {
      // a false version may ask for more memory than there is, which fails as anything
      if (!(refused instanceof EnvelopeError && refused.refusal === Refusal.wrap)) refused = thrown
    }
  }
  if (refused !== undefined) throw toError(refused, 'open recovery key')
  if (live.length === 0) throw new SessionError('not_active', 'no recovery key is set')
  throw new EnvelopeError(Refusal.pin, 'no device that is known here has signed the recovery key: acknowledge the device that set it first')
}

function tellForged(v: RecoveryVigil, keys: readonly RecoveryKeyRow[], known: ReadonlyMap<string, DeviceRow>): void {
  for (const { device_id, version } of keys) {
    v.entry.failed(known.has(device_id)
      ? new EnvelopeError(Refusal.wrap, `version ${version} of the recovery key is newer than yours and does not open: somebody else added it`)
      : new EnvelopeError(Refusal.pin, `version ${version} of the recovery key is of a device that none of yours has signed: somebody else added it`))
  }
}

/** Refuses to end a recovery key while something of the history may be nowhere else, unless that is said to be known. */
async function mustKeepHistory(v: RecoveryVigil, options: EndOptions): Promise<void> {
  const { database, userId } = v.entry
  if (options.evenIf === ResetWords) return
  const devices = await database.ownDevices(userId)
  const { here, recovery } = historyOf(await readHeld(v.entry), devices, v.devices.device.kid)
  if (recovery === 'unset' || (here === 'whole' && v.devices.state === DeviceState.usable)) return
  throw new SessionError('history_missing', `this device does not hold the whole history: recover first, or pass evenIf: "${ResetWords}"`)
}

/** Whether the key was sealed with the parameters that this package uses. */
function isOurs(key: RecoveryKeyRow): boolean {
  return key.memory_kib === Stretch.memoryKiB && key.passes === Stretch.passes && key.lanes === Stretch.lanes
}

function nextVersion(keys: readonly RecoveryKeyRow[]): number {
  return Math.max(0, ...keys.map((key) => key.version)) + 1
}

/** A device's row as it is known here, whatever the database says of it. */
function ownRow(device: Device, userId: string, kind: DeviceKind = DeviceKind.participant): DeviceRow {
  return {
    id: device.kid, user_id: userId, kind, enc_pub: device.encPub, sig_pub: device.sigPub, label: null,
    created_at: '', revoked_at: null, admitted_at: null, admission: Admission.signed, admitted_by: null, retired_at: null,
  }
}

function checkPassphrase(passphrase: string): void {
  if (Array.from(passphrase.normalize('NFKC').trim()).length < MinPassphraseCharacters) {
    throw new EnvelopeError(Refusal.format, `a passphrase has at least ${MinPassphraseCharacters} characters`)
  }
}

function mustBeUsable(v: RecoveryVigil): void {
  if (v.devices.state === DeviceState.usable) return
  throw new SessionError('device_waiting', `this device is ${v.devices.state}: only a usable one sets a recovery key`)
}
