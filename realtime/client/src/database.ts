import type { SupabaseClient } from '@supabase/supabase-js'
import type { ConsentTerms } from './consent.ts'
import type { NewEpoch } from './epoch.ts'
import { RequestError } from './failure.ts'
import { fields, list, text, whole } from './parse.ts'
import {
  parseConsent, parseDevice, parseEpoch, parseMessage, parseParticipant, parseSealed, parseSession, parseSuggestion, parseSuggestionSeal,
  type ConsentRow, type DeviceRow, type EpochRow, type MessageRow, type ParticipantRow, type SealedMessage, type SessionRow,
  type SuggestionDecision, type SuggestionRow, type SuggestionSealRow,
} from './rows.ts'

/** What the session needs of supabase-js. */
export type Supabase = Pick<SupabaseClient, 'from' | 'rpc' | 'auth' | 'realtime'>

/** A page of history. */
export const PageRows = 500

interface Answer {
  readonly data: unknown
  readonly status: number
  readonly error: { readonly message: string; readonly code?: string; readonly details?: string | null } | null
}

/** Takes supabase-js' answer apart: its data, or a RequestError. */
async function answer(attempt: string, request: PromiseLike<Answer>): Promise<unknown> {
  let got: Answer
  try {
    got = await request
  } catch (cause) {
    throw new RequestError(attempt, '', 0, 'no answer', '', { cause })
  }
  if (got.error === null) return got.data
  const { code = '', message, details } = got.error
  throw new RequestError(attempt, code, got.status, message, details ?? '')
}

async function rows<T>(attempt: string, request: PromiseLike<Answer>, parse: (row: unknown) => T): Promise<readonly T[]> {
  return list(await answer(attempt, request), attempt).map(parse)
}

/** What a session asks of the database: Database, or a test's own. */
export type SessionDatabase = Pick<Database, keyof Database>

/** The tables and functions that a session uses, through plain supabase-js; every row is parsed once, here. */
export class Database {
  readonly #supabase: Supabase

  constructor(supabase: Supabase) {
    this.#supabase = supabase
  }

  async session(id: string): Promise<SessionRow | undefined> {
    const request = this.#supabase.from('sessions').select('id,organization_id,mode,status,min_epoch').eq('id', id)
    return (await rows('read session', request, parseSession))[0]
  }

  participants(sessionId: string): Promise<readonly ParticipantRow[]> {
    const request = this.#supabase
      .from('session_participants').select('session_id,user_id,role,ended_at').eq('session_id', sessionId)
    return rows('read participants', request, parseParticipant)
  }

  /** All devices, revoked ones too, of these people; and the sidecar's. */
  async devices(userIds: readonly string[]): Promise<readonly DeviceRow[]> {
    const columns = 'id,user_id,kind,enc_pub,sig_pub,created_at,revoked_at'
    const people = this.#supabase.from('devices').select(columns).in('user_id', [...userIds])
    const analysis = this.#supabase.from('devices').select(columns).eq('kind', 'analysis')
    const found = await Promise.all([
      rows('read devices', people, parseDevice),
      rows('read analysis devices', analysis, parseDevice),
    ])
    return found.flat()
  }

  async device(id: string): Promise<DeviceRow | undefined> {
    const request = this.#supabase
      .from('devices').select('id,user_id,kind,enc_pub,sig_pub,created_at,revoked_at').eq('id', id)
    return (await rows('read device', request, parseDevice))[0]
  }

  async insertDevice(row: { id: string; user_id: string; enc_pub: string; sig_pub: string; label: string | null }): Promise<void> {
    await answer('register device', this.#supabase.from('devices').insert({ ...row, kind: 'participant' }))
  }

  consents(sessionId: string): Promise<readonly ConsentRow[]> {
    const columns = 'id,session_id,device_id,scope,text_hash,signature,withdrawn_at,withdrawal_signature'
    const request = this.#supabase
      .from('session_consents').select(columns).eq('session_id', sessionId).order('given_at', { ascending: true })
    return rows('read consents', request, parseConsent)
  }

  async insertConsent(row: ConsentTerms & { readonly signature: string }): Promise<void> {
    const { id, session_id, device_id, scope, text_hash, signature } = row
    const values = { id, session_id, device_id, scope: [...scope], text_hash, signature }
    await answer('give consent', this.#supabase.from('session_consents').insert(values))
  }

  async withdrawConsent(consentId: string, signature: string): Promise<void> {
    await answer('withdraw consent', this.#supabase.rpc('withdraw_consent', { consent_id: consentId, signature }))
  }

  epochs(sessionId: string): Promise<readonly EpochRow[]> {
    const columns =
      'session_id,epoch,device_id,roster,roster_hash,key_commit,consent_id,signature,suite,created_at'
    const request = this.#supabase.from('session_epochs').select(columns).eq('session_id', sessionId).order('epoch')
    return rows('read epochs', request, parseEpoch)
  }

  /** The device's own wraps, by epoch. */
  async wraps(sessionId: string, deviceId: string): Promise<ReadonlyMap<number, string>> {
    const request = this.#supabase
      .from('epoch_wraps').select('epoch,wrap').eq('session_id', sessionId).eq('device_id', deviceId)
    const found = await rows('read wraps', request, (value) => {
      const row = fields(value, 'wrap')
      return [whole(row, 'epoch'), text(row, 'wrap')] as const
    })
    return new Map(found)
  }

  async createEpoch(row: NewEpoch): Promise<void> {
    const { session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id, wraps } = row
    const terms = { session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id, wraps }
    await answer('create epoch', this.#supabase.rpc('create_epoch', terms))
  }

  /** Messages after a position, in order, at most PageRows. */
  messagesAfter(sessionId: string, position: number): Promise<readonly MessageRow[]> {
    const columns = 'id,session_id,sender_id,sender_device_id,epoch,seq,position,assisted,body,created_at'
    const request = this.#supabase
      .from('messages').select(columns).eq('session_id', sessionId).gt('position', position).order('position').limit(PageRows)
    return rows('read messages', request, parseMessage)
  }

  async stored(messageId: string): Promise<SealedMessage | undefined> {
    const request = this.#supabase
      .from('messages').select('id,session_id,sender_device_id,epoch,seq,body').eq('id', messageId)
    return (await rows('look for own message', request, parseSealed))[0]
  }

  /** The highest seq that the device has used in an epoch, -1 for none. */
  async lastSeq(sessionId: string, deviceId: string, epoch: number): Promise<number> {
    const request = this.#supabase
      .from('messages').select('seq').eq('session_id', sessionId).eq('sender_device_id', deviceId).eq('epoch', epoch)
      .order('seq', { ascending: false }).limit(1)
    return (await rows('read last seq', request, (row) => whole(fields(row, 'message'), 'seq')))[0] ?? -1
  }

  async insertMessage(m: SealedMessage): Promise<void> {
    await answer('send message', this.#supabase.from('messages').insert({ ...m }))
  }

  /** All suggestions of a session, as they came; none for a client. */
  suggestions(sessionId: string): Promise<readonly SuggestionRow[]> {
    const columns =
      'id,session_id,message_id,requested_by,status,reason,source,move,bank_version,model,sent_message_id,decided_by,decided_at,version,created_at'
    const request = this.#supabase
      .from('suggestions').select(columns).eq('session_id', sessionId).order('created_at', { ascending: true })
    return rows('read suggestions', request, parseSuggestion)
  }

  /** The texts of a session's suggestions that are sealed to this device. */
  suggestionSeals(sessionId: string, deviceId: string): Promise<readonly SuggestionSealRow[]> {
    const columns = 'suggestion_id,device_id,user_id,session_id,message_id,sealed,signature'
    const request = this.#supabase
      .from('suggestion_seals').select(columns).eq('session_id', sessionId).eq('device_id', deviceId)
    return rows('read suggestion seals', request, parseSuggestionSeal)
  }

  /** Asks for a suggestion on the client's last message: the one that is open already, or a new one, requested. */
  async requestSuggestion(sessionId: string): Promise<SuggestionRow> {
    return parseSuggestion(await answer('request suggestion', this.#supabase.rpc('request_suggestion', { session_id: sessionId })))
  }

  /** Says what became of an offered suggestion, at the version that was seen; accepted and edited name the message that was sent. */
  async decideSuggestion(
    suggestionId: string, decision: SuggestionDecision, version: number, sentMessageId: string | null = null,
  ): Promise<SuggestionRow> {
    const terms = { suggestion_id: suggestionId, decision, version, sent_message_id: sentMessageId }
    return parseSuggestion(await answer('decide suggestion', this.#supabase.rpc('decide_suggestion', terms)))
  }
}
