/**
 * Keys of age (age-encryption.org), which exports are sealed to: 32 secret bytes, as a recovery key holds them, and their two
 * written forms. age itself is loaded when it is first needed.
 */
import { KeyBytes, type Bytes } from './bytes.ts'
import { EnvelopeError, Refusal } from './failure.ts'

const IdentityPrefix = 'AGE-SECRET-KEY-'

/** AGE-SECRET-KEY-1…, the written form of a secret. */
export async function ageIdentity(secret: Bytes): Promise<string> {
  if (secret.length !== KeyBytes) throw new EnvelopeError(Refusal.format, `age key of ${secret.length} bytes`)
  const { bech32 } = await import('@scure/base')
  return bech32.encodeFromBytes(IdentityPrefix, secret).toUpperCase()
}

/** The secret of AGE-SECRET-KEY-1…; anything else is refused as 'format'. */
export async function ageSecret(identity: string): Promise<Bytes> {
  const { bech32 } = await import('@scure/base')
  try {
    const { prefix, bytes } = bech32.decodeToBytes(identity)
    if (prefix.toUpperCase() === IdentityPrefix && bytes.length === KeyBytes) return new Uint8Array(bytes)
  } catch {
    // what was given may be the secret with a letter wrong: it goes into no message
  }
  throw new EnvelopeError(Refusal.format, 'no age key')
}

/** age1…, to which whoever has the secret can open. */
export async function ageRecipient(secret: Bytes): Promise<string> {
  const [{ identityToRecipient }, identity] = await Promise.all([import('age-encryption'), ageIdentity(secret)])
  return identityToRecipient(identity)
}
