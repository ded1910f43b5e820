import { PointBytes, decodeSized, encodeText, type Bytes } from './bytes.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, id, text } from './parse.ts'

/** A key pair of one device. Private keys made here are non-extractable. */
export interface KeyPair {
  readonly publicKey: CryptoKey
  readonly privateKey: CryptoKey
}

/** This browser's (or process') device: its id is its row's in `devices`. Structured-clonable, so IndexedDB can keep it. */
export interface Device {
  readonly kid: string
  readonly enc: KeyPair
  readonly sig: KeyPair
  /** 65 bytes, base64url: devices.enc_pub. */
  readonly encPub: string
  /** 65 bytes, base64url: devices.sig_pub. */
  readonly sigPub: string
}

const ecdh = { name: 'ECDH', namedCurve: 'P-256' } as const
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' } as const
const signing = { name: 'ECDSA', hash: 'SHA-256' } as const

export { hpke } from './hpke.ts'

/** Makes a device whose private keys no script can read. */
export async function makeDevice(kid: string = crypto.randomUUID()): Promise<Device> {
  const enc = await crypto.subtle.generateKey(ecdh, false, ['deriveBits'])
  const sig = await crypto.subtle.generateKey(ecdsa, false, ['sign', 'verify'])
  return device(kid, enc, sig)
}

async function device(kid: string, enc: KeyPair, sig: KeyPair): Promise<Device> {
  const [encPub, sigPub] = await Promise.all([rawText(enc.publicKey), rawText(sig.publicKey)])
  return { kid, enc, sig, encPub, sigPub }
}

async function rawText(key: CryptoKey): Promise<string> {
  return encodeText(new Uint8Array(await crypto.subtle.exportKey('raw', key)))
}

/**
 * Reads a device from a key file, as Go's envelope.Device.Marshal writes it, with its public keys beside it: for tests and for
 * Node programs that keep a key themselves. The imported private keys are non-extractable.
 */
export async function importDevice(value: unknown): Promise<Device> {
  const key = fields(value, 'key')
  const [enc, sig] = await Promise.all([
    importPair(ecdh, text(key, 'enc'), text(key, 'enc_pub'), ['deriveBits']),
    importPair(ecdsa, text(key, 'sig'), text(key, 'sig_pub'), ['sign']),
  ])
  return device(id(key, 'kid'), enc, sig)
}

async function importPair(
  algorithm: EcKeyImportParams,
  secret: string,
  publicText: string,
  usages: KeyUsage[],
): Promise<KeyPair> {
  const point = decodeSized('public key', publicText, PointBytes)
  const jwk: JsonWebKey = {
    kty: 'EC',
    crv: 'P-256',
    d: secret,
    x: encodeText(point.subarray(1, 33)),
    y: encodeText(point.subarray(33)),
  }
  try {
    const privateKey = await crypto.subtle.importKey('jwk', jwk, algorithm, false, usages)
    const verify: KeyUsage[] = algorithm.name === ecdsa.name ? ['verify'] : []
    const publicKey = await crypto.subtle.importKey('raw', point, algorithm, true, verify)
    return { publicKey, privateKey }
  } catch {
    throw new EnvelopeError(Refusal.format, 'key file holds no key of P-256')
  }
}

/** Raw r‖s over the bytes. */
export async function sign(signer: Device, bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign(signing, signer.sig.privateKey, bytes))
}

/** Whether the raw r‖s signature is the key's over the bytes. */
export async function verify(key: CryptoKey, bytes: Bytes, signature: Bytes): Promise<boolean> {
  return crypto.subtle.verify(signing, key, signature, bytes)
}

/** Imports a signing key; a point off the curve is refused as 'format'. */
export async function importSigPub(point: Bytes): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey('raw', point, ecdsa, true, ['verify'])
  } catch {
    throw new EnvelopeError(Refusal.format, 'sig_pub is no point of P-256')
  }
}

/** Imports an encryption key; a point off the curve is refused as 'format'. */
export async function importEncPub(point: Bytes): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey('raw', point, ecdh, true, [])
  } catch {
    throw new EnvelopeError(Refusal.format, 'enc_pub is no point of P-256')
  }
}
