/**
 * HPKE base mode (RFC 9180), one message per key, in the one suite that pe1 has: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
 * AES-256-GCM. Only composition is here; every primitive is WebCrypto's. Held to Go's crypto/hpke by the vectors and to the
 * package `hpke` by test/hpke.test.ts.
 */
import { HashBytes, KeyBytes, NonceBytes, concat, utf8, type Bytes } from './bytes.ts'

const ecdh = { name: 'ECDH', namedCurve: 'P-256' } as const
const hmac = { name: 'HMAC', hash: 'SHA-256' } as const
const Version = utf8('HPKE-v1')
const Kem = concat(utf8('KEM'), Uint8Array.of(0, 0x10))
const Suite = concat(utf8('HPKE'), Uint8Array.of(0, 0x10, 0, 1, 0, 2))
const BaseMode = Uint8Array.of(0)
const Empty = new Uint8Array(0)
/** What HKDF takes for no salt. */
const NoSalt = new Uint8Array(HashBytes)

async function mac(key: Bytes, data: Bytes): Promise<Bytes> {
  const imported = await crypto.subtle.importKey('raw', key, hmac, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign(hmac, imported, data))
}

function extract(suite: Bytes, salt: Bytes, name: string, ikm: Uint8Array): Promise<Bytes> {
  return mac(salt, concat(Version, suite, utf8(name), ikm))
}

/** LabeledExpand to at most one hash's length, which all of base mode's outputs are. */
async function expand(suite: Bytes, key: Bytes, name: string, info: Uint8Array, size: number): Promise<Bytes> {
  const block = await mac(key, concat(Uint8Array.of(0, size), Version, suite, utf8(name), info, Uint8Array.of(1)))
  return block.slice(0, size)
}

async function raw(key: CryptoKey): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.exportKey('raw', key))
}

/** What both ends derive of the shared point: the key and nonce of the one message. */
async function schedule(own: CryptoKey, peer: CryptoKey, enc: Uint8Array, recipient: Bytes, info: Uint8Array) {
  const dh = new Uint8Array(await crypto.subtle.deriveBits({ name: ecdh.name, public: peer }, own, KeyBytes * 8))
  const shared = await expand(Kem, await extract(Kem, NoSalt, 'eae_prk', dh), 'shared_secret', concat(enc, recipient), HashBytes)
  const context = concat(BaseMode, await extract(Suite, NoSalt, 'psk_id_hash', Empty), await extract(Suite, NoSalt, 'info_hash', info))
  const secret = await extract(Suite, shared, 'secret', Empty)
  const [key, iv] = await Promise.all([expand(Suite, secret, 'key', context, KeyBytes), expand(Suite, secret, 'base_nonce', context, NonceBytes)])
  const aes = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
  for (const bytes of [dh, shared, secret, key]) bytes.fill(0)
  return { aes, params: { name: 'AES-GCM', iv } }
}

/** Seals one message to a P-256 key, which must be exportable, as public keys are. */
async function Seal(to: CryptoKey, plaintext: Bytes, { info }: { readonly info: Uint8Array }): Promise<{ encapsulatedSecret: Bytes; ciphertext: Bytes }> {
  const ephemeral = await crypto.subtle.generateKey(ecdh, false, ['deriveBits'])
  const encapsulatedSecret = await raw(ephemeral.publicKey)
  const { aes, params } = await schedule(ephemeral.privateKey, to, encapsulatedSecret, await raw(to), info)
  return { encapsulatedSecret, ciphertext: new Uint8Array(await crypto.subtle.encrypt(params, aes, plaintext)) }
}

/** Opens what was sealed to the pair under the same info; rejects for anything else. */
async function Open(
  pair: { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey }, enc: Uint8Array, ciphertext: Uint8Array, { info }: { readonly info: Uint8Array },
): Promise<Bytes> {
  const peer = await crypto.subtle.importKey('raw', concat(enc), ecdh, false, [])
  const { aes, params } = await schedule(pair.privateKey, peer, enc, await raw(pair.publicKey), info)
  return new Uint8Array(await crypto.subtle.decrypt(params, aes, concat(ciphertext)))
}

export const hpke = { Seal, Open } as const
