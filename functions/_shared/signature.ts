/**
 * Standard Webhooks (standardwebhooks.com): a sender proves that it holds a secret, and that id, time and body are as it sent
 * them. The signature is "v1," and the base64 of HMAC-SHA256 over `id.timestamp.body`; a header may carry several.
 *
 * Guarantees: a signature is compared in constant time, against every secret, whatever came before; one that is older or
 * newer than TOLERANCE_SECONDS is refused. Not guaranteed: that a request comes once. Who sends may send again, under the same id.
 */

export const TOLERANCE_SECONDS = 5 * 60

/** Shorter ones can be guessed from one signed request. */
export const SHORTEST_SECRET = 16

/** More signatures in one header than this are not looked at: each costs an HMAC. */
const MOST_SIGNATURES = 8

const PREFIX = 'whsec_'
const VERSION = 'v1'

/** Reads the secrets of a variable: one, or, while it is rotated, several with white space or commas between them. */
export function secretsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((s) => s !== '')
}

/** Says what is wrong with a secret, without showing it; null when it may be used. */
export function faultOf(secret: string): string | null {
  const key = keyOf(secret)
  if (key === null) return `what follows ${PREFIX} must be base64`
  return key.length < SHORTEST_SECRET ? `must have ${SHORTEST_SECRET} characters at least` : null
}

/** The key's bytes: base64 after "whsec_", as Standard Webhooks writes secrets, else the text itself. */
function keyOf(secret: string): Uint8Array<ArrayBuffer> | null {
  return secret.startsWith(PREFIX) ? fromBase64(secret.slice(PREFIX.length)) : new TextEncoder().encode(secret)
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  } catch {
    return null // no base64
  }
}

async function importKey(secret: string, use: 'sign' | 'verify'): Promise<CryptoKey> {
  const bytes = keyOf(secret)
  if (bytes === null || bytes.length === 0) throw new Error('a webhook secret cannot be read')
  return await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, [use])
}

function signed(id: string, timestamp: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`${id}.${timestamp}.`)
  const all = new Uint8Array(head.length + body.length)
  all.set(head)
  all.set(body, head.length)
  return all
}

/** The three headers of a webhook that is sent now: one signature for each secret. */
export async function headersOf(secrets: readonly string[], id: string, nowMs: number, body: string): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / 1000))
  const data = signed(id, timestamp, new TextEncoder().encode(body))
  const signatures = await Promise.all(secrets.map(async (secret) => {
    const mac = new Uint8Array(await crypto.subtle.sign('HMAC', await importKey(secret, 'sign'), data))
    return `${VERSION},${btoa(String.fromCharCode(...mac))}`
  }))
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}

export const SIGNATURE_FAULTS = {
  missing: 'signature_missing',
  time: 'timestamp_refused',
  wrong: 'signature_wrong',
} as const
export type SignatureFault = (typeof SIGNATURE_FAULTS)[keyof typeof SIGNATURE_FAULTS]

export type Verdict = { readonly id: string } | { readonly fault: SignatureFault }

/** Says whether a request was signed with one of the secrets, and lately. */
export async function verify(secrets: readonly string[], headers: Headers, body: Uint8Array, nowMs: number): Promise<Verdict> {
  const id = headers.get('webhook-id') ?? ''
  const timestamp = headers.get('webhook-timestamp') ?? ''
  const signatures = (headers.get('webhook-signature') ?? '').split(' ').filter((s) => s !== '').slice(0, MOST_SIGNATURES)
  if (id === '' || timestamp === '' || signatures.length === 0) return { fault: SIGNATURE_FAULTS.missing }
  if (!/^\d{1,12}$/.test(timestamp)) return { fault: SIGNATURE_FAULTS.time }
  const data = signed(id, timestamp, body)
  let known = false
  for (const secret of secrets) {
    const key = await importKey(secret, 'verify')
    for (const signature of signatures) {
      const [version, text] = signature.split(',', 2)
      const mac = version === VERSION ? fromBase64(text ?? '') : null
      if (mac !== null && await crypto.subtle.verify('HMAC', key, mac, data)) known = true
    }
  }
  if (!known) return { fault: SIGNATURE_FAULTS.wrong }
  // After the signature: only who holds the secret learns how the clocks stand.
  if (Math.abs(nowMs / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return { fault: SIGNATURE_FAULTS.time }
  return { id }
}
