import { ParticipantRole, SessionMode, SessionStatus } from 'vigil-client'
import { fields, oneOf, optionalTime, text, time } from './parse.ts'
import { answer, byIds, rows, type Supabase } from './rest.ts'

export interface SessionSummary {
  readonly id: string
  readonly organizationId: string
  readonly mode: SessionMode
  readonly status: SessionStatus
  readonly scheduledFor: Date | null
  readonly startedAt: Date | null
  readonly endedAt: Date | null
  readonly createdAt: Date
}

export interface Participant {
  readonly sessionId: string
  readonly userId: string
  readonly role: ParticipantRole
  readonly endedAt: Date | null
}

/** How many sessions one reading of the list takes. */
export const PageSessions = 50

function parseSummary(value: unknown): SessionSummary {
  const row = fields(value, 'session')
  return {
    id: text(row, 'id'),
    organizationId: text(row, 'organization_id'),
    mode: oneOf(row, 'mode', SessionMode),
    status: oneOf(row, 'status', SessionStatus),
    scheduledFor: optionalTime(row, 'scheduled_for'),
    startedAt: optionalTime(row, 'started_at'),
    endedAt: optionalTime(row, 'ended_at'),
    createdAt: time(row, 'created_at'),
  }
}

function parsePerson(value: unknown): Participant {
  const row = fields(value, 'participant')
  return {
    sessionId: text(row, 'session_id'),
    userId: text(row, 'user_id'),
    role: oneOf(row, 'role', ParticipantRole),
    endedAt: optionalTime(row, 'ended_at'),
  }
}

/** The caller's sessions, the newest first. */
export function readSessions(supabase: Supabase, count: number): Promise<readonly SessionSummary[]> {
  const columns = 'id,organization_id,mode,status,scheduled_for,started_at,ended_at,created_at'
  const request = supabase.from('sessions').select(columns).order('created_at', { ascending: false }).order('id').limit(count)
  return rows('read your sessions', request, parseSummary)
}

export function readParticipants(supabase: Supabase, sessionIds: Iterable<string>): Promise<readonly Participant[]> {
  return byIds(sessionIds, (some) =>
    rows('read who takes part', supabase.from('session_participants').select('session_id,user_id,role,ended_at').in('session_id', some), parsePerson),
  )
}

export const SessionStep = { start: 'start_session', pause: 'pause_session', resume: 'resume_session', end: 'end_session' } as const
export type SessionStep = (typeof SessionStep)[keyof typeof SessionStep]

export async function stepSession(supabase: Supabase, step: SessionStep, sessionId: string): Promise<void> {
  await answer('change the session', supabase.rpc(step, { session_id: sessionId }))
}

export async function changeMode(supabase: Supabase, sessionId: string, mode: SessionMode): Promise<void> {
  await answer('change how the session is watched', supabase.rpc('change_session_mode', { session_id: sessionId, mode }))
}

/** Makes a session of the caller's with a client; gives its id. */
export async function createSession(supabase: Supabase, made: { organizationId: string; clientId: string; mode: SessionMode }): Promise<string> {
  const request = supabase.rpc('create_session', { organization_id: made.organizationId, client_id: made.clientId, mode: made.mode })
  return text(fields(await answer('make the session', request), 'session'), 'id')
}
