/**
 * What a device found in one message of a strict session, as numbers and ids, signed: never text, nor where in it. The sidecar
 * makes alerts of it by the organisation's policy, and a clinician's device holds it against what it finds itself.
 */
import { SignatureBytes, concat, decodeSized, encodeText, label, uint32, uuidBytes, type Bytes } from './bytes.ts'
import { sign, verify, type Device } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { Category, Item } from './findings.ts'
import type { Finding } from './detect-module.ts'

/** Who scored a message: the device that sent it, or a clinician's that received it. */
export const ScoreSide = { sender: 'sender', clinician: 'clinician' } as const
export type ScoreSide = (typeof ScoreSide)[keyof typeof ScoreSide]

/** What of a finding leaves the device. Columns of message_scores. */
export interface ScoreFields {
  /** Self-harm on the Columbia scale, 0 to 6. */
  readonly level: number
  readonly harm_others: boolean
  readonly abuse: boolean
  readonly distress: boolean
  readonly alert: boolean
  readonly escalate: boolean
  /** Categories that a hard rule forced. */
  readonly hard: readonly string[]
  /** The six items of the C-SSRS screener. */
  readonly items: readonly string[]
  /** Of risk, harm to others, abuse, distress: millionths. */
  readonly scores: readonly number[]
  /** Ids of the rules that found something, each once, sorted; never a topic's. */
  readonly rules: readonly string[]
  readonly model_version: string
  readonly ruleset_version: string
}

/** What is signed of a score. */
export interface ScoreTerms extends ScoreFields {
  readonly session_id: string
  readonly message_id: string
  readonly epoch: number
  readonly device_id: string
  readonly side: ScoreSide
  /** The position up to which the detector's state was folded; 0: the message was scored by itself. */
  readonly after_position: number
}

/** A score as it stands beside its signature. */
export interface SignedScore extends ScoreTerms {
  readonly signature: string
}

export const MaxScoreRules = 64
const MaxNameCharacters = 128
const Millionths = 1_000_000
const LevelMax = 6
const categoryBits: readonly string[] = [Category.self_harm, Category.harm_others, Category.abuse, Category.distress]
const itemValues: readonly Item[] = [Item.unknown, Item.absent, Item.present]
const sideValues: readonly ScoreSide[] = [ScoreSide.sender, ScoreSide.clinician] // counted from 1
const TopicRule = 'topic.'

/** What leaves the device of a finding: no topics, feelings, language, nor where something stands. */
export function scoreOf(finding: Finding): ScoreFields {
  const rules = new Set(finding.evidence.map((one) => one.rule).filter((rule) => !rule.startsWith(TopicRule)))
  return {
    level: finding.level,
    harm_others: finding.harmOthers,
    abuse: finding.abuse,
    distress: finding.distress,
    alert: finding.alert,
    escalate: finding.escalate,
    hard: categoryBits.filter((name) => finding.hard.includes(name)),
    items: finding.items.map((item) => itemValues[item] ?? Item.unknown),
    scores: finding.scores.map((score) => Math.round(Math.min(1, Math.max(0, score)) * Millionths)),
    rules: [...rules].sort(byBytes).slice(0, MaxScoreRules),
    model_version: finding.model,
    ruleset_version: finding.ruleset,
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function refuse(what: string): EnvelopeError {
  return new EnvelopeError(Refusal.format, `score with ${what}`)
}

/** A number within one byte that stands for a name. */
function indexOf(names: readonly string[], name: string, what: string): number {
  const at = names.indexOf(name)
  if (at < 0) throw refuse(`an unknown ${what}`)
  return at
}

/** Printable ASCII without a space, so that both ends sort names the same way. */
function word(text: string, what: string): Bytes {
  if (text.length > MaxNameCharacters || !/^[\x21-\x7e]+$/.test(text)) throw refuse(`a ${what} that is no name`)
  return label(text)
}

function uint64(n: number, what: string): Bytes {
  if (!Number.isSafeInteger(n) || n < 0) throw refuse(`a ${what} beyond 53 bits`)
  return concat(uint32(Math.floor(n / 2 ** 32)), uint32(n % 2 ** 32))
}

function flagsOf(terms: ScoreFields): number {
  const flags = [terms.harm_others, terms.abuse, terms.distress, terms.alert, terms.escalate]
  return flags.reduce((bits, flag, bit) => (flag ? bits | (1 << bit) : bits), 0)
}

function hardOf(terms: ScoreFields): number {
  if (new Set(terms.hard).size !== terms.hard.length) throw refuse('a repeated category')
  return terms.hard.reduce((bits, name) => bits | (1 << indexOf(categoryBits, name, 'category')), 0)
}

/** The bytes that are signed; refuses as 'format' what no device would sign. */
export function scoreSigned(terms: ScoreTerms): Bytes {
  const { level, items, scores } = terms
  const rules = [...terms.rules].sort(byBytes)
  if (!Number.isInteger(level) || level < 0 || level > LevelMax) throw refuse('an unknown level')
  if (items.length !== LevelMax) throw refuse(`${items.length} items`)
  if (scores.length !== categoryBits.length || scores.some((score) => !(score >= 0 && score <= Millionths))) throw refuse('scores that are none')
  if (rules.length > MaxScoreRules || new Set(rules).size !== rules.length) {
    throw refuse('rules that are too many or repeated')
  }
  return concat(
    label('pe1/score'),
    uuidBytes(terms.session_id), uuidBytes(terms.message_id), uint32(terms.epoch), uuidBytes(terms.device_id),
    Uint8Array.of(indexOf(sideValues, terms.side, 'side') + 1),
    uint64(terms.after_position, 'position'),
    Uint8Array.of(level, flagsOf(terms), hardOf(terms)),
    Uint8Array.from(items, (item) => indexOf(itemValues, item, 'item')),
    ...scores.map(uint32),
    word(terms.model_version, 'model version'),
    word(terms.ruleset_version, 'ruleset version'),
    ...rules.map((rule) => word(rule, 'rule')),
  )
}

/** Signs a score as the device's. */
export async function signScore(device: Device, terms: Omit<ScoreTerms, 'device_id'>): Promise<SignedScore> {
  const whole = { ...terms, device_id: device.kid }
  return { ...whole, signature: encodeText(await sign(device, scoreSigned(whole))) }
}

/** Whether the score was signed by the key. One that no device would sign is not. */
export async function verifyScore(row: SignedScore, sigKey: CryptoKey): Promise<boolean> {
  try {
    return await verify(sigKey, scoreSigned(row), decodeSized('signature', row.signature, SignatureBytes))
  } catch (thrown) {
    if (thrown instanceof EnvelopeError) return false
    throw thrown
  }
}

/** Fields in which two scores of the same message may differ. */
export type ScoreField = keyof ScoreFields

const foundFields = [
  'level', 'harm_others', 'abuse', 'distress', 'alert', 'escalate', 'hard', 'items', 'scores', 'rules',
] as const satisfies readonly ScoreField[]

/**
 * In what two scores of one message differ. Two detectors of different versions are expected to find differently, so then the
 * versions alone are named.
 */
export function scoreDifferences(a: ScoreFields, b: ScoreFields): readonly ScoreField[] {
  const versions = (['model_version', 'ruleset_version'] as const).filter((name) => a[name] !== b[name])
  if (versions.length > 0) return versions
  return foundFields.filter((name) => JSON.stringify(canonical(a)[name]) !== JSON.stringify(canonical(b)[name]))
}

/** With `hard` and `rules`, which are sets, in one order. */
function canonical(score: ScoreFields): ScoreFields {
  return { ...score, hard: [...score.hard].sort(byBytes), rules: [...score.rules].sort(byBytes) }
}
