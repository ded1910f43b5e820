/** The one suite of HPKE, held to another implementation in both directions; the vectors hold it to Go's as well. */
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from 'hpke'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../src/bytes.ts'
import { makeDevice } from '../src/device.ts'
import { hpke } from '../src/hpke.ts'

const other = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM)
const info = utf8('pe1/test')
const texts = [new Uint8Array(0), utf8('a'), new Uint8Array(32).fill(7), crypto.getRandomValues(new Uint8Array(5000))]

describe('HPKE', () => {
  test.each(texts)('opens what another implementation sealed, and is opened by it', async (text) => {
    const { enc } = await makeDevice()
    const theirs = await other.Seal(enc.publicKey, text, { info })
    expect(await hpke.Open(enc, theirs.encapsulatedSecret, theirs.ciphertext, { info })).toEqual(text)
    const ours = await hpke.Seal(enc.publicKey, text, { info })
    expect(ours.encapsulatedSecret.length).toBe(65)
    expect(new Uint8Array(await other.Open(enc, ours.encapsulatedSecret, ours.ciphertext, { info }))).toEqual(text)
    expect(await hpke.Open(enc, ours.encapsulatedSecret, ours.ciphertext, { info })).toEqual(text)
  })

  test('opens nothing under other info, by another key, or with a bit changed', async () => {
    const [{ enc }, stranger] = [await makeDevice(), await makeDevice()]
    const { encapsulatedSecret, ciphertext } = await hpke.Seal(enc.publicKey, utf8('secret'), { info })
    await expect(hpke.Open(enc, encapsulatedSecret, ciphertext, { info: utf8('pe1/other') })).rejects.toThrow()
    await expect(hpke.Open(stranger.enc, encapsulatedSecret, ciphertext, { info })).rejects.toThrow()
    for (const at of [0, 1, 30, 64]) {
      const changed = encapsulatedSecret.slice()
      changed[at] = (changed[at] ?? 0) ^ 1
      await expect(hpke.Open(enc, changed, ciphertext, { info })).rejects.toThrow()
    }
    for (const at of [0, ciphertext.length - 1]) {
      const changed = ciphertext.slice()
      changed[at] = (changed[at] ?? 0) ^ 1
      await expect(hpke.Open(enc, encapsulatedSecret, changed, { info })).rejects.toThrow()
    }
    await expect(hpke.Open(enc, encapsulatedSecret.subarray(1), ciphertext, { info })).rejects.toThrow()
    await expect(hpke.Open(enc, new Uint8Array(0), ciphertext, { info })).rejects.toThrow()
  })

  test('never seals twice the same', async () => {
    const { enc } = await makeDevice()
    const sealed = await Promise.all([1, 2].map(() => hpke.Seal(enc.publicKey, utf8('secret'), { info })))
    expect(sealed[0]).not.toEqual(sealed[1])
  })
})
