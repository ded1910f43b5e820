import { fields, optionalNumber, optionalText, optionalTime, oneOf, text, time, type Fields } from './parse.ts'
import { answer, rows, type Supabase } from './rest.ts'

export const ErasureStatus = { requested: 'requested', shredded: 'shredded', done: 'done' } as const
export type ErasureStatus = (typeof ErasureStatus)[keyof typeof ErasureStatus]

/** A request to erase, and its receipt once it is done: what was deleted, and where the audit log says so. */
export interface Erasure {
  readonly id: string
  readonly kind: 'session' | 'person'
  readonly organizationId: string
  readonly sessionId: string | null
  readonly personId: string | null
  readonly status: ErasureStatus
  readonly counts: Readonly<Record<string, number>>
  readonly auditSeq: number | null
  readonly auditHash: string | null
  readonly createdAt: Date
  readonly doneAt: Date | null
}

const columns = 'id,kind,organization_id,session_id,person_id,status,counts,audit_seq,audit_hash,created_at,done_at'
const kinds = { session: 'session', person: 'person' } as const

export function parseErasure(value: unknown): Erasure {
  const row = fields(value, 'erasure')
  return {
    id: text(row, 'id'), kind: oneOf(row, 'kind', kinds), organizationId: text(row, 'organization_id'), sessionId: optionalText(row, 'session_id'),
    personId: optionalText(row, 'person_id'), status: oneOf(row, 'status', ErasureStatus),
    counts: parseCounts(row), auditSeq: optionalNumber(row, 'audit_seq'), auditHash: optionalText(row, 'audit_hash'),
    createdAt: time(row, 'created_at'), doneAt: optionalTime(row, 'done_at'),
  }
}

function parseCounts(row: Fields): Readonly<Record<string, number>> {
  if (row['counts'] === null || row['counts'] === undefined) return {}
  const counts = fields(row['counts'], 'counts')
  return Object.fromEntries(Object.keys(counts).flatMap((name) => (typeof counts[name] === 'number' ? [[name, counts[name]]] : [])))
}

/** What the caller asked for, and for staff what was asked of their practice; the newest first. */
export function readErasures(supabase: Supabase): Promise<readonly Erasure[]> {
  return rows('read what was erased', supabase.from('erasures').select(columns).order('created_at', { ascending: false }).limit(20), parseErasure)
}

/** Asks for a session to be erased, or (null) for all that is the caller's. An operator does it. */
export async function requestErasure(supabase: Supabase, sessionId: string | null): Promise<Erasure> {
  return parseErasure(await answer('ask for erasure', supabase.rpc('request_erasure', sessionId === null ? {} : { session_id: sessionId })))
}
