/** What testdata/signatures-webcrypto.json, which Go verifies, is made of. UPDATE_VECTORS=1 writes it anew. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PointBytes, decodeSized, encodeText } from '../src/bytes.ts'
import { deviceSigned, signDevice } from '../src/cross.ts'
import { importEncPub } from '../src/device.ts'
import { makeEpoch } from '../src/epoch.ts'
import { grantSigned, signGrant } from '../src/grant.ts'
import { fields, list, text } from '../src/parse.ts'
import { Role, parseRoster } from '../src/roster.ts'
import { DeviceKind } from '../src/rows.ts'
import { deviceCode, safetyNumber } from '../src/safety.ts'
import { scoreSigned, signScore } from '../src/score.ts'
import { rewrapEpoch } from '../src/share.ts'
import { ownTestdata, readJson } from './bundle.ts'
import { testDevice } from './test-device.ts'

const userId = crypto.randomUUID()

test('signatures made by WebCrypto are up to date', async () => {
  const [mine, next, recovery] = [await testDevice(Role.client), await testDevice(Role.client), await testDevice(Role.recovery)]
  const roster = await parseRoster([mine.json, recovery.json])
  const made = await makeEpoch(mine.device, { sessionId: crypto.randomUUID(), number: 7, roster, consentId: null })
  const epoch = { ...made.row, created_at: null }
  const row = (one: typeof next, kind: DeviceKind) => ({
    id: one.device.kid, user_id: userId, kind, enc_pub: one.device.encPub, sig_pub: one.device.sigPub,
  })
  const signature = (name: string, kind: string, terms: object, by: typeof next, signed: string, bytes: Uint8Array<ArrayBuffer>) => ({
    name, kind, terms, key: by.device.sigPub, signature: signed, refusal: '', bytes: encodeText(bytes),
  })
  const signatures = []
  for (const [name, by, one, kind] of [
    ['a second device', mine, next, DeviceKind.participant], ['a recovery key', mine, recovery, DeviceKind.recovery],
    ['a new device by the recovery key', recovery, next, DeviceKind.participant],
  ] as const) {
    const { id, ...terms } = row(one, kind)
    const signed = await signDevice(by.device, row(one, kind))
    signatures.push(signature(name, 'device', { ...terms, device_id: id, by_device_id: by.device.kid }, by, signed, await deviceSigned(row(one, kind), by.device.kid)))
  }
  const to = { kid: next.device.kid, encKey: await importEncPub(decodeSized('enc_pub', next.device.encPub, PointBytes)) }
  for (const by of [mine, recovery]) {
    const wrap = await rewrapEpoch(epoch, made.row.wraps[by.device.kid], undefined, by.device, to)
    const terms = {
      session_id: epoch.session_id, epoch: 7, by_device_id: by.device.kid, device_id: next.device.kid, role: Role.client, alert_id: null, wrap,
    }
    signatures.push(signature(`history by ${by.device.kid}`, 'grant', terms, by, await signGrant(by.device, terms), await grantSigned(terms)))
  }
  const score = {
    session_id: epoch.session_id, message_id: crypto.randomUUID(), epoch: 7, side: 'sender', after_position: 41, level: 4, harm_others: false,
    abuse: true, distress: true, alert: true, escalate: true, hard: ['abuse', 'self_harm'],
    items: ['present', 'present', 'absent', 'present', 'unknown', 'unknown'], scores: [912345, 0, 500000, 1000000],
    rules: ['intent.kill', 'plan.tonight', 'Wish.dead'], model_version: 'bag-2', ruleset_version: 'lexicon-3',
  } as const
  const { signature: signed, ...terms } = await signScore(mine.device, score)
  signatures.push(signature('found by the sender', 'score', terms, mine, signed, scoreSigned({ ...score, device_id: mine.device.kid })))
  const devices = [mine, next, recovery]
  const vectors = {
    note: 'Test keys and signatures, made by WebCrypto; read by Go. Refresh: UPDATE_VECTORS=1 npx vitest run',
    devices: devices.map((one) => one.json), consents: [], epochs: [made.row], signatures,
    codes: [{ user_id: userId, device_id: next.device.kid, code: await deviceCode(row(next, DeviceKind.participant)) }],
    safety: [{ devices: devices.map((one) => one.device.kid), number: await safetyNumber(devices.map((one) => row(one, DeviceKind.participant))) }],
  }
  const file = new URL('signatures-webcrypto.json', ownTestdata)
  if (process.env['UPDATE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(vectors, null, 2)}\n`)
  const names = (value: unknown): readonly string[] => list(fields(value, 'vectors')['signatures'], 'signatures').map((one) => text(fields(one, 'one'), 'kind'))
  expect(names(readJson(file))).toEqual(names(vectors))
})
