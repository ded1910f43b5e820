/** Mutations of what is genuine, by a seed: each parser reads it or refuses it with EnvelopeError, and throws nothing else. */
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { expect, test } from 'vitest'
import { encodeText, utf8 } from '../src/bytes.ts'
import { openExport } from '../src/export.ts'
import { EnvelopeError, Refusal } from '../src/failure.ts'
import { openSealedFile, sealFile } from '../src/file.ts'
import { parseAlert, parseAlertEvent, parseAssessment, parseSessionTopics } from '../src/findings.ts'
import { parseContent, parseFile, textContent } from '../src/message.ts'
import { fields, list, text, type Fields } from '../src/parse.ts'
import { parseRoster, rosterJson } from '../src/roster.ts'
import {
  parseConsent, parseDevice, parseDeviceSignature, parseEpoch, parseErasure, parseHeld, parseMessage, parseParticipant, parseReader, parseSealed,
  parseSession, parseSuggestion, parseSuggestionSeal,
} from '../src/rows.ts'
import { parseErased, parseRecoveryKey, parseScore } from '../src/seldom-rows.ts'
import { parseKeptDevice, parseKeptPin, parseQueued, parseSessionPin } from '../src/store.ts'
import { goTestdata, readJson } from './bundle.ts'

class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  below(most: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * most)
  }

  of<T>(all: readonly T[]): T | undefined {
    return all[this.below(all.length)]
  }
}

const odd: readonly unknown[] = [
  null, undefined, '', 'x', '\0', '\ud800', '__proto__', 'constructor', 'A'.repeat(70_000), 0, -0, -1, 1.5, 2 ** 53, NaN, Infinity, true, false, [], [[]], {},
  { __proto__: null }, { toString: null }, [null], 1n, new Date(NaN), new Map(), Symbol.iterator, () => 'x', '00000000-0000-0000-0000-000000000000',
]

/** The value with one node of it exchanged, left out, or put twice. */
function mutated(value: unknown, random: Random): unknown {
  const inner = typeof value === 'object' && value !== null ? Object.keys(value) : []
  const key = random.of(inner)
  if (key === undefined || random.below(6) === 0) return random.of(odd)
  if (Array.isArray(value)) {
    const copy: unknown[] = [...list(value, 'node')]
    const at = Number(key)
    if (random.below(4) === 0) copy.splice(at, random.below(2), copy[at], random.of(odd))
    else copy[at] = mutated(copy[at], random)
    return copy
  }
  const row = fields(value, 'node')
  if (random.below(4) === 0) return Object.fromEntries(Object.entries(row).filter(([name]) => name !== key))
  return { ...row, [key]: mutated(row[key], random) }
}

/** The bytes with a few of them exchanged, left out, repeated or cut off. */
function mutatedBytes(genuine: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const bytes = Array.from(genuine)
  for (let n = random.below(2); n >= 0; n--) {
    const at = random.below(bytes.length)
    const kind = random.below(8)
    if (kind === 0) bytes.splice(at)
    else if (kind === 1) bytes.splice(at, 1 + random.below(4))
    else if (kind === 2) bytes.splice(at, 0, ...bytes.slice(random.below(bytes.length)).slice(0, 12))
    else bytes[at] = kind === 3 ? random.below(256) : 32 + random.below(95)
  }
  return Uint8Array.from(bytes)
}

/** Runs a parser that may refuse, and nothing else; counts what it read. */
async function readOrRefused(tries: number, run: (i: number) => unknown): Promise<number> {
  let read = 0
  for (let i = 0; i < tries; i++) {
    try {
      await run(i)
      read++
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError)) throw new Error(`mutation ${i} was refused by another error than EnvelopeError`, { cause: thrown })
    }
  }
  return read
}

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const bundle = fields(fields(readJson(new URL('forgeries.json', goTestdata)), 'table')['bundle'], 'bundle')
const first = (name: string): Fields => fields(list(bundle[name], name)[0], name)
const [hash, at] = [encodeText(new Uint8Array(32)), '2026-11-24T02:00:00+00:00']

/** What every row has of its columns; the rows below have what one of them means otherwise. */
const common: Fields = {
  id: uuid(1), organization_id: uuid(2), session_id: uuid(3), message_id: uuid(4), user_id: uuid(5), device_id: uuid(6), by_device_id: uuid(7),
  alert_id: uuid(8), assessment_id: uuid(9), actor_id: uuid(10), sender_id: uuid(5), sender_device_id: uuid(6), suggestion_id: uuid(11), epoch: 1, seq: 0,
  position: 1, version: 1, min_epoch: 1, suite: 2, level: 4, role: 3, memory_kib: 65536, passes: 3, lanes: 1, policy_version: 1, after_position: 0,
  risk_score: 0.5, sentiment: -1, signature: hash, wrap: hash, salt: hash, wrapped: hash, sealed: hash, wrap_hash: hash, enc_pub: hash, sig_pub: hash,
  age_recipient: 'age1', model_version: 'm', ruleset_version: 'r', source: 'sidecar', language: 'en', created_at: at, updated_at: at, raised_at: at,
  ended_at: null, revoked_at: null, harm_others: false, abuse: false, distress: false, alert: true, escalate: false, disagrees: false, text_shared: true,
  assisted: true, reason: null, superseded_at: null, harm_others_score: 0, abuse_score: 0, distress_score: 0, items: Array(6).fill('absent'), hard: [], rules: ['x'],
  scores: [1, 2, 3, 4], emotions: [], topics: [], evidence: [{ rule: 'x', start: 0, end: 1, start_16: 0, end_16: 1 }], status: 'active', mode: 'strict',
  body: 'AQ', draft: 'AQ', row: null, owner: 'x', fingerprint: hash, trusted: true, minEpoch: 1, withdrawn: [uuid(1)], people: { [uuid(5)]: 'client' },
  counts: {}, kid: uuid(6),
}

const parsers: Readonly<Record<string, readonly [parse: (value: unknown) => unknown, genuine: Fields]>> = {
  session: [parseSession, common], participant: [parseParticipant, { ...common, role: 'client' }],
  device: [parseDevice, { ...common, kind: 'participant', admission: 'first' }], signature: [parseDeviceSignature, common],
  reader: [parseReader, { ...common, reason: 'history' }], held: [parseHeld, common], erasure: [parseErasure, { ...common, kind: 'session', status: 'done' }],
  consent: [parseConsent, first('consents')], epoch: [parseEpoch, first('epochs')], sealed: [parseSealed, first('messages')], message: [parseMessage, common],
  suggestion: [parseSuggestion, { ...common, status: 'offered', source: 'bank' }], seal: [parseSuggestionSeal, common], recovery: [parseRecoveryKey, common],
  score: [parseScore, { ...common, side: 'sender' }], assessment: [parseAssessment, { ...common, status: 'assessed' }], alert: [parseAlert, { ...common, status: 'open' }],
  event: [parseAlertEvent, { ...common, kind: 'raised' }], topics: [parseSessionTopics, { ...common, topics: [{ topic: 'x', weight: 1 }] }],
  pin: [parseKeptPin, common], queued: [parseQueued, { ...common, row: first('messages') }], kept: [parseSessionPin, common],
}

test.each(Object.entries(parsers))('rows of %s', async (_, [parse, genuine]) => {
  const random = new Random(11)
  parse(genuine)
  const read = await readOrRefused(200, () => {
    const found = parse(mutated(genuine, random))
    if (found !== undefined) expect(parse(found)).toEqual(found) // what was read is as it will be read
  })
  expect(read).toBeGreaterThan(5)
})

test('a row that was erased, and a device that was kept', async () => {
  const random = new Random(12)
  await readOrRefused(200, () => parseErased(mutated(common, random)))
  await readOrRefused(200, () => parseKeptDevice(mutated({ ...common, encPub: hash, sigPub: hash, enc: {}, sig: {} }, random)))
})

test('a roster', async () => {
  const random = new Random(13)
  const genuine = first('epochs')['roster']
  await parseRoster(genuine)
  const read = await readOrRefused(60, async () => {
    const roster = await parseRoster(mutated(genuine, random))
    expect(rosterJson(await parseRoster(rosterJson(roster)))).toEqual(rosterJson(roster))
  })
  expect(read).toBeGreaterThan(0)
})

test('the content of a message, and a file in it', async () => {
  const random = new Random(14)
  const contents = list(fields(readJson(new URL('content.json', goTestdata)), 'table')['contents'], 'contents').map((row) => fields(row, 'content'))
  const file = { id: uuid(1), key: hash, name: 'a.pdf', type: 'application/pdf', bytes: 9, sha256: hash }
  const genuine = [
    ...contents.filter((row) => !('refusal' in row) || 'text' in row && random.below(6) === 0).map((row) => utf8(text(row, 'text'))).filter((bytes) => bytes.length > 0),
    textContent('hello 🌙', new Date(0), { files: [file], seen: [[1, encodeText(new Uint8Array(8))]] }),
  ]
  const read = await readOrRefused(3000, (i) => {
    const source = mutatedBytes(genuine[i % genuine.length] ?? new Uint8Array(), random)
    const content = parseContent(source)
    const lenient = new Map<string, unknown>() // as one who ignores case reads it, and takes the last of two
    for (const [name, value] of Object.entries(fields(JSON.parse(new TextDecoder().decode(source)), 'content'))) lenient.set(name.toLowerCase(), value)
    expect([lenient.get('t'), lenient.get('body')]).toEqual([content.kind, content.body])
  })
  expect(read).toBeGreaterThan(120)
  await readOrRefused(400, () => parseFile(mutated(file, random)))
})

test('an export, as bytes and as what an age file of somebody else holds', async () => {
  const random = new Random(15)
  const identity = await generateX25519Identity()
  const encrypter = new Encrypter()
  encrypter.addRecipient(await identityToRecipient(identity))
  const header = { vigil: 'export/1', session: uuid(3), exported_at: at, exported_by: uuid(5), device: uuid(6), messages: 1 }
  const message = {
    id: uuid(4), position: 1, at, from: { user: uuid(5), device: uuid(6), role: 'client' }, text: 'x', files: [{ id: uuid(1), name: 'a', type: 'b', bytes: 9 }],
    readers: [{ user: null, device: uuid(6), role: 'client' }], verified: true, marks: [],
  }
  const line = (value: unknown): string => {
    try {
      return JSON.stringify(value)
    } catch {
      return '{' // a bigint within
    }
  }
  const sealed = async (lines: readonly unknown[]): Promise<Uint8Array> => encrypter.encrypt(lines.map(line).join('\n'))
  const opened = async (bytes: Uint8Array): Promise<unknown> => openExport(new Blob([new Uint8Array(bytes)]), { identity })
  const genuine = await sealed([header, message])
  await opened(genuine)
  await readOrRefused(12, () => opened(mutatedBytes(genuine, random)))
  await readOrRefused(16, async (i) => opened(await sealed(i % 2 === 0 ? [mutated(header, random), message] : [header, mutated(message, random)])))
})

test('a sealed file, and what a message says of it', async () => {
  const random = new Random(16)
  const { body, file } = await sealFile(uuid(3), new Blob(['a text']))
  const bytes = new Uint8Array(await body.arrayBuffer())
  expect(await (await openSealedFile(uuid(3), file, body)).text()).toBe('a text')
  for (let i = 0; i < 150; i++) {
    const other = new Blob([mutatedBytes(bytes, random)])
    if (encodeText(new Uint8Array(await other.arrayBuffer())) === encodeText(bytes)) continue
    await expect(openSealedFile(uuid(3), file, other)).rejects.toThrow(expect.objectContaining({ refusal: Refusal.body }))
  }
  await readOrRefused(300, async () => openSealedFile(uuid(3), parseFile(mutated(file, random)), body))
})
