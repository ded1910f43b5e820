/**
 * What clinicians are told of messages: rows as SQL has them (sql/README.md), each with the one function that may make it from what
 * came off the wire. The same rows come by the session's events and, for what was before, from the tables:
 *
 *     const { data } = await supabase.from('assessments').select(AssessmentColumns).eq('session_id', id).is('superseded_at', null)
 *     const rows = data?.map(parseAssessment)
 *
 * No row holds text. Nothing of it is clinically validated.
 */
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, flag, id, list, nullable, number, oneOf, text, texts, whole, type Fields } from './parse.ts'

export const AssessmentStatus = { assessed: 'assessed', not_assessed: 'not_assessed' } as const
export type AssessmentStatus = (typeof AssessmentStatus)[keyof typeof AssessmentStatus]

/** Self-harm on the Columbia scale: 0 none, 1 wish to be dead, 2 thoughts, 3 a method, 4 an intent, 5 a plan, 6 an attempt or preparation. */
export const Levels = [0, 1, 2, 3, 4, 5, 6] as const
export type Level = (typeof Levels)[number]

/** What a message says of one item of the C-SSRS screener; unknown is not absent. */
export const Item = { unknown: 'unknown', absent: 'absent', present: 'present' } as const
export type Item = (typeof Item)[keyof typeof Item]

export const Category = { self_harm: 'self_harm', harm_others: 'harm_others', abuse: 'abuse', distress: 'distress' } as const
export type Category = (typeof Category)[keyof typeof Category]

export const AlertStatus = { open: 'open', acknowledged: 'acknowledged', resolved: 'resolved' } as const
export type AlertStatus = (typeof AlertStatus)[keyof typeof AlertStatus]

export const AlertEventKind = { raised: 'raised', acknowledged: 'acknowledged', resolved: 'resolved', reopened: 'reopened' } as const
export type AlertEventKind = (typeof AlertEventKind)[keyof typeof AlertEventKind]

/**
 * Where in the message a rule found something, as half-open ranges: start and end in bytes of UTF-8, start_16 and end_16 as strings
 * here count, so that `text.slice(start_16, end_16)` is what it points at. A topic's key phrase has a rule `topic.<name>`.
 */
export interface EvidenceRow {
  readonly rule: string
  readonly start: number
  readonly end: number
  readonly start_16: number
  readonly end_16: number
}

/**
 * A row of assessments: all that was found in one message, or why it was not assessed. Then what was found is null or empty, alert and
 * escalate are true, and it is for a person to read the message. A message has one that stands, by source; a later one supersedes it.
 */
export interface AssessmentRow {
  readonly id: string
  readonly organization_id: string
  readonly session_id: string
  readonly message_id: string
  /** The message's, in its session. */
  readonly position: number
  /** Who assessed: 'sidecar'. */
  readonly source: string
  readonly status: AssessmentStatus
  /** A short code, if it is not_assessed: 'signature', 'content', 'gave_up' and the like. */
  readonly reason: string | null
  /** null is unknown, which is not 0. */
  readonly level: Level | null
  /** The six items of the C-SSRS screener, item 1 first; null is unknown, all of them. */
  readonly items: readonly Item[] | null
  readonly harm_others: boolean | null
  readonly abuse: boolean | null
  readonly distress: boolean | null
  /** Probabilities from 0 to 1, as calibrated; null is unknown. */
  readonly risk_score: number | null
  readonly harm_others_score: number | null
  readonly abuse_score: number | null
  readonly distress_score: number | null
  /** Categories that a hard rule forced: no threshold of the organisation's policy holds them back. */
  readonly hard: readonly Category[]
  /** From -1 to 1. */
  readonly sentiment: number | null
  readonly emotions: readonly string[]
  /** Slugs, the organisation's own topics (topic_terms) among them; evidence says where. */
  readonly topics: readonly string[]
  /** ISO 639; null is unknown. */
  readonly language: string | null
  readonly evidence: readonly EvidenceRow[]
  /** A person is told at once, by a row of alerts. */
  readonly alert: boolean
  /** A person looks closer, later; an alert always does. */
  readonly escalate: boolean
  readonly model_version: string | null
  readonly ruleset_version: string | null
  /** The version of the organisation's crisis_policies that alert and escalate were judged by. */
  readonly policy_version: number | null
  readonly superseded_at: string | null
  readonly created_at: string
}

/** A row of alerts: an assessment severe enough that a clinician must act. Acknowledged and resolved by RPC, under the version seen. */
export interface AlertRow {
  readonly id: string
  readonly organization_id: string
  readonly session_id: string
  readonly message_id: string
  readonly assessment_id: string
  /** null: the message could not be assessed, and a person must look. */
  readonly level: Level | null
  readonly status: AlertStatus
  readonly version: number
  readonly source: string
  readonly policy_version: number | null
  readonly ruleset_version: string | null
  readonly model_version: string | null
  /** Whether the client had agreed, when it was raised, that who is paged may read the message. Who can now: epoch_readers. */
  readonly text_shared: boolean
  readonly raised_at: string
  readonly updated_at: string
}

/** A row of alert_events: a step of an alert. */
export interface AlertEventRow {
  readonly id: string
  readonly alert_id: string
  readonly organization_id: string
  readonly session_id: string
  readonly kind: AlertEventKind
  /** null: the sidecar. */
  readonly actor_id: string | null
  /** The alert's, after it. */
  readonly version: number
  readonly created_at: string
}

export interface TopicWeight {
  readonly topic: string
  readonly weight: number
}

/** What clinicians may read of session_progress, which is not told by any event: what the session has been about of late, the heaviest first. */
export interface SessionTopicsRow {
  readonly session_id: string
  readonly organization_id: string
  /** null: nothing was assessed yet. */
  readonly topics: readonly TopicWeight[] | null
  readonly updated_at: string
}

// For select().
export const AssessmentColumns =
  'id,organization_id,session_id,message_id,position,source,status,reason,level,items,harm_others,abuse,distress,risk_score,harm_others_score,' +
  'abuse_score,distress_score,hard,sentiment,emotions,topics,language,evidence,alert,escalate,model_version,ruleset_version,policy_version,' +
  'superseded_at,created_at'
export const AlertColumns =
  'id,organization_id,session_id,message_id,assessment_id,level,status,version,source,policy_version,ruleset_version,model_version,text_shared,raised_at,updated_at'
export const AlertEventColumns = 'id,alert_id,organization_id,session_id,kind,actor_id,version,created_at'
export const SessionTopicsColumns = 'session_id,organization_id,topics,updated_at'

export function parseAssessment(value: unknown): AssessmentRow {
  const row = fields(value, 'assessment')
  return {
    id: id(row, 'id'),
    organization_id: id(row, 'organization_id'),
    session_id: id(row, 'session_id'),
    message_id: id(row, 'message_id'),
    position: whole(row, 'position'),
    source: text(row, 'source'),
    status: oneOf(row, 'status', AssessmentStatus),
    reason: nullable(row, 'reason', text),
    level: nullable(row, 'level', level),
    items: nullable(row, 'items', parseItems),
    harm_others: nullable(row, 'harm_others', flag),
    abuse: nullable(row, 'abuse', flag),
    distress: nullable(row, 'distress', flag),
    risk_score: nullable(row, 'risk_score', number),
    harm_others_score: nullable(row, 'harm_others_score', number),
    abuse_score: nullable(row, 'abuse_score', number),
    distress_score: nullable(row, 'distress_score', number),
    hard: texts(row, 'hard').map((category) => oneOf({ category }, 'category', Category)),
    sentiment: nullable(row, 'sentiment', number),
    emotions: texts(row, 'emotions'),
    topics: texts(row, 'topics'),
    language: nullable(row, 'language', text),
    evidence: list(row['evidence'], 'evidence').map(parseEvidence),
    alert: flag(row, 'alert'),
    escalate: flag(row, 'escalate'),
    model_version: nullable(row, 'model_version', text),
    ruleset_version: nullable(row, 'ruleset_version', text),
    policy_version: nullable(row, 'policy_version', whole),
    superseded_at: nullable(row, 'superseded_at', text),
    created_at: text(row, 'created_at'),
  }
}

function level(row: Fields, name: string): Level {
  const value = whole(row, name)
  for (const known of Levels) if (known === value) return known
  throw new EnvelopeError(Refusal.format, `${name} is none of the scale`)
}

function parseItems(row: Fields, name: string): readonly Item[] {
  const items = texts(row, name).map((item) => oneOf({ item }, 'item', Item))
  if (items.length !== 6) throw new EnvelopeError(Refusal.format, `${name} are not six`)
  return items
}

function parseEvidence(value: unknown): EvidenceRow {
  const row = fields(value, 'evidence')
  return { rule: text(row, 'rule'), start: whole(row, 'start'), end: whole(row, 'end'), start_16: whole(row, 'start_16'), end_16: whole(row, 'end_16') }
}

export function parseAlert(value: unknown): AlertRow {
  const row = fields(value, 'alert')
  return {
    id: id(row, 'id'),
    organization_id: id(row, 'organization_id'),
    session_id: id(row, 'session_id'),
    message_id: id(row, 'message_id'),
    assessment_id: id(row, 'assessment_id'),
    level: nullable(row, 'level', level),
    status: oneOf(row, 'status', AlertStatus),
    version: whole(row, 'version'),
    source: text(row, 'source'),
    policy_version: nullable(row, 'policy_version', whole),
    ruleset_version: nullable(row, 'ruleset_version', text),
    model_version: nullable(row, 'model_version', text),
    text_shared: flag(row, 'text_shared'),
    raised_at: text(row, 'raised_at'),
    updated_at: text(row, 'updated_at'),
  }
}

export function parseAlertEvent(value: unknown): AlertEventRow {
  const row = fields(value, 'alert event')
  return {
    id: id(row, 'id'),
    alert_id: id(row, 'alert_id'),
    organization_id: id(row, 'organization_id'),
    session_id: id(row, 'session_id'),
    kind: oneOf(row, 'kind', AlertEventKind),
    actor_id: nullable(row, 'actor_id', id),
    version: whole(row, 'version'),
    created_at: text(row, 'created_at'),
  }
}

export function parseSessionTopics(value: unknown): SessionTopicsRow {
  const row = fields(value, 'session topics')
  return {
    session_id: id(row, 'session_id'),
    organization_id: id(row, 'organization_id'),
    topics: nullable(row, 'topics', (_, name) => list(row[name], name).map(parseWeight)),
    updated_at: text(row, 'updated_at'),
  }
}

function parseWeight(value: unknown): TopicWeight {
  const row = fields(value, 'topic')
  return { topic: text(row, 'topic'), weight: number(row, 'weight') }
}
