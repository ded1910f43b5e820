/** How a device lets another, which is not on an epoch's roster, read the epoch. */
import {
  HashBytes, PointBytes, SignatureBytes, WrapBytes, concat, decodeSized, encodeText, label, sha256, uint32, uuidBytes, type Bytes,
} from './bytes.ts'
import { refusedIsFalse } from './cross.ts'
import { importSigPub, sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { Role } from './roster.ts'
import type { ReaderRow } from './rows.ts'

/** What is signed when an epoch's key is given to a device beside its roster. */
export interface GrantTerms extends Pick<ReaderRow, 'session_id' | 'epoch' | 'by_device_id' | 'device_id' | 'role' | 'alert_id'> {
  readonly wrap: string
}

const NoAlert = '00000000-0000-0000-0000-000000000000'
const grantRoles: readonly number[] = [Role.client, Role.therapist, Role.onCall, Role.recovery]

type Bound = Omit<GrantTerms, 'wrap'>

/** What a grant's signature covers; 'format' for a role that nobody may grant, or an alert where none belongs. */
export async function grantSigned(terms: GrantTerms): Promise<Bytes> {
  return signedOver(terms, await sha256(decodeSized('wrap', terms.wrap, WrapBytes)))
}

function signedOver(terms: Bound, wrapHash: Bytes): Bytes {
  if (!grantRoles.includes(terms.role) || (terms.role === Role.onCall) !== (terms.alert_id !== null)) {
    throw new EnvelopeError(Refusal.format, `grant under role ${terms.role} ${terms.alert_id === null ? 'without' : 'with'} an alert`)
  }
  return concat(
    label('pe1/share'), uuidBytes(terms.session_id), uint32(terms.epoch), uuidBytes(terms.by_device_id), uuidBytes(terms.device_id),
    Uint8Array.of(terms.role), uuidBytes(terms.alert_id ?? NoAlert), wrapHash,
  )
}

/** Signs a grant with the device that its terms name as `by_device_id`. */
export async function signGrant(by: Device, terms: GrantTerms): Promise<string> {
  if (by.kid !== terms.by_device_id) throw new EnvelopeError(Refusal.format, `the grant names device ${terms.by_device_id} as its signer`)
  return encodeText(await sign(by, await grantSigned(terms)))
}

/** Whether the device with that sig_pub, which the caller knows to be `by_device_id`'s, made the grant. */
export async function verifyGrant(terms: GrantTerms, bySigPub: string, signature: string): Promise<boolean> {
  return refusedIsFalse(async () => holds(await grantSigned(terms), bySigPub, signature))
}

/** As verifyGrant, for who may not see the wrap: by its hash, as the row has it. */
export async function verifyReader(row: ReaderRow, bySigPub: string): Promise<boolean> {
  return refusedIsFalse(async () => holds(signedOver(row, decodeSized('wrap_hash', row.wrap_hash ?? '', HashBytes)), bySigPub, row.signature))
}

async function holds(signed: Bytes, bySigPub: string, signature: string): Promise<boolean> {
  const key = await importSigPub(decodeSized('sig_pub', bySigPub, PointBytes))
  return verify(key, signed, decodeSized('signature', signature, SignatureBytes))
}
