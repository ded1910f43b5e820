/** Rows as SQL has them (sql/README.md), each with the one function that may make it from what came off the wire. */
import { fields, flag, id, list, oneOf, optionalId, optionalText, text, whole } from './parse.ts'
import type { SignedScore } from './score.ts'

export const SessionMode = { strict: 'strict', assisted: 'assisted' } as const
export type SessionMode = (typeof SessionMode)[keyof typeof SessionMode]

export const SessionStatus = { scheduled: 'scheduled', active: 'active', paused: 'paused', ended: 'ended' } as const
export type SessionStatus = (typeof SessionStatus)[keyof typeof SessionStatus]

export const ParticipantRole = { client: 'client', therapist: 'therapist' } as const
export type ParticipantRole = (typeof ParticipantRole)[keyof typeof ParticipantRole]

export const DeviceKind = { participant: 'participant', recovery: 'recovery', analysis: 'analysis' } as const
export type DeviceKind = (typeof DeviceKind)[keyof typeof DeviceKind]

/** How a device came to take part: a person's first, signed by another of theirs, after a reset of all others, or the sidecar's. */
export const Admission = { first: 'first', signed: 'signed', reset: 'reset', sidecar: 'sidecar' } as const
export type Admission = (typeof Admission)[keyof typeof Admission]

/** Why a device beside the roster holds an epoch's key. */
export const ReaderReason = { crisisAccess: 'crisis_access', history: 'history' } as const
export type ReaderReason = (typeof ReaderReason)[keyof typeof ReaderReason]

export const ErasureKind = { session: 'session', person: 'person' } as const
export type ErasureKind = (typeof ErasureKind)[keyof typeof ErasureKind]

/** requested → shredded (nothing opens any more) → done (objects are gone too). */
export const ErasureStatus = { requested: 'requested', shredded: 'shredded', done: 'done' } as const
export type ErasureStatus = (typeof ErasureStatus)[keyof typeof ErasureStatus]

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
  /** What its owner calls it; null for none. */
  readonly label: string | null
  /** null: it waits for another device of that person, and stands on no roster. */
  readonly admitted_at: string | null
  readonly admission: Admission | null
  readonly admitted_by: string | null
  /** The sidecar's only: new epochs leave it out. */
  readonly retired_at: string | null
}

/** That one device of a person vouches for another. Verified by the sidecar, and by every client for itself. */
export interface DeviceSignatureRow {
  readonly id: string
  readonly device_id: string
  /** null under an analysis key. */
  readonly user_id: string | null
  readonly by_device_id: string
  readonly signature: string
  readonly created_at: string
  readonly refused_at: string | null
}

/** A device that holds an epoch's key beside its roster. */
export interface ReaderRow {
  readonly session_id: string
  readonly epoch: number
  readonly device_id: string
  readonly user_id: string
  /** As in Role. */
  readonly role: number
  readonly reason: ReaderReason
  /** On whose account, for crisis_access. */
  readonly alert_id: string | null
  readonly by_device_id: string
  readonly signature: string
  /** SHA-256 of the wrap, which only its owner may read; null in what is heard on the topic. */
  readonly wrap_hash: string | null
  readonly created_at: string
  readonly ended_at: string | null
}

/** An epoch's key wrapped for a device that lacks it, signed by the device that wrapped it. */
export interface EpochShare {
  readonly session_id: string
  readonly epoch: number
  readonly wrap: string
  readonly signature: string
}

/** A wrap of one of a person's own devices: which of them holds which epoch. */
export interface HeldEpoch {
  readonly session_id: string
  readonly epoch: number
  readonly device_id: string
  readonly wrap: string
}

/** What the wrap of a shared history was before it was replaced. */
export interface FormerWrapRow extends HeldEpoch {
  readonly by_device_id: string
  readonly signature: string
  readonly given_at: string
}

/** The former wraps of a person's devices, and what restores some of one of them. */
export interface Formers {
  readonly rows: readonly FormerWrapRow[]
  readonly restore: (deviceId: string, some: readonly FormerWrapRow[]) => Promise<number>
}

/** The private halves of a recovery key, sealed under a passphrase. */
export interface RecoveryKeyRow {
  readonly version: number
  readonly device_id: string
  readonly memory_kib: number
  readonly passes: number
  readonly lanes: number
  readonly salt: string
  readonly wrapped: string
  /** The database's word, which nothing is to be sealed to: see exportRecipient. */
  readonly age_recipient: string
}

/** What erased a session or a person: it outlives both. */
export interface ErasureRow {
  readonly id: string
  readonly session_id: string | null
  readonly kind: ErasureKind
  readonly status: ErasureStatus
  readonly counts: unknown
  readonly audit_seq: number | null
  readonly audit_hash: string | null
  readonly created_at: string
  readonly done_at: string | null
}

/** What one device found in one message of a strict session: a row of message_scores. */
export interface ScoreRow extends SignedScore {
  readonly organization_id: string
  readonly user_id: string
  readonly position: number
  /** Whether the other side found otherwise. */
  readonly disagrees: boolean
  readonly created_at: string
}

/** What a device inserts of a score; the rest is set by trigger. */
export type ScoreInsert = Omit<SignedScore, 'session_id' | 'epoch'>

/** What names a sealed file in Storage; bytes and sha256 are of what is stored there. */
export interface AttachmentInsert {
  readonly id: string
  readonly session_id: string
  readonly device_id: string
  readonly bytes: number
  readonly sha256: string
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
    label: optionalText(row, 'label'),
    admitted_at: optionalText(row, 'admitted_at'),
    admission: optionalText(row, 'admission') === null ? null : oneOf(row, 'admission', Admission),
    admitted_by: optionalId(row, 'admitted_by'),
    retired_at: optionalText(row, 'retired_at'),
  }
}

export function parseDeviceSignature(value: unknown): DeviceSignatureRow {
  const row = fields(value, 'device signature')
  return {
    id: id(row, 'id'),
    device_id: id(row, 'device_id'),
    user_id: optionalId(row, 'user_id'),
    by_device_id: id(row, 'by_device_id'),
    signature: text(row, 'signature'),
    created_at: text(row, 'created_at'),
    refused_at: optionalText(row, 'refused_at'),
  }
}

export function parseReader(value: unknown): ReaderRow {
  const row = fields(value, 'reader')
  return {
    session_id: id(row, 'session_id'),
    epoch: whole(row, 'epoch'),
    device_id: id(row, 'device_id'),
    user_id: id(row, 'user_id'),
    role: whole(row, 'role'),
    reason: oneOf(row, 'reason', ReaderReason),
    alert_id: optionalId(row, 'alert_id'),
    by_device_id: id(row, 'by_device_id'),
    signature: text(row, 'signature'),
    wrap_hash: optionalText(row, 'wrap_hash'),
    created_at: text(row, 'created_at'),
    ended_at: optionalText(row, 'ended_at'),
  }
}

export function parseHeld(value: unknown): HeldEpoch {
  const row = fields(value, 'wrap')
  return { session_id: id(row, 'session_id'), epoch: whole(row, 'epoch'), device_id: id(row, 'device_id'), wrap: text(row, 'wrap') }
}

export function parseErasure(value: unknown): ErasureRow {
  const row = fields(value, 'erasure')
  return {
    id: id(row, 'id'),
    session_id: optionalId(row, 'session_id'),
    kind: oneOf(row, 'kind', ErasureKind),
    status: oneOf(row, 'status', ErasureStatus),
    counts: row['counts'],
    audit_seq: row['audit_seq'] === null || row['audit_seq'] === undefined ? null : whole(row, 'audit_seq'),
    audit_hash: optionalText(row, 'audit_hash'),
    created_at: text(row, 'created_at'),
    done_at: optionalText(row, 'done_at'),
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
