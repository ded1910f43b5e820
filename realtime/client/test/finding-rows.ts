/** Rows of findings as the log has them: invented, and whole. */
import type { Fields } from '../src/parse.ts'

const organization_id = crypto.randomUUID()
const at = '2026-11-23T03:04:05.678901+00:00'

export function assessmentRow(sessionId: string): Fields {
  return {
    id: crypto.randomUUID(), organization_id, session_id: sessionId, message_id: crypto.randomUUID(), position: 7, source: 'sidecar', status: 'assessed',
    reason: null, level: 4, harm_others: false, abuse: false, distress: true, sentiment: -0.75, topics: ['work'],
    evidence: [{ rule: 'intent.kill', start: 4, end: 15, start_16: 2, end_16: 13 }], alert: true, escalate: true, model_version: 'm', ruleset_version: 'r',
    policy_version: 3, superseded_at: null, created_at: at, items: ['present', 'present', 'unknown', 'present', 'absent', 'unknown'], risk_score: 0.98,
    harm_others_score: 0, abuse_score: 1, distress_score: 0.5, hard: ['self_harm'], emotions: ['despair'], language: 'en',
  }
}

/** As the sidecar writes that nobody could assess a message. */
export function notAssessedRow(sessionId: string): Fields {
  const nothing = [
    'level', 'harm_others', 'abuse', 'distress', 'sentiment', 'model_version', 'ruleset_version', 'items', 'risk_score', 'harm_others_score', 'abuse_score',
    'distress_score', 'language',
  ].map((name) => [name, null] as const)
  const empty = { topics: [], evidence: [], hard: [], emotions: [] }
  const unknown: Fields = Object.fromEntries(nothing)
  return { ...assessmentRow(sessionId), ...unknown, ...empty, status: 'not_assessed', reason: 'signature' }
}

export function alertRow(sessionId: string): Fields {
  return {
    id: crypto.randomUUID(), organization_id, session_id: sessionId, message_id: crypto.randomUUID(), assessment_id: crypto.randomUUID(), level: 4, status: 'open',
    version: 1, source: 'sidecar', policy_version: 3, ruleset_version: 'r', model_version: 'm', text_shared: true, raised_at: at, updated_at: at,
  }
}

export function alertEventRow(sessionId: string): Fields {
  return {
    id: crypto.randomUUID(), alert_id: crypto.randomUUID(), organization_id, session_id: sessionId, kind: 'raised', actor_id: null, version: 1, created_at: at,
  }
}

export function topicsRow(sessionId: string): Fields {
  return { session_id: sessionId, organization_id, topics: [{ topic: 'work', weight: 1.5 }], updated_at: at }
}
