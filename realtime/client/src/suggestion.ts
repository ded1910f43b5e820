import { PointBytes, SignatureBytes, TagBytes, concat, decodeSized, decodeText, label, sha256, uuidBytes, type Bytes } from './bytes.ts'
import { hpke, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import type { SuggestionSealRow } from './rows.ts'

const Overhead = PointBytes + TagBytes
/** The longest sealed text: 32,768 characters in SQL. */
const MaxCharacters = 32 * 1024

type Place = Omit<SuggestionSealRow, 'user_id' | 'sealed' | 'signature'>

function place(name: string, row: Place): Bytes {
  return concat(label(name), uuidBytes(row.session_id), uuidBytes(row.message_id), uuidBytes(row.suggestion_id), uuidBytes(row.device_id))
}

/** What binds a sealed text to its session, message, suggestion and device. */
export function suggestionInfo(row: Place): Bytes {
  return place('pe1/suggestion', row)
}

/** What the analysis device signs of it: HPKE's base mode does not say who sealed. */
export async function suggestionSigned(row: Place, sealed: Bytes): Promise<Bytes> {
  return concat(place('pe1/suggestion-sig', row), await sha256(sealed))
}

/**
 * Verifies that one of the analysis devices with these signing keys sealed the text to this device, and opens it. Refusals, in
 * the order of the checks: 'wrap' (it is sealed to another device), 'format', 'signature', 'body'.
 */
export async function openSuggestion(device: Device, signers: readonly CryptoKey[], row: Omit<SuggestionSealRow, 'user_id'>): Promise<string> {
  if (row.device_id !== device.kid) throw new EnvelopeError(Refusal.wrap, `suggestion ${row.suggestion_id} is sealed to another device`)
  if (row.sealed.length > MaxCharacters) throw new EnvelopeError(Refusal.format, `suggestion of ${row.sealed.length} characters`)
  const sealed = decodeText(row.sealed)
  if (sealed.length < Overhead) throw new EnvelopeError(Refusal.format, `suggestion of ${sealed.length} bytes`)
  const signature = decodeSized('signature', row.signature, SignatureBytes)
  const signed = await suggestionSigned(row, sealed)
  const verified = await Promise.all(signers.map((key) => verify(key, signed, signature)))
  if (!verified.includes(true)) {
    throw new EnvelopeError(Refusal.signature, `signature of suggestion ${row.suggestion_id} does not verify`)
  }
  try {
    const params = { info: suggestionInfo(row) }
    const [enc, ciphertext] = [sealed.slice(0, PointBytes), sealed.slice(PointBytes)]
    return new TextDecoder('utf-8', { fatal: true }).decode(await hpke.Open(device.enc, enc, ciphertext, params))
  } catch (cause) {
    throw new EnvelopeError(Refusal.body, `suggestion ${row.suggestion_id} does not open`, { cause })
  }
}
