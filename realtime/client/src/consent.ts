import { HashBytes, SignatureBytes, concat, decodeSized, encodeText, label, sha256, utf8, uuidBytes, type Bytes } from './bytes.ts'
import { sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { Role, findMember, type Roster } from './roster.ts'
import type { ConsentRow } from './rows.ts'

export const ConsentScope = {
  analysis: 'analysis',
  crisisAccess: 'crisis_access',
  externalModels: 'external_models',
} as const
export type ConsentScope = (typeof ConsentScope)[keyof typeof ConsentScope]

/** What is signed of a consent. */
export type ConsentTerms = Pick<ConsentRow, 'id' | 'session_id' | 'device_id' | 'scope' | 'text_hash'>

function signed(name: string, terms: ConsentTerms): Bytes {
  const scope = [...terms.scope].sort()
  const known: readonly string[] = Object.values(ConsentScope)
  if (scope.length === 0 || new Set(scope).size !== scope.length || scope.some((one) => !known.includes(one))) {
    throw new EnvelopeError(Refusal.format, 'consent with no, an unknown or a repeated scope')
  }
  return concat(
    label(name),
    uuidBytes(terms.id),
    uuidBytes(terms.session_id),
    uuidBytes(terms.device_id),
    decodeSized('text_hash', terms.text_hash, HashBytes),
    ...scope.map(label),
  )
}

/** The row with which a client's device consents to the text being used within the scope. */
export async function signConsent(
  device: Device,
  consent: { readonly id: string; readonly sessionId: string; readonly text: string; readonly scope: readonly ConsentScope[] },
): Promise<ConsentTerms & { readonly signature: string }> {
  const terms = {
    id: consent.id,
    session_id: consent.sessionId,
    device_id: device.kid,
    scope: [...consent.scope].sort(),
    text_hash: encodeText(await sha256(utf8(consent.text))),
  }
  return { ...terms, signature: encodeText(await sign(device, signed('pe1/consent', terms))) }
}

/** The signature with which the consent's own device withdraws it. */
export async function signWithdrawal(device: Device, terms: ConsentTerms): Promise<string> {
  return encodeText(await sign(device, signed('pe1/consent-withdrawn', terms)))
}

/** Whether a withdrawal is signed by the key: for the record, since a withdrawal counts without it. */
export async function verifyWithdrawal(consent: ConsentRow, sigKey: CryptoKey): Promise<boolean> {
  const signature = decodeSized('withdrawal_signature', consent.withdrawal_signature ?? '', SignatureBytes)
  return verify(sigKey, signed('pe1/consent-withdrawn', consent), signature)
}

/** Whether the consent was withdrawn, by its own device or by the database's word alone. */
export function isWithdrawn(consent: ConsentRow): boolean {
  return consent.withdrawn_at !== null || (consent.withdrawal_signature ?? '') !== ''
}

/** Refuses, as 'consent', what is not signed by a client's device on the roster. Withdrawal is not looked at. */
export async function verifyConsent(consent: ConsentRow, roster: Roster): Promise<void> {
  const signer = findMember(roster, consent.device_id)
  if (signer?.sigKey === undefined || signer.role !== Role.client) {
    throw new EnvelopeError(Refusal.consent, `consent ${consent.id} is not by a client on the roster`)
  }
  if (!(await signedBy(consent, signer.sigKey))) {
    throw new EnvelopeError(Refusal.consent, `signature of consent ${consent.id} does not verify`)
  }
}

/** Whether the key signed the consent; one that cannot be read is refused, as 'consent'. */
async function signedBy(consent: ConsentRow, key: CryptoKey): Promise<boolean> {
  try {
    const signature = decodeSized('signature', consent.signature, SignatureBytes)
    return await verify(key, signed('pe1/consent', consent), signature)
  } catch (cause) {
    throw new EnvelopeError(Refusal.consent, `consent ${consent.id} cannot be read`, { cause })
  }
}
