// RFC 6238 with SHA-1, six digits and thirty seconds: what an authenticator app does.
import { createHmac } from 'node:crypto'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const period = 30

function decode(secret: string): Uint8Array {
  let bits = ''
  for (const letter of secret.replace(/=+$/, '')) bits += alphabet.indexOf(letter).toString(2).padStart(5, '0')
  return Uint8Array.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

export function totp(secret: string, at = Date.now()): string {
  const counter = new Uint8Array(8)
  new DataView(counter.buffer).setBigUint64(0, BigInt(Math.floor(at / 1000 / period)))
  const mac = createHmac('sha1', decode(secret)).update(counter).digest()
  const offset = (mac[mac.length - 1] ?? 0) & 15
  return ((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).toString().padStart(6, '0')
}
