import { answer, byIds, rows, type Supabase } from './rest.ts'
import { AlertStatus, parseAlert, parseAlertEvent, parseAssessment, parseSessionTopics, type Alert, type AlertEvent, type Assessment, type TopicWeight } from './rows.ts'

const alertColumns = 'id,organization_id,session_id,message_id,level,status,version,source,text_shared,raised_at,updated_at'
const assessmentColumns =
  'id,session_id,message_id,position,status,reason,level,harm_others,abuse,distress,sentiment,topics,items,risk_score,harm_others_score,abuse_score,distress_score,emotions,language,evidence,alert,superseded_at,created_at'

/** How far back a session's assessments are read. */
const MaxAssessments = 500
const MaxAlerts = 200

/** A session's standing assessments, the newest first. */
export function readAssessments(supabase: Supabase, sessionId: string): Promise<readonly Assessment[]> {
  const request = supabase
    .from('assessments').select(assessmentColumns).eq('session_id', sessionId).is('superseded_at', null)
    .order('position', { ascending: false }).limit(MaxAssessments)
  return rows('read the assessments', request, parseAssessment)
}

/** What the session has been about of late, the heaviest first. */
export async function readSessionTopics(supabase: Supabase, sessionId: string): Promise<readonly TopicWeight[]> {
  const found = await rows('read the topics', supabase.from('session_progress').select('topics').eq('session_id', sessionId), parseSessionTopics)
  return found[0] ?? []
}

export function readSessionAlerts(supabase: Supabase, sessionId: string): Promise<readonly Alert[]> {
  const request = supabase
    .from('alerts').select(alertColumns).eq('session_id', sessionId).order('raised_at', { ascending: false }).limit(MaxAlerts)
  return rows('read the alerts', request, parseAlert)
}

/** Alerts that nobody has resolved, of all sessions the caller may see as clinician. */
export function readOpenAlerts(supabase: Supabase): Promise<readonly Alert[]> {
  const request = supabase
    .from('alerts').select(alertColumns).neq('status', AlertStatus.resolved).order('raised_at', { ascending: false }).limit(MaxAlerts)
  return rows('read the alerts', request, parseAlert)
}

export function readResolvedAlerts(supabase: Supabase, count: number): Promise<readonly Alert[]> {
  const request = supabase
    .from('alerts').select(alertColumns).eq('status', AlertStatus.resolved).order('updated_at', { ascending: false }).limit(count)
  return rows('read the resolved alerts', request, parseAlert)
}

export function readAlertEvents(supabase: Supabase, alertIds: Iterable<string>): Promise<readonly AlertEvent[]> {
  return byIds(alertIds, (some) =>
    rows('read what was done about alerts', supabase.from('alert_events').select('id,alert_id,kind,actor_id,version,created_at').in('alert_id', some), parseAlertEvent),
  )
}

export const AlertStep = { acknowledge: 'acknowledge_alert', resolve: 'resolve_alert' } as const
export type AlertStep = (typeof AlertStep)[keyof typeof AlertStep]

/** Takes a step under the version that the person saw; Refused with PT409 when somebody was first. */
export async function stepAlert(supabase: Supabase, step: AlertStep, alert: Alert): Promise<Alert> {
  return parseAlert(await answer('change the alert', supabase.rpc(step, { alert_id: alert.id, version: alert.version })))
}
