import { fields, number, optionalText, text, texts } from './parse.ts'
import { answer, rows, type Supabase } from './rest.ts'

/** What a practice has its clients agree to: kept, so that it can be shown later what somebody agreed to. */
export interface ConsentText {
  readonly organizationId: string
  readonly hash: string
  readonly version: number
  readonly scope: readonly string[]
  readonly language: string
  readonly body: string
  readonly retired: boolean
}

function parseConsentText(value: unknown): ConsentText {
  const row = fields(value, 'consent text')
  return {
    organizationId: text(row, 'organization_id'), hash: text(row, 'text_hash'), version: number(row, 'version'), scope: texts(row, 'scope'),
    language: text(row, 'language'), body: text(row, 'body'), retired: optionalText(row, 'retired_at') !== null,
  }
}

/** A practice's texts, the newest first. None: the console's own are used. */
export function readConsentTexts(supabase: Supabase, organizationId: string): Promise<readonly ConsentText[]> {
  const columns = 'organization_id,text_hash,version,scope,language,body,retired_at'
  const request = supabase.from('consent_texts').select(columns).eq('organization_id', organizationId).order('version', { ascending: false })
  return rows('read what clients agree to', request, parseConsentText)
}

export async function publishConsentText(supabase: Supabase, made: { organizationId: string; scope: readonly string[]; language: string; body: string }): Promise<void> {
  const row = { organization_id: made.organizationId, scope: made.scope, language: made.language, body: made.body }
  await answer('publish the text', supabase.from('consent_texts').insert(row))
}

export async function retireConsentText(supabase: Supabase, one: Pick<ConsentText, 'organizationId' | 'hash'>): Promise<void> {
  const request = supabase.from('consent_texts').update({ retired_at: new Date().toISOString() }).eq('organization_id', one.organizationId).eq('text_hash', one.hash)
  await answer('retire the text', request)
}
