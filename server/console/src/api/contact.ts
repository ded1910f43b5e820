import { fields, oneOf, optionalText, text } from './parse.ts'
import { answer, byIds, rows, type Supabase } from './rest.ts'

export const ContactKind = { phone: 'phone', email: 'email', address: 'address', other: 'other' } as const
export type ContactKind = (typeof ContactKind)[keyof typeof ContactKind]

/** How somebody is reached outside the console: for the clinicians of their sessions, and nobody else. */
export interface ContactPoint {
  readonly organizationId: string
  readonly userId: string
  readonly kind: ContactKind
  readonly value: string
  readonly note: string | null
}

const columns = 'organization_id,user_id,kind,value,note'

function parseContact(value: unknown): ContactPoint {
  const row = fields(value, 'contact point')
  return {
    organizationId: text(row, 'organization_id'), userId: text(row, 'user_id'), kind: oneOf(row, 'kind', ContactKind), value: text(row, 'value'),
    note: optionalText(row, 'note'),
  }
}

/** The contact points of people, as far as the caller may see them. */
export function readContacts(supabase: Supabase, userIds: Iterable<string>): Promise<readonly ContactPoint[]> {
  return byIds(userIds, (some) => rows('read how to reach people', supabase.from('contact_points').select(columns).in('user_id', some).order('kind'), parseContact))
}

/** Keeps one of each kind; the newest stands. */
export async function setContact(supabase: Supabase, point: ContactPoint): Promise<void> {
  const table = supabase.from('contact_points')
  const change = table.update({ value: point.value, note: point.note }).eq('organization_id', point.organizationId).eq('user_id', point.userId).eq('kind', point.kind)
  const changed = await rows('keep how to reach you', change.select(columns), parseContact)
  if (changed.length > 0) return // not an upsert: what names the row may be written, and not changed
  const row = { organization_id: point.organizationId, user_id: point.userId, kind: point.kind, value: point.value, note: point.note }
  await answer('keep how to reach you', table.insert(row))
}

export async function removeContact(supabase: Supabase, point: Pick<ContactPoint, 'organizationId' | 'userId' | 'kind'>): Promise<void> {
  const request = supabase.from('contact_points').delete().eq('organization_id', point.organizationId).eq('user_id', point.userId).eq('kind', point.kind)
  await answer('remove how to reach you', request)
}
