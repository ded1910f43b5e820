/** The bytes of a score, held to Go's by vectors; and what leaves the device of a finding. */
import { describe, expect, test } from 'vitest'
import { PointBytes, decodeSized, encodeText } from '../src/bytes.ts'
import { importSigPub, makeDevice } from '../src/device.ts'
import { EnvelopeError } from '../src/failure.ts'
import { fields, flag, list, optionalText, text, texts, whole } from '../src/parse.ts'
import {
  ScoreSide, scoreDifferences, scoreOf, scoreSigned, signScore, verifyScore, type ScoreTerms, type SignedScore,
} from '../src/score.ts'
import { goTestdata, readJson } from './bundle.ts'
import type { Finding } from '../src/detect-module.ts'

const finding: Finding = {
  level: 4, harmOthers: false, abuse: true, distress: true, items: [2, 2, 1, 2, 0, 0], scores: [0.91234561, 0, 0.5, 1], hard: ['abuse', 'self_harm'],
  sentiment: -0.75, emotions: ['sadness'], topics: ['work'], language: 'en',
  evidence: [
    { rule: 'topic.work', start: 0, end: 4 }, { rule: 'plan.tonight', start: 5, end: 12 }, { rule: 'intent.kill', start: 3, end: 9 },
    { rule: 'plan.tonight', start: 20, end: 27 },
  ],
  alert: true, escalate: true, model: 'm-1', ruleset: 'r-7', state: new Uint8Array([1, 2, 3]),
}

interface Vector {
  readonly name: string
  readonly row: SignedScore
  readonly key: CryptoKey
  readonly bytes: string | null
  readonly refusal: string
}

async function parseVector(value: unknown): Promise<Vector> {
  const one = fields(value, 'vector')
  const terms = fields(one['terms'], 'terms')
  const row = {
    session_id: text(terms, 'session_id'), message_id: text(terms, 'message_id'), epoch: whole(terms, 'epoch'), device_id: text(terms, 'device_id'),
    side: text(terms, 'side') === 'sender' ? ScoreSide.sender : ScoreSide.clinician, after_position: whole(terms, 'after_position'),
    level: whole(terms, 'level'), harm_others: flag(terms, 'harm_others'), abuse: flag(terms, 'abuse'), distress: flag(terms, 'distress'),
    alert: flag(terms, 'alert'), escalate: flag(terms, 'escalate'), hard: texts(terms, 'hard'), items: texts(terms, 'items'),
    scores: list(terms['scores'], 'scores').map((score) => whole({ score }, 'score')), rules: texts(terms, 'rules'),
    model_version: text(terms, 'model_version'), ruleset_version: text(terms, 'ruleset_version'), signature: text(one, 'signature'),
  }
  const key = await importSigPub(decodeSized('key', text(one, 'key'), PointBytes))
  return { name: text(one, 'name'), row, key, bytes: optionalText(one, 'bytes'), refusal: text(one, 'refusal') }
}

const file = fields(readJson(new URL('signatures.json', goTestdata)), 'signatures')
const scores = list(file['signatures'], 'signatures').filter((value) => text(fields(value, 'vector'), 'kind') === 'score')
const vectors = await Promise.all(scores.map(parseVector))
if (vectors.filter((one) => one.refusal === '').length < 3 || vectors.length < 30) throw new Error('Go’s vectors lack scores')

const id = (): string => crypto.randomUUID()

async function signed(): Promise<{ row: SignedScore; key: CryptoKey }> {
  const device = await makeDevice()
  const row = await signScore(device, { ...scoreOf(finding), session_id: id(), message_id: id(), epoch: 3, side: 'sender', after_position: 41 })
  return { row, key: device.sig.publicKey }
}

describe('a score', () => {
  test('holds of a finding what is scored and which rules, and nothing of the text, its topics, feelings or places', () => {
    expect(scoreOf(finding)).toEqual({
      level: 4, harm_others: false, abuse: true, distress: true, alert: true, escalate: true, hard: ['self_harm', 'abuse'],
      items: ['present', 'present', 'absent', 'present', 'unknown', 'unknown'], scores: [912346, 0, 500000, 1000000],
      rules: ['intent.kill', 'plan.tonight'], model_version: 'm-1', ruleset_version: 'r-7',
    })
  })

  test('verifies as it was signed, and by no other key', async () => {
    const { row, key } = await signed()
    expect(await verifyScore(row, key)).toBe(true)
    expect(await verifyScore(row, (await makeDevice()).sig.publicKey)).toBe(false)
  })

  const changes: Readonly<Record<string, Partial<SignedScore>>> = {
    'another message': { message_id: id() },
    'another session': { session_id: id() },
    'another epoch': { epoch: 4 },
    'another device': { device_id: id() },
    'the other side': { side: 'clinician' },
    'another state': { after_position: 40 },
    'a state 2^32 later': { after_position: 41 + 2 ** 32 },
    'a lower level': { level: 3 },
    'no alert': { alert: false },
    'another category': { harm_others: true },
    'a hard category dropped': { hard: ['self_harm'] },
    'an item denied': { items: ['present', 'present', 'present', 'present', 'unknown', 'unknown'] },
    'a lower probability': { scores: [912345, 0, 500000, 1000000] },
    'a rule dropped': { rules: ['intent.kill'] },
    'a rule added': { rules: ['intent.kill', 'plan.pills', 'plan.tonight'] },
    'a rule moved into the version': { ruleset_version: 'r-7\u0000intent.kill', rules: ['plan.tonight'] },
    'another model': { model_version: 'm-2' },
    'another rule set': { ruleset_version: 'r-8' },
    'no signature': { signature: '' },
    'half a signature': { signature: 'AAAA' },
  }
  test.each(Object.entries(changes))('is refused with %s', async (_, change) => {
    const { row, key } = await signed()
    expect(await verifyScore({ ...row, ...change }, key)).toBe(false)
  })

  test.each(vectors)('of Go’s vectors, “$name”, is taken or refused as there', async ({ row, key, bytes, refusal }) => {
    if (bytes !== null) expect(encodeText(scoreSigned(row))).toBe(bytes)
    expect(await verifyScore(row, key)).toBe(refusal === '')
  })

  test('is made of nothing that no detector finds', () => {
    const terms: ScoreTerms = {
      ...scoreOf(finding), session_id: id(), message_id: id(), epoch: 1, device_id: id(), side: 'sender', after_position: 0,
    }
    expect(scoreSigned(terms).length).toBeGreaterThan(0)
    const strange: readonly Partial<ScoreTerms>[] = [
      { level: 7 }, { level: -1 }, { level: 0.5 }, { items: ['present'] }, { items: Array<string>(6).fill('maybe') }, { scores: [0, 0, 0] },
      { scores: [0, 0, 0, 1000001] }, { scores: [0, 0, 0, Number.NaN] }, { scores: [0, 0, 0, 0.5] }, { hard: ['abuse', 'abuse'] }, { hard: ['anger'] }, { rules: ['a', 'a'] }, { rules: ['I want to die'] }, { rules: Array.from({ length: 65 }, (_, i) => `rule.${100 + i}`) }, { rules: ['x'.repeat(129)] },
      { model_version: '' }, { after_position: -1 }, { after_position: 2 ** 53 }, { epoch: 2 ** 32 }, { message_id: 'none' },
    ]
    for (const one of strange) expect(() => scoreSigned({ ...terms, ...one }), JSON.stringify(one)).toThrow(EnvelopeError)
  })

  test('differs from another in what was found; of detectors of two versions only that is said', () => {
    const one = scoreOf(finding)
    expect(scoreDifferences(one, { ...one, hard: ['abuse', 'self_harm'] })).toEqual([])
    expect(scoreDifferences(one, { ...one, level: 2, alert: false, rules: [] })).toEqual(['level', 'alert', 'rules'])
    expect(scoreDifferences(one, { ...one, level: 2, model_version: 'm-2' })).toEqual(['model_version'])
  })
})
