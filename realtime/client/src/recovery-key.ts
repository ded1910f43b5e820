/** The recovery key itself: how it is made, sealed under a passphrase, and opened. */
import { ageRecipient } from './age.ts'
import type { Argon2 } from './argon2.ts'
import {
  KeyBytes, NonceBytes, PointBytes, TagBytes, concat, decodeSized, decodeText, encodeText, label, uint32, utf8, uuidBytes, type Bytes,
} from './bytes.ts'
import type { Device, KeyPair } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import type { DeviceRow, RecoveryKeyRow } from './rows.ts'

/** How a new passphrase is stretched. Never lowered, on no device. */
export const Stretch = { memoryKiB: 65536, passes: 3, lanes: 1 } as const
/** What is not even tried: a false row could ask for all of a device's memory. */
const MostKiB = 1024 * 1024
const MostPasses = 10
const SaltBytes = 16
const SecretBytes = 3 * KeyBytes
const WrappedBytes = NonceBytes + SecretBytes + TagBytes

/** The secrets of a recovery key, one after the other, to be wiped after use: enc ‖ sig ‖ age. */
export type Secrets = Bytes

export interface NewRecoveryKey {
  readonly device: Device
  readonly secrets: Secrets
}

const ecdh = { name: 'ECDH', namedCurve: 'P-256' } as const
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' } as const

/** Makes a recovery key. Its private keys are in `secrets` and, not extractable, in `device`. */
export async function makeRecoveryKey(): Promise<NewRecoveryKey> {
  const enc = await crypto.subtle.generateKey(ecdh, true, ['deriveBits'])
  const sig = await crypto.subtle.generateKey(ecdsa, true, ['sign', 'verify'])
  const [encPub, sigPub] = [await rawKey(enc.publicKey), await rawKey(sig.publicKey)]
  const secrets = concat(await scalarOf(enc.privateKey), await scalarOf(sig.privateKey), crypto.getRandomValues(new Uint8Array(KeyBytes)))
  const row = { id: crypto.randomUUID(), enc_pub: encodeText(encPub), sig_pub: encodeText(sigPub) }
  return { secrets, device: await recoveryDevice(secrets, row) }
}

async function rawKey(key: CryptoKey): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.exportKey('raw', key))
}

// PKCS #8 of a P-256 key, so that no private key is ever a string, which nothing could wipe: RFC 5958 around RFC 5915.
const pkcs8Head = Uint8Array.of(
  0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
  0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
)
const pkcs8Middle = Uint8Array.of(0xa1, 0x44, 0x03, 0x42, 0x00)

async function scalarOf(key: CryptoKey): Promise<Bytes> {
  const whole = new Uint8Array(await crypto.subtle.exportKey('pkcs8', key))
  const same = pkcs8Head.every((byte, i) => whole[i] === byte)
  const scalar = whole.slice(pkcs8Head.length, pkcs8Head.length + KeyBytes)
  whole.fill(0)
  if (!same || scalar.length !== KeyBytes) throw new EnvelopeError(Refusal.format, 'this browser writes keys of P-256 in another form')
  return scalar
}

/** The device that a recovery key is, from its secrets and its row. Its private keys cannot be read. */
export async function recoveryDevice(secrets: Secrets, row: Pick<DeviceRow, 'id' | 'enc_pub' | 'sig_pub'>): Promise<Device> {
  const enc = await pairOf(ecdh, secrets.subarray(0, KeyBytes), row.enc_pub, ['deriveBits'])
  const sig = await pairOf(ecdsa, secrets.subarray(KeyBytes, 2 * KeyBytes), row.sig_pub, ['sign'])
  return { kid: row.id, enc, sig, encPub: row.enc_pub, sigPub: row.sig_pub }
}

async function pairOf(algorithm: EcKeyImportParams, scalar: Bytes, publicText: string, usages: KeyUsage[]): Promise<KeyPair> {
  const point = decodeSized('public key', publicText, PointBytes)
  const whole = concat(pkcs8Head, scalar, pkcs8Middle, point)
  try {
    const privateKey = await crypto.subtle.importKey('pkcs8', whole, algorithm, false, usages)
    const publicKey = await crypto.subtle.importKey('raw', point, algorithm, true, algorithm.name === ecdsa.name ? ['verify'] : [])
    return { publicKey, privateKey }
  } catch {
    throw new EnvelopeError(Refusal.format, 'the recovery key is not the one of its row')
  } finally {
    whole.fill(0)
  }
}

/** Of a row of recovery_keys, what is bound to its secrets. */
type Terms = Pick<RecoveryKeyRow, 'memory_kib' | 'passes' | 'lanes' | 'salt'>

function aad(userId: string, kid: string, terms: Terms): Bytes {
  return concat(
    label('pe1/recovery'), uuidBytes(userId), uuidBytes(kid), uint32(terms.memory_kib), uint32(terms.passes), Uint8Array.of(terms.lanes),
    decodeSized('salt', terms.salt, SaltBytes),
  )
}

/** The key that a passphrase gives: the same passphrase however it was typed. */
async function wrappingKey(passphrase: string, terms: Terms, argon2: Argon2): Promise<CryptoKey> {
  const typed = utf8(passphrase.normalize('NFKC'))
  const parameters = { memoryKiB: terms.memory_kib, passes: terms.passes, lanes: terms.lanes }
  const bytes = await argon2(typed, decodeSized('salt', terms.salt, SaltBytes), parameters).finally(() => typed.fill(0))
  if (bytes.length !== KeyBytes) throw new EnvelopeError(Refusal.format, `a key of ${bytes.length} bytes was derived`)
  const key = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
  bytes.fill(0)
  return key
}

/** Whose recovery key is sealed, and with what. */
export interface SealTerms {
  readonly userId: string
  readonly kid: string
  readonly version: number
}

/** Seals the secrets under a passphrase: a row of recovery_keys less its device. */
export async function sealSecrets(
  secrets: Secrets, passphrase: string, terms: SealTerms, argon2: Argon2,
): Promise<Omit<RecoveryKeyRow, 'device_id'>> {
  const salt = encodeText(crypto.getRandomValues(new Uint8Array(SaltBytes)))
  const stretch = { memory_kib: Stretch.memoryKiB, passes: Stretch.passes, lanes: Stretch.lanes, salt }
  const key = await wrappingKey(passphrase, stretch, argon2)
  const nonce = crypto.getRandomValues(new Uint8Array(NonceBytes))
  const params = { name: 'AES-GCM', iv: nonce, additionalData: aad(terms.userId, terms.kid, stretch) }
  const sealed = new Uint8Array(await crypto.subtle.encrypt(params, key, secrets))
  const age = secrets.slice(2 * KeyBytes)
  const age_recipient = await ageRecipient(age).finally(() => age.fill(0))
  return { version: terms.version, ...stretch, wrapped: encodeText(concat(nonce, sealed)), age_recipient }
}

/**
 * Opens a row of recovery_keys. Rejects with EnvelopeError: 'format' for what is not even tried (a weaker stretch than any that
 * is made, one that no device could bear, a row that is none), 'wrap' for another passphrase, account or device.
 */
export async function openSecrets(row: RecoveryKeyRow, userId: string, passphrase: string, argon2: Argon2): Promise<Secrets> {
  const { memory_kib, passes, lanes } = row
  const weak = memory_kib < Stretch.memoryKiB || passes < Stretch.passes
  if (weak || memory_kib > MostKiB || passes > MostPasses || lanes !== Stretch.lanes) {
    throw new EnvelopeError(Refusal.format, `recovery key of ${memory_kib} KiB, ${passes} passes, ${lanes} lanes`)
  }
  const wrapped = decodeText(row.wrapped)
  if (wrapped.length !== WrappedBytes) throw new EnvelopeError(Refusal.format, `recovery key of ${wrapped.length} bytes`)
  const additionalData = aad(userId, row.device_id, row)
  const key = await wrappingKey(passphrase, row, argon2)
  try {
    const params = { name: 'AES-GCM', iv: wrapped.subarray(0, NonceBytes), additionalData }
    return new Uint8Array(await crypto.subtle.decrypt(params, key, wrapped.subarray(NonceBytes)))
  } catch {
    throw new EnvelopeError(Refusal.wrap, 'the passphrase does not open the recovery key')
  }
}
