import { strict as assert } from 'node:assert'
import { createHmac } from 'node:crypto'
import { faultOf, headersOf, secretsOf, TOLERANCE_SECONDS, verify } from './signature.ts'
import vectors from './testdata/signatures.json' with { type: 'json' }

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

Deno.test('every vector is signed as it stands there, and verified', async () => {
  assert.ok(vectors.length >= 3)
  for (const v of vectors) {
    const secrets = secretsOf(v.secret)
    const headers = await headersOf(secrets, v.id, v.timestamp * 1000 + 999, v.body)
    assert.deepEqual(headers, { 'webhook-id': v.id, 'webhook-timestamp': String(v.timestamp), 'webhook-signature': v.signature }, v.name)
    for (const secret of secrets) {
      assert.deepEqual(await verify([secret], new Headers(headers), bytes(v.body), v.timestamp * 1000), { id: v.id }, v.name)
    }
  }
})

const secret = 'whsec_' + btoa('an invented secret')
const now = 1_795_413_600_000
const body = '{"alert_id":"x"}'

/** Signs by another implementation than the one that is tested. */
function signature(key: string, id: string, timestamp: number | string, text: string): string {
  return 'v1,' + createHmac('sha256', key).update(`${id}.${timestamp}.${text}`).digest('base64')
}

const right = signature('an invented secret', 'a.1', now / 1000, body)

function headers(changes: Record<string, string | null> = {}): Headers {
  const all = new Headers({ 'webhook-id': 'a.1', 'webhook-timestamp': String(now / 1000), 'webhook-signature': right })
  for (const [name, value] of Object.entries(changes)) value === null ? all.delete(name) : all.set(name, value)
  return all
}

const at = (seconds: number): Record<string, string> => ({
  'webhook-timestamp': String(now / 1000 + seconds),
  'webhook-signature': signature('an invented secret', 'a.1', now / 1000 + seconds, body),
})

const cases: Record<string, { headers?: Record<string, string | null>; body?: string; want: string }> = {
  'as it was signed': { want: 'a.1' },
  'no id': { headers: { 'webhook-id': null }, want: 'signature_missing' },
  'no time': { headers: { 'webhook-timestamp': null }, want: 'signature_missing' },
  'no signature': { headers: { 'webhook-signature': null }, want: 'signature_missing' },
  'an empty signature': { headers: { 'webhook-signature': ' ' }, want: 'signature_missing' },
  'another id': { headers: { 'webhook-id': 'b.1' }, want: 'signature_wrong' },
  'another time': { headers: { 'webhook-timestamp': String(now / 1000 + 1) }, want: 'signature_wrong' },
  'a time that is no number': { headers: { 'webhook-timestamp': '1e9' }, want: 'timestamp_refused' },
  'a negative time': { headers: { 'webhook-timestamp': '-1' }, want: 'timestamp_refused' },
  'another body': { body: '{"alert_id":"y"}', want: 'signature_wrong' },
  'one byte more': { body: body + '\n', want: 'signature_wrong' },
  'another version': { headers: { 'webhook-signature': right.replace('v1', 'v2') }, want: 'signature_wrong' },
  'no version': { headers: { 'webhook-signature': right.slice(3) }, want: 'signature_wrong' },
  'half of it': { headers: { 'webhook-signature': right.slice(0, 20) }, want: 'signature_wrong' },
  'no base64': { headers: { 'webhook-signature': 'v1,***' }, want: 'signature_wrong' },
  'nothing after the version': { headers: { 'webhook-signature': 'v1,' }, want: 'signature_wrong' },
  'a right one after a wrong one': { headers: { 'webhook-signature': `v1,AAAA v2,BBBB ${right}` }, want: 'a.1' },
  'a right one after more than are looked at': { headers: { 'webhook-signature': 'v1,AAAA '.repeat(8) + right }, want: 'signature_wrong' },
  'at the edge of the past': { headers: at(-TOLERANCE_SECONDS), want: 'a.1' },
  'at the edge of the future': { headers: at(TOLERANCE_SECONDS), want: 'a.1' },
  'too old': { headers: at(-TOLERANCE_SECONDS - 1), want: 'timestamp_refused' },
  'from the future': { headers: at(TOLERANCE_SECONDS + 1), want: 'timestamp_refused' },
}

for (const [name, c] of Object.entries(cases)) {
  Deno.test(`a signature: ${name}`, async () => {
    const verdict = await verify([secret], headers(c.headers), bytes(c.body ?? body), now)
    assert.equal('id' in verdict ? verdict.id : verdict.fault, c.want)
  })
}

Deno.test('while a secret is rotated both are taken, and a third is not', async () => {
  const old = 'an older invented secret'.replaceAll(' ', '-')
  assert.deepEqual(await verify([old, secret], headers(), bytes(body), now), { id: 'a.1' })
  assert.deepEqual(await verify([secret, old], headers(), bytes(body), now), { id: 'a.1' })
  assert.deepEqual(await verify([old], headers(), bytes(body), now), { fault: 'signature_wrong' })
  assert.deepEqual(await verify([], headers(), bytes(body), now), { fault: 'signature_wrong' })
})

Deno.test('secrets are read as they may be written, and short ones refused without being shown', () => {
  assert.deepEqual(secretsOf(' one,two\n three '), ['one', 'two', 'three'])
  assert.deepEqual(secretsOf(' , '), [])
  assert.equal(faultOf(secret), null)
  assert.equal(faultOf('sixteen-letters!'), null)
  for (const short of ['fifteen-letters', 'whsec_' + btoa('short'), 'whsec_', 'whsec_***']) {
    const fault = faultOf(short)
    assert.ok(fault !== null && !fault.includes(short.slice(6)) || short === 'whsec_', short)
  }
})
