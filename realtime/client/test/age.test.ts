/** Keys of age in their written forms. The pair is age's own: `age-keygen` and Go's library read the same. */
import { expect, test } from 'vitest'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { ageIdentity, ageRecipient, ageSecret } from '../src/age.ts'
import { EnvelopeError } from '../src/failure.ts'

test('a secret is written as age writes it, and read again', async () => {
  const identity = await generateX25519Identity()
  const secret = await ageSecret(identity)
  expect(secret.length).toBe(32)
  expect(await ageIdentity(secret)).toBe(identity)
  expect(await ageRecipient(secret)).toBe(await identityToRecipient(identity))
})

test('what is no age key is refused, and not quoted', async () => {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const wrong = [identity.slice(0, -1), identity.replace(/.$/, (last) => (last === 'Q' ? 'P' : 'Q')), recipient, '', 'AGE-SECRET-KEY-1', 'age']
  for (const one of wrong) {
    const refused = await ageSecret(one).catch((thrown: unknown) => thrown)
    expect(refused, one).toBeInstanceOf(EnvelopeError)
    expect(String(refused)).toBe('EnvelopeError: no age key')
  }
  await expect(ageIdentity(new Uint8Array(31))).rejects.toThrow(EnvelopeError)
})
