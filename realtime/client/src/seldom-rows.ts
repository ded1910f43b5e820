/** The parsers of rows that a chat page seldom reads. */
import { fields, flag, id, list, oneOf, text, texts, whole } from './parse.ts'
import type { FormerWrapRow, RecoveryKeyRow, ScoreRow } from './rows.ts'

export function parseRecoveryKey(value: unknown): RecoveryKeyRow {
  const row = fields(value, 'recovery key')
  return {
    version: whole(row, 'version'),
    device_id: id(row, 'device_id'),
    memory_kib: whole(row, 'memory_kib'),
    passes: whole(row, 'passes'),
    lanes: whole(row, 'lanes'),
    salt: text(row, 'salt'),
    wrapped: text(row, 'wrapped'),
    age_recipient: text(row, 'age_recipient'),
  }
}

export function parseFormerWrap(value: unknown): FormerWrapRow {
  const row = fields(value, 'former wrap')
  return {
    session_id: id(row, 'session_id'),
    epoch: whole(row, 'epoch'),
    device_id: id(row, 'device_id'),
    by_device_id: id(row, 'by_device_id'),
    signature: text(row, 'signature'),
    wrap: text(row, 'wrap'),
    given_at: text(row, 'given_at'),
  }
}

const ScoreSides = { sender: 'sender', clinician: 'clinician' } as const

export function parseScore(value: unknown): ScoreRow {
  const row = fields(value, 'score')
  return {
    session_id: id(row, 'session_id'),
    message_id: id(row, 'message_id'),
    organization_id: id(row, 'organization_id'),
    user_id: id(row, 'user_id'),
    device_id: id(row, 'device_id'),
    epoch: whole(row, 'epoch'),
    position: whole(row, 'position'),
    side: oneOf(row, 'side', ScoreSides),
    after_position: whole(row, 'after_position'),
    level: whole(row, 'level'),
    harm_others: flag(row, 'harm_others'),
    abuse: flag(row, 'abuse'),
    distress: flag(row, 'distress'),
    alert: flag(row, 'alert'),
    escalate: flag(row, 'escalate'),
    hard: texts(row, 'hard'),
    items: texts(row, 'items'),
    scores: list(row['scores'], 'scores').map((score) => whole({ score }, 'score')),
    rules: texts(row, 'rules'),
    model_version: text(row, 'model_version'),
    ruleset_version: text(row, 'ruleset_version'),
    signature: text(row, 'signature'),
    disagrees: flag(row, 'disagrees'),
    created_at: text(row, 'created_at'),
  }
}

/** The id in what is told of a suggestion that was erased. */
export function parseErased(value: unknown): string {
  return id(fields(value, 'erased suggestion'), 'id')
}
