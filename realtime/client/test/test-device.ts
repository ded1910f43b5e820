import { encodeText } from '../src/bytes.ts'
import { type Device, type KeyPair } from '../src/device.ts'
import { type Role } from '../src/roster.ts'

export interface TestDevice {
  readonly device: Device
  readonly json: { kid: string; role: Role; enc: string; sig: string; enc_pub: string; sig_pub: string }
}

async function raw(key: CryptoKey): Promise<string> {
  return encodeText(new Uint8Array(await crypto.subtle.exportKey('raw', key)))
}

async function secret(pair: KeyPair): Promise<string> {
  const jwk = await crypto.subtle.exportKey('jwk', pair.privateKey)
  if (jwk.d === undefined) throw new Error('no private key')
  return jwk.d
}

/** A device whose keys can be exported, as no real one's can. */
export async function testDevice(role: Role): Promise<TestDevice> {
  const kid = crypto.randomUUID()
  const enc = await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, true, ['deriveBits'])
  const sig = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const [encPub, sigPub] = [await raw(enc.publicKey), await raw(sig.publicKey)]
  const json = { kid, role, enc: await secret(enc), sig: await secret(sig), enc_pub: encPub, sig_pub: sigPub }
  return { device: { kid, enc, sig, encPub, sigPub }, json }
}
