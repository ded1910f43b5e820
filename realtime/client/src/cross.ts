/** How one device of a person vouches for another, and one analysis key for the next. */
import { PointBytes, SignatureBytes, concat, decodeSized, encodeText, label, sha256, uuidBytes, type Bytes } from './bytes.ts'
import { importSigPub, sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { DeviceKind, type DeviceRow } from './rows.ts'

/** What a cross-signature says of a device; a row of `devices` has it. */
export type DeviceTerms = Pick<DeviceRow, 'id' | 'user_id' | 'kind' | 'enc_pub' | 'sig_pub'>

const kinds: Readonly<Record<DeviceKind, number>> = { participant: 1, recovery: 4, analysis: 9 }

async function keyHashes(row: Pick<DeviceTerms, 'enc_pub' | 'sig_pub'>): Promise<Bytes> {
  return concat(
    await sha256(decodeSized('enc_pub', row.enc_pub, PointBytes)),
    await sha256(decodeSized('sig_pub', row.sig_pub, PointBytes)),
  )
}

/** What a cross-signature by the device `by` covers; 'format' for terms that nobody may sign. An analysis key is of nobody: zeros. */
export async function deviceSigned(row: DeviceTerms, by: string): Promise<Bytes> {
  if ((row.user_id === null) !== (row.kind === DeviceKind.analysis)) {
    throw new EnvelopeError(Refusal.format, `device ${row.id} is not one that another vouches for`)
  }
  if (row.id === by) throw new EnvelopeError(Refusal.format, 'a device does not vouch for itself')
  return concat(
    label('pe1/device'), row.user_id === null ? new Uint8Array(16) : uuidBytes(row.user_id), uuidBytes(by), uuidBytes(row.id), Uint8Array.of(kinds[row.kind]), await keyHashes(row),
  )
}

/** Vouches, with a device, that another one with these keys is the same person's, or the same operator's. */
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

/** Runs a check; what it refuses is false. */
export async function refusedIsFalse(check: () => Promise<boolean>): Promise<boolean> {
  try {
    return await check()
  } catch (thrown) {
    if (thrown instanceof EnvelopeError) return false
    throw thrown
  }
}
