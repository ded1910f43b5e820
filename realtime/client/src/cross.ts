/** How one device of a person vouches for another, and how a device lets another read an epoch. */
import {
  PointBytes, SignatureBytes, WrapBytes, concat, decodeSized, encodeText, label, sha256, uint32, uuidBytes, type Bytes,
} from './bytes.ts'
import { importSigPub, sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { Role } from './roster.ts'
import { DeviceKind, type DeviceRow, type ReaderRow } from './rows.ts'

/** What a cross-signature says of a device; a row of `devices` has it. */
export type DeviceTerms = Pick<DeviceRow, 'id' | 'user_id' | 'kind' | 'enc_pub' | 'sig_pub'>

const kinds: Readonly<Record<DeviceKind, number>> = { participant: 1, recovery: 4, analysis: 0 }

async function keyHashes(row: Pick<DeviceTerms, 'enc_pub' | 'sig_pub'>): Promise<Bytes> {
  return concat(
    await sha256(decodeSized('enc_pub', row.enc_pub, PointBytes)),
    await sha256(decodeSized('sig_pub', row.sig_pub, PointBytes)),
  )
}

/** What a cross-signature by the device `by` covers; 'format' for terms that nobody may sign. */
export async function deviceSigned(row: DeviceTerms, by: string): Promise<Bytes> {
  if (row.user_id === null || row.kind === DeviceKind.analysis) {
    throw new EnvelopeError(Refusal.format, `device ${row.id} is not one that another vouches for`)
  }
  if (row.id === by) throw new EnvelopeError(Refusal.format, 'a device does not vouch for itself')
  return concat(
    label('pe1/device'), uuidBytes(row.user_id), uuidBytes(by), uuidBytes(row.id), Uint8Array.of(kinds[row.kind]), await keyHashes(row),
  )
}

/** Vouches, with a device, that another one with these keys is the same person's. */
export async function signDevice(by: Device, row: DeviceTerms): Promise<string> {
  return encodeText(await sign(by, await deviceSigned(row, by.kid)))
}

/**
 * Whether `by` vouched for the device with the very keys that the row has. Whether `by` is known, unrevoked and the same
 * person's is the caller's to check. False for what cannot be read.
 */
export async function verifyDevice(row: DeviceTerms, by: Pick<DeviceRow, 'id' | 'sig_pub'>, signature: string): Promise<boolean> {
  return refusedIsFalse(async () => {
    const key = await importSigPub(decodeSized('sig_pub', by.sig_pub, PointBytes))
    return verify(key, await deviceSigned(row, by.id), decodeSized('signature', signature, SignatureBytes))
  })
}

/** What is signed when an epoch's key is given to a device beside its roster. */
export interface GrantTerms extends Pick<ReaderRow, 'session_id' | 'epoch' | 'by_device_id' | 'device_id' | 'role' | 'alert_id'> {
  readonly wrap: string
}

const NoAlert = '00000000-0000-0000-0000-000000000000'
const grantRoles: readonly number[] = [Role.client, Role.therapist, Role.onCall, Role.recovery]

/** What a grant's signature covers; 'format' for a role that nobody may grant, or an alert where none belongs. */
export async function grantSigned(terms: GrantTerms): Promise<Bytes> {
  if (!grantRoles.includes(terms.role) || (terms.role === Role.onCall) !== (terms.alert_id !== null)) {
    throw new EnvelopeError(Refusal.format, `grant under role ${terms.role} ${terms.alert_id === null ? 'without' : 'with'} an alert`)
  }
  return concat(
    label('pe1/share'), uuidBytes(terms.session_id), uint32(terms.epoch), uuidBytes(terms.by_device_id), uuidBytes(terms.device_id),
    Uint8Array.of(terms.role), uuidBytes(terms.alert_id ?? NoAlert), await sha256(decodeSized('wrap', terms.wrap, WrapBytes)),
  )
}

/** Signs a grant with the device that its terms name as `by_device_id`. */
export async function signGrant(by: Device, terms: GrantTerms): Promise<string> {
  if (by.kid !== terms.by_device_id) throw new EnvelopeError(Refusal.format, `the grant names device ${terms.by_device_id} as its signer`)
  return encodeText(await sign(by, await grantSigned(terms)))
}

/** Whether the device with that sig_pub, which the caller knows to be `by_device_id`'s, made the grant. */
export async function verifyGrant(terms: GrantTerms, bySigPub: string, signature: string): Promise<boolean> {
  return refusedIsFalse(async () => {
    const key = await importSigPub(decodeSized('sig_pub', bySigPub, PointBytes))
    return verify(key, await grantSigned(terms), decodeSized('signature', signature, SignatureBytes))
  })
}

async function refusedIsFalse(check: () => Promise<boolean>): Promise<boolean> {
  try {
    return await check()
  } catch (thrown) {
    if (thrown instanceof EnvelopeError) return false
    throw thrown
  }
}
