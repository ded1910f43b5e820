/** What people compare by eye: the safety number of devices, and the code of a device that waits. */
import { PointBytes, compare, concat, decodeSized, label, sha256, uuidBytes, type Bytes } from './bytes.ts'
import type { DeviceRow } from './rows.ts'

const SafetyGroups = 6
const SafetyGroupBytes = 5
const SafetyDigits = 5
const CodeCharacters = 12
const CodeGroup = 4
const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

type Keys = Pick<DeviceRow, 'id' | 'enc_pub' | 'sig_pub'>

async function keyHashes(row: Keys): Promise<Bytes> {
  const point = (text: string): Promise<Bytes> => sha256(decodeSized('public key', text, PointBytes))
  return concat(uuidBytes(row.id), await point(row.enc_pub), await point(row.sig_pub))
}

/**
 * Six groups of five digits over the devices, in any order: the same digits at both ends mean the same keys at both ends. Pass the
 * admitted, unrevoked devices of both people, or one device alone.
 */
export async function safetyNumber(devices: readonly Keys[]): Promise<string> {
  const parts = (await Promise.all(devices.map(keyHashes))).sort(compare)
  const sum = await sha256(concat(label('pe1/safety'), ...parts))
  const groups = Array.from({ length: SafetyGroups }, (_, i) => {
    const wide = sum.subarray(i * SafetyGroupBytes, (i + 1) * SafetyGroupBytes).reduce((value, byte) => value * 256 + byte, 0)
    return String(wide % 10 ** SafetyDigits).padStart(SafetyDigits, '0')
  })
  return groups.join(' ')
}

/** What a waiting device shows, and is typed on a trusted one: XXXX-XXXX-XXXX, 60 bits over its owner and its keys. */
export async function deviceCode(row: Keys & Pick<DeviceRow, 'user_id'>): Promise<string> {
  const bytes = concat(label('pe1/device-code'), uuidBytes(row.user_id ?? ''), await keyHashes(row))
  const sum = await sha256(bytes)
  let code = ''
  for (let bits = 0, word = 0, at = 0; code.length < CodeCharacters; bits -= 5) {
    if (bits < 5) {
      word = ((word & 0x1f) << 8) | (sum[at++] ?? 0)
      bits += 8
    }
    code += crockford.charAt((word >> (bits - 5)) & 0x1f)
  }
  return grouped(code)
}

/** A code as it is written. */
export function grouped(code: string): string {
  return code.replace(new RegExp(`(.{${CodeGroup}})(?=.)`, 'g'), '$1-')
}
