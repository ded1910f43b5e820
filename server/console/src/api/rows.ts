/** Rows as SQL has them (sql/README.md), each with the one function that makes it. Names are the console's own: camelCase. */
import { fields, flag, list, number, oneOf, optionalFlag, optionalNumber, optionalText, optionalTexts, optionalTime, text, texts, time, type Fields } from './parse.ts'

export const MemberRole = { client: 'client', therapist: 'therapist', supervisor: 'supervisor', admin: 'admin' } as const
export type MemberRole = (typeof MemberRole)[keyof typeof MemberRole]

export const Suggesting = { off: 'off', onDemand: 'on_demand', elevated: 'elevated' } as const
/** organizations.suggestions: never; when a clinician asks; also unasked, from review_at_level up. */
export type Suggesting = (typeof Suggesting)[keyof typeof Suggesting]

export const AlertStatus = { open: 'open', acknowledged: 'acknowledged', resolved: 'resolved' } as const
export type AlertStatus = (typeof AlertStatus)[keyof typeof AlertStatus]

export const AssessmentStatus = { assessed: 'assessed', notAssessed: 'not_assessed' } as const
export type AssessmentStatus = (typeof AssessmentStatus)[keyof typeof AssessmentStatus]

export const Item = { unknown: 'unknown', absent: 'absent', present: 'present' } as const
/** What a message says of one item of the C-SSRS screener. */
export type Item = (typeof Item)[keyof typeof Item]

export const AlertEventKind = { raised: 'raised', acknowledged: 'acknowledged', resolved: 'resolved', reopened: 'reopened' } as const
export type AlertEventKind = (typeof AlertEventKind)[keyof typeof AlertEventKind]

export interface Organization {
  readonly id: string
  readonly name: string
  readonly suggestions: Suggesting
  readonly requireAal2: boolean
}

export interface Membership {
  readonly organizationId: string
  readonly userId: string
  readonly role: MemberRole
  readonly endedAt: Date | null
}

export interface CrisisPolicy {
  readonly organizationId: string
  readonly pageAtLevel: number
  readonly reviewAtLevel: number
}

/** Where in a message a rule found something, in UTF-16 units as strings here count. A topic's key phrase has a rule `topic.<name>`. */
export interface Evidence {
  readonly rule: string
  readonly start: number
  readonly end: number
}

/** How probable each is, as calibrated; null is unknown. */
export interface Scores {
  readonly risk: number | null
  readonly harmOthers: number | null
  readonly abuse: number | null
  readonly distress: number | null
}

/** What a session has been about of late. */
export interface TopicWeight {
  readonly topic: string
  readonly weight: number
}

export interface Assessment {
  readonly id: string
  readonly sessionId: string
  readonly messageId: string
  readonly position: number
  readonly status: AssessmentStatus
  readonly reason: string | null
  /** 0 to 6; null is unknown, which is not 0. */
  readonly level: number | null
  readonly harmOthers: boolean
  readonly abuse: boolean
  readonly distress: boolean
  readonly sentiment: number | null
  readonly topics: readonly string[]
  /** Six, of the screener's items 1 to 6; none when unknown. */
  readonly items: readonly Item[]
  readonly scores: Scores
  readonly emotions: readonly string[]
  /** ISO 639; null is unknown. */
  readonly language: string | null
  readonly evidence: readonly Evidence[]
  readonly alert: boolean
  readonly superseded: boolean
  readonly createdAt: Date
}

export interface Alert {
  readonly id: string
  readonly organizationId: string
  readonly sessionId: string
  readonly messageId: string
  /** null: the message could not be assessed, and a person must look. */
  readonly level: number | null
  readonly status: AlertStatus
  /** The one to hand to acknowledge and resolve. */
  readonly version: number
  readonly source: string
  /** Whether, when it was raised, the client's consent let the paged clinicians read the message. */
  readonly textShared: boolean
  readonly raisedAt: Date
  readonly updatedAt: Date
}

export interface AlertEvent {
  readonly id: string
  readonly alertId: string
  readonly kind: AlertEventKind
  readonly actorId: string | null
  readonly version: number
  readonly at: Date
}

export function parseOrganization(value: unknown): Organization {
  const row = fields(value, 'organization')
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    suggestions: oneOf(row, 'suggestions', Suggesting),
    requireAal2: flag(row, 'require_aal2'),
  }
}

export function parseMembership(value: unknown): Membership {
  const row = fields(value, 'membership')
  return {
    organizationId: text(row, 'organization_id'),
    userId: text(row, 'user_id'),
    role: oneOf(row, 'role', MemberRole),
    endedAt: optionalTime(row, 'ended_at'),
  }
}

export function parsePolicy(value: unknown): CrisisPolicy {
  const row = fields(value, 'crisis policy')
  return {
    organizationId: text(row, 'organization_id'),
    pageAtLevel: number(row, 'page_at_level'),
    reviewAtLevel: number(row, 'review_at_level'),
  }
}

export function parseAssessment(value: unknown): Assessment {
  const row = fields(value, 'assessment')
  return {
    id: text(row, 'id'),
    sessionId: text(row, 'session_id'),
    messageId: text(row, 'message_id'),
    position: number(row, 'position'),
    status: oneOf(row, 'status', AssessmentStatus),
    reason: optionalText(row, 'reason'),
    level: optionalNumber(row, 'level'),
    harmOthers: optionalFlag(row, 'harm_others'),
    abuse: optionalFlag(row, 'abuse'),
    distress: optionalFlag(row, 'distress'),
    sentiment: optionalNumber(row, 'sentiment'),
    topics: texts(row, 'topics'),
    items: optionalTexts(row, 'items').map((item) => oneOf({ item }, 'item', Item)),
    scores: {
      risk: optionalNumber(row, 'risk_score'),
      harmOthers: optionalNumber(row, 'harm_others_score'),
      abuse: optionalNumber(row, 'abuse_score'),
      distress: optionalNumber(row, 'distress_score'),
    },
    emotions: optionalTexts(row, 'emotions'),
    language: optionalText(row, 'language'),
    evidence: parseEvidence(row),
    alert: optionalFlag(row, 'alert'),
    superseded: optionalText(row, 'superseded_at') !== null,
    createdAt: time(row, 'created_at'),
  }
}

function parseEvidence(row: Fields): readonly Evidence[] {
  if (row['evidence'] === null || row['evidence'] === undefined) return []
  return list(row['evidence'], 'evidence').map((value) => {
    const one = fields(value, 'evidence')
    return { rule: text(one, 'rule'), start: number(one, 'start_16'), end: number(one, 'end_16') }
  })
}

/** session_progress.topics of one session; null is none. */
export function parseSessionTopics(value: unknown): readonly TopicWeight[] {
  const row = fields(value, 'session progress')
  if (row['topics'] === null || row['topics'] === undefined) return []
  return list(row['topics'], 'topics').map((one) => {
    const topic = fields(one, 'topic')
    return { topic: text(topic, 'topic'), weight: number(topic, 'weight') }
  })
}

export function parseAlert(value: unknown): Alert {
  const row = fields(value, 'alert')
  return {
    id: text(row, 'id'),
    organizationId: text(row, 'organization_id'),
    sessionId: text(row, 'session_id'),
    messageId: text(row, 'message_id'),
    level: optionalNumber(row, 'level'),
    status: oneOf(row, 'status', AlertStatus),
    version: number(row, 'version'),
    source: text(row, 'source'),
    textShared: optionalFlag(row, 'text_shared'),
    raisedAt: time(row, 'raised_at'),
    updatedAt: time(row, 'updated_at'),
  }
}

export function parseAlertEvent(value: unknown): AlertEvent {
  const row = fields(value, 'alert event')
  return {
    id: text(row, 'id'),
    alertId: text(row, 'alert_id'),
    kind: oneOf(row, 'kind', AlertEventKind),
    actorId: optionalText(row, 'actor_id'),
    version: number(row, 'version'),
    at: time(row, 'created_at'),
  }
}
