/** Rows as SQL has them (sql/README.md), each with the one function that may make it from what came off the wire. */
import { fields, flag, id, list, oneOf, optionalId, optionalText, text, whole } from './parse.ts'

export const SessionMode = { strict: 'strict', assisted: 'assisted' } as const
export type SessionMode = (typeof SessionMode)[keyof typeof SessionMode]

export const SessionStatus = { scheduled: 'scheduled', active: 'active', paused: 'paused', ended: 'ended' } as const
export type SessionStatus = (typeof SessionStatus)[keyof typeof SessionStatus]

export const ParticipantRole = { client: 'client', therapist: 'therapist' } as const
export type ParticipantRole = (typeof ParticipantRole)[keyof typeof ParticipantRole]

export const DeviceKind = { participant: 'participant', analysis: 'analysis' } as const
export type DeviceKind = (typeof DeviceKind)[keyof typeof DeviceKind]

/** requested → offered | not_made; offered → accepted, edited or rejected; both → withdrawn when suggestions are turned off. */
export const SuggestionStatus = {
  requested: 'requested', offered: 'offered', accepted: 'accepted', edited: 'edited', rejected: 'rejected', withdrawn: 'withdrawn',
  not_made: 'not_made',
} as const
export type SuggestionStatus = (typeof SuggestionStatus)[keyof typeof SuggestionStatus]

export const SuggestionDecision = { accepted: 'accepted', edited: 'edited', rejected: 'rejected' } as const
export type SuggestionDecision = (typeof SuggestionDecision)[keyof typeof SuggestionDecision]

export const SuggestionSource = { bank: 'bank', model: 'model' } as const
export type SuggestionSource = (typeof SuggestionSource)[keyof typeof SuggestionSource]

export interface SessionRow {
  readonly id: string
  readonly organization_id: string
  readonly mode: SessionMode
  readonly status: SessionStatus
  readonly min_epoch: number
}

export interface ParticipantRow {
  readonly session_id: string
  readonly user_id: string
  readonly role: ParticipantRole
  readonly ended_at: string | null
}

export interface DeviceRow {
  readonly id: string
  readonly user_id: string | null
  readonly kind: DeviceKind
  readonly enc_pub: string
  readonly sig_pub: string
  readonly created_at: string
  readonly revoked_at: string | null
}

export interface ConsentRow {
  readonly id: string
  readonly session_id: string
  readonly device_id: string
  readonly scope: readonly string[]
  readonly text_hash: string
  readonly signature: string
  readonly withdrawn_at: string | null
  readonly withdrawal_signature: string | null
}

/** A row of session_epochs; the reader's own wrap is beside it, for its own table has it. */
export interface EpochRow {
  readonly session_id: string
  readonly epoch: number
  readonly device_id: string
  readonly roster: unknown
  readonly roster_hash: string
  readonly key_commit: string
  readonly consent_id: string | null
  readonly signature: string
  readonly suite: number
  readonly created_at: string | null
}

/** What pe1 binds of a row of messages. */
export interface SealedMessage {
  readonly id: string
  readonly session_id: string
  readonly sender_device_id: string
  readonly epoch: number
  readonly seq: number
  readonly body: string
}

export interface MessageRow extends SealedMessage {
  readonly sender_id: string
  readonly position: number
  readonly assisted: boolean
  readonly created_at: string
}

/** A drafted reply, for clinicians only; its text is in suggestion_seals, sealed to each device. */
export interface SuggestionRow {
  readonly id: string
  readonly session_id: string
  /** The client's message that it answers. */
  readonly message_id: string
  /** null: unasked. */
  readonly requested_by: string | null
  readonly status: SuggestionStatus
  /** Why there is none, if it is not_made. */
  readonly reason: string | null
  readonly source: SuggestionSource | null
  /** The id of the bank's move. */
  readonly move: string | null
  readonly bank_version: string | null
  readonly model: string | null
  readonly sent_message_id: string | null
  readonly decided_by: string | null
  readonly decided_at: string | null
  readonly version: number
  readonly created_at: string
}

export interface SuggestionSealRow {
  readonly suggestion_id: string
  readonly device_id: string
  readonly user_id: string
  readonly session_id: string
  readonly message_id: string
  readonly sealed: string
  readonly signature: string
}

export function parseSession(value: unknown): SessionRow {
  const row = fields(value, 'session')
  return {
    id: id(row, 'id'),
    organization_id: id(row, 'organization_id'),
    mode: oneOf(row, 'mode', SessionMode),
    status: oneOf(row, 'status', SessionStatus),
    min_epoch: whole(row, 'min_epoch'),
  }
}

export function parseParticipant(value: unknown): ParticipantRow {
  const row = fields(value, 'participant')
  return {
    session_id: id(row, 'session_id'),
    user_id: id(row, 'user_id'),
    role: oneOf(row, 'role', ParticipantRole),
    ended_at: optionalText(row, 'ended_at'),
  }
}

export function parseDevice(value: unknown): DeviceRow {
  const row = fields(value, 'device')
  return {
    id: id(row, 'id'),
    user_id: optionalId(row, 'user_id'),
    kind: oneOf(row, 'kind', DeviceKind),
    enc_pub: text(row, 'enc_pub'),
    sig_pub: text(row, 'sig_pub'),
    created_at: text(row, 'created_at'),
    revoked_at: optionalText(row, 'revoked_at'),
  }
}

export function parseConsent(value: unknown): ConsentRow {
  const row = fields(value, 'consent')
  return {
    id: id(row, 'id'),
    session_id: id(row, 'session_id'),
    device_id: id(row, 'device_id'),
    scope: list(row['scope'], 'scope').map((scope) => text({ scope }, 'scope')),
    text_hash: text(row, 'text_hash'),
    signature: text(row, 'signature'),
    withdrawn_at: optionalText(row, 'withdrawn_at'),
    withdrawal_signature: optionalText(row, 'withdrawal_signature'),
  }
}

export function parseEpoch(value: unknown): EpochRow {
  const row = fields(value, 'epoch')
  return {
    session_id: id(row, 'session_id'),
    epoch: whole(row, 'epoch'),
    device_id: id(row, 'device_id'),
    roster: row['roster'],
    roster_hash: text(row, 'roster_hash'),
    key_commit: text(row, 'key_commit'),
    consent_id: optionalId(row, 'consent_id'),
    signature: text(row, 'signature'),
    suite: whole(row, 'suite'),
    created_at: optionalText(row, 'created_at'),
  }
}

export function parseSealed(value: unknown): SealedMessage {
  const row = fields(value, 'message')
  return {
    id: id(row, 'id'),
    session_id: id(row, 'session_id'),
    sender_device_id: id(row, 'sender_device_id'),
    epoch: whole(row, 'epoch'),
    seq: whole(row, 'seq'),
    body: text(row, 'body'),
  }
}

export function parseMessage(value: unknown): MessageRow {
  const row = fields(value, 'message')
  return {
    ...parseSealed(value),
    sender_id: id(row, 'sender_id'),
    position: whole(row, 'position'),
    assisted: flag(row, 'assisted'),
    created_at: text(row, 'created_at'),
  }
}

export function parseSuggestion(value: unknown): SuggestionRow {
  const row = fields(value, 'suggestion')
  return {
    id: id(row, 'id'),
    session_id: id(row, 'session_id'),
    message_id: id(row, 'message_id'),
    requested_by: optionalId(row, 'requested_by'),
    status: oneOf(row, 'status', SuggestionStatus),
    reason: optionalText(row, 'reason'),
    source: optionalText(row, 'source') === null ? null : oneOf(row, 'source', SuggestionSource),
    move: optionalText(row, 'move'),
    bank_version: optionalText(row, 'bank_version'),
    model: optionalText(row, 'model'),
    sent_message_id: optionalId(row, 'sent_message_id'),
    decided_by: optionalId(row, 'decided_by'),
    decided_at: optionalText(row, 'decided_at'),
    version: whole(row, 'version'),
    created_at: text(row, 'created_at'),
  }
}

/** The id in what is told of a suggestion that was erased. */
export function parseErased(value: unknown): string {
  return id(fields(value, 'erased suggestion'), 'id')
}

export function parseSuggestionSeal(value: unknown): SuggestionSealRow {
  const row = fields(value, 'suggestion seal')
  return {
    suggestion_id: id(row, 'suggestion_id'),
    device_id: id(row, 'device_id'),
    user_id: id(row, 'user_id'),
    session_id: id(row, 'session_id'),
    message_id: id(row, 'message_id'),
    sealed: text(row, 'sealed'),
    signature: text(row, 'signature'),
  }
}
