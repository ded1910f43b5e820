/** What testdata/pe1-webcrypto.json, which Go opens, is made of. UPDATE_VECTORS=1 writes it anew. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { signConsent, signWithdrawal } from '../src/consent.ts'
import { makeEpoch } from '../src/epoch.ts'
import { sealMessage, textContent } from '../src/message.ts'
import { Role, parseRoster } from '../src/roster.ts'
import { ownTestdata, parseBundle, readJson } from './bundle.ts'
import { testDevice } from './test-device.ts'

test('vectors made by WebCrypto are up to date', async () => {
  const client = await testDevice(Role.client)
  const therapist = await testDevice(Role.therapist)
  const analysis = await testDevice(Role.analysis)
  const devices = [client, therapist, analysis]
  const assisted = await parseRoster(devices.map((one) => one.json))
  const strict = assisted.slice(0, 2)
  const sessionId = crypto.randomUUID()
  const consentText = 'My messages may be analysed by the practice\'s computer.'
  const terms = { id: crypto.randomUUID(), sessionId, text: consentText, scope: ['crisis_access', 'analysis'] } as const
  const consent = await signConsent(client.device, terms)
  const withdrawn = await signConsent(client.device, { ...terms, id: crypto.randomUUID() })
  const made = [
    await makeEpoch(client.device, { sessionId, number: 1, roster: assisted, consentId: consent.id }),
    await makeEpoch(therapist.device, { sessionId, number: 2, roster: assisted, consentId: consent.id }),
    await makeEpoch(therapist.device, { sessionId: crypto.randomUUID(), number: 1, roster: strict, consentId: null }),
  ]
  const messages = []
  for (const [i, { epoch }] of made.entries()) {
    for (const [seq, { device }] of [client, therapist].entries()) {
      const plaintext = textContent(`Nachricht ${i}: grüße, 🌙 "quoted" <b>`, new Date(1790000000000 + i * 1000))
      const sealed = await sealMessage(device, epoch, { id: crypto.randomUUID(), seq: seq + i }, plaintext)
      messages.push({ ...sealed, plaintext: new TextDecoder().decode(plaintext) })
    }
  }
  const bundle = {
    note: 'Test keys and rows, made by WebCrypto; read by both ends. Refresh: UPDATE_VECTORS=1 npx vitest run',
    devices: devices.map((one) => one.json),
    consents: [
      { ...consent, withdrawn_at: null },
      { ...withdrawn, withdrawn_at: null, withdrawal_signature: await signWithdrawal(client.device, withdrawn) },
    ],
    epochs: made.map((one) => one.row),
    messages,
  }
  const file = new URL('pe1-webcrypto.json', ownTestdata)
  if (process.env['UPDATE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(bundle, null, 2)}\n`)
  const [kept, fresh] = [await parseBundle(readJson(file)), await parseBundle(bundle)]
  expect(kept.messages.map((m) => m.plaintext)).toEqual(fresh.messages.map((m) => m.plaintext))
  expect(kept.epochs.map((epoch) => epoch.row.epoch)).toEqual(fresh.epochs.map((epoch) => epoch.row.epoch))
})
