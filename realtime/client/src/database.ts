import type { SupabaseClient } from '@supabase/supabase-js'
import type { ConsentTerms } from './consent.ts'
import type { NewEpoch } from './epoch.ts'
import { RequestError } from './failure.ts'
import { fields, list, text, whole } from './parse.ts'
import {
  parseConsent, parseDevice, parseDeviceSignature, parseEpoch, parseHeld, parseMessage, parseParticipant, parseReader, parseRecoveryKey,
  parseScore, parseSealed, parseSession, parseSuggestion, parseSuggestionSeal,
  type AttachmentInsert, type ConsentRow, type DeviceRow, type DeviceSignatureRow, type EpochRow, type EpochShare, type HeldEpoch,
  type MessageRow, type ParticipantRow, type ReaderRow, type RecoveryKeyRow, type ScoreInsert, type ScoreRow, type SealedMessage,
  type SessionMode, type SessionRow, type SuggestionDecision, type SuggestionRow, type SuggestionSealRow,
} from './rows.ts'

/** What the session needs of supabase-js. */
export type Supabase = Pick<SupabaseClient, 'from' | 'rpc' | 'auth' | 'realtime'>

/** A page of history. */
export const PageRows = 500

const DeviceColumns =
  'id,user_id,kind,enc_pub,sig_pub,label,created_at,revoked_at,admitted_at,admission,admitted_by,retired_at'

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

/** All rows, page by page: PostgREST gives only so many at once. The request's order must be total. */
async function allRows<T>(attempt: string, page: (from: number, to: number) => PromiseLike<Answer>, parse: (row: unknown) => T): Promise<readonly T[]> {
  const all: T[] = []
  for (;;) {
    const some = await rows(attempt, page(all.length, all.length + PageRows - 1), parse)
    all.push(...some)
    if (some.length < PageRows) return all
  }
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
    const people = this.#supabase.from('devices').select(DeviceColumns).in('user_id', [...userIds])
    const analysis = this.#supabase.from('devices').select(DeviceColumns).eq('kind', 'analysis')
    const found = await Promise.all([
      rows('read devices', people, parseDevice),
      rows('read analysis devices', analysis, parseDevice),
    ])
    return found.flat()
  }

  /** A person's own devices, revoked ones and recovery keys too, oldest first. */
  ownDevices(userId: string): Promise<readonly DeviceRow[]> {
    const request = this.#supabase.from('devices').select(DeviceColumns).eq('user_id', userId).order('created_at').order('id')
    return rows('read own devices', request, parseDevice)
  }

  async device(id: string): Promise<DeviceRow | undefined> {
    const request = this.#supabase.from('devices').select(DeviceColumns).eq('id', id)
    return (await rows('read device', request, parseDevice))[0]
  }

  async insertDevice(row: { id: string; user_id: string; enc_pub: string; sig_pub: string; label: string | null }): Promise<void> {
    await answer('register device', this.#supabase.from('devices').insert({ ...row, kind: 'participant' }))
  }

  /** Names or revokes a device of one's own. */
  async updateDevice(id: string, change: { readonly label: string } | { readonly revoked_at: string }): Promise<void> {
    await answer('change device', this.#supabase.from('devices').update(change).eq('id', id))
  }

  /** Who vouches for whom among these people's devices, and the sidecar's; refused ones are left out. */
  signatures(userIds: readonly string[]): Promise<readonly DeviceSignatureRow[]> {
    const request = this.#supabase
      .from('device_signatures').select('id,device_id,user_id,by_device_id,signature,created_at,refused_at')
      .or(`user_id.is.null,user_id.in.(${userIds.join()})`).is('refused_at', null)
    return rows('read device signatures', request, parseDeviceSignature)
  }

  /** Whether the sidecar has refused what vouches for a device. */
  async refusedSignatures(deviceId: string): Promise<number> {
    const request = this.#supabase
      .from('device_signatures').select('id,device_id,user_id,by_device_id,signature,created_at,refused_at')
      .eq('device_id', deviceId).not('refused_at', 'is', null)
    return (await rows('read refused signatures', request, parseDeviceSignature)).length
  }

  /** Asks the sidecar to admit a device for which another one vouches. */
  async admitRequest(row: Pick<DeviceSignatureRow, 'device_id' | 'user_id' | 'by_device_id' | 'signature'>): Promise<void> {
    const { device_id, user_id, by_device_id, signature } = row
    await answer('vouch for device', this.#supabase.from('device_signatures').insert({ device_id, user_id, by_device_id, signature }))
  }

  /** Revokes every other device of the caller's, and the recovery key, and admits this one. */
  async resetDevices(deviceId: string): Promise<void> {
    await answer('reset devices', this.#supabase.rpc('reset_devices', { device_id: deviceId }))
  }

  /** Who holds epochs' keys beside their rosters. */
  readers(sessionId: string): Promise<readonly ReaderRow[]> {
    const columns = 'session_id,epoch,device_id,user_id,role,reason,alert_id,by_device_id,signature,created_at,ended_at'
    return allRows('read readers', (from, to) => this.#supabase
      .from('epoch_readers').select(columns).eq('session_id', sessionId).order('epoch').order('device_id').range(from, to), parseReader)
  }

  /** Which of the caller's devices, revoked ones too, hold which epochs; newest first. */
  heldEpochs(): Promise<readonly HeldEpoch[]> {
    return allRows('read held epochs', (from, to) => this.#supabase
      .from('epoch_wraps').select('session_id,epoch,device_id')
      .order('created_at', { ascending: false }).order('session_id').order('epoch', { ascending: false }).order('device_id')
      .range(from, to), parseHeld)
  }

  /** Gives a device of the caller's the keys of epochs that another one of theirs holds; how many were new to it. */
  async shareEpochs(deviceId: string, byDeviceId: string, shares: readonly EpochShare[]): Promise<number> {
    const terms = { device_id: deviceId, by_device_id: byDeviceId, shares: [...shares] }
    return whole({ shared: await answer('share epochs', this.#supabase.rpc('share_epochs', terms)) }, 'shared')
  }

  /** The caller's sealed recovery keys, newest first; none for anybody else. */
  recoveryKeys(): Promise<readonly RecoveryKeyRow[]> {
    const columns = 'version,device_id,memory_kib,passes,lanes,salt,wrapped,age_recipient'
    const request = this.#supabase.from('recovery_keys').select(columns).order('version', { ascending: false })
    return rows('read recovery keys', request, parseRecoveryKey)
  }

  async setRecovery(
    device: { readonly id: string; readonly enc_pub: string; readonly sig_pub: string },
    signature: { readonly by_device_id: string; readonly signature: string },
    key: Omit<RecoveryKeyRow, 'device_id'>,
  ): Promise<void> {
    await answer('set recovery', this.#supabase.rpc('set_recovery', { device, signature, key }))
  }

  async rewrapRecovery(key: Omit<RecoveryKeyRow, 'device_id'>): Promise<void> {
    await answer('change passphrase', this.#supabase.rpc('rewrap_recovery', { key }))
  }

  async removeRecovery(): Promise<void> {
    await answer('remove recovery', this.#supabase.rpc('remove_recovery'))
  }

  async insertScore(row: ScoreInsert): Promise<void> {
    await answer('send score', this.#supabase.from('message_scores').insert({ ...row }))
  }

  /** Scores of messages after a position, in order, at most PageRows; clinicians only. */
  scores(sessionId: string, after: number): Promise<readonly ScoreRow[]> {
    const columns = 'session_id,message_id,organization_id,user_id,device_id,epoch,position,side,after_position,level,harm_others,abuse,'
      + 'distress,alert,escalate,hard,items,scores,rules,model_version,ruleset_version,signature,disagrees,created_at'
    const request = this.#supabase
      .from('message_scores').select(columns).eq('session_id', sessionId).gt('position', after).order('position').order('side').limit(PageRows)
    return rows('read scores', request, parseScore)
  }

  async insertAttachment(row: AttachmentInsert): Promise<void> {
    await answer('name attachment', this.#supabase.from('attachments').insert({ ...row }))
  }

  /** Writes into the audit log that something was refused here; once for each thing and reason. */
  async reportRefusal(sessionId: string, subjectTable: string, subjectId: string, reason: string): Promise<void> {
    const terms = { session_id: sessionId, subject_table: subjectTable, subject_id: subjectId, reason }
    await answer('report refusal', this.#supabase.rpc('report_refusal', terms))
  }

  async changeMode(sessionId: string, mode: SessionMode): Promise<void> {
    await answer('change mode', this.#supabase.rpc('change_session_mode', { session_id: sessionId, mode }))
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
    return allRows('read epochs', (from, to) => this.#supabase
      .from('session_epochs').select(columns).eq('session_id', sessionId).order('epoch').range(from, to), parseEpoch)
  }

  /** The device's own wraps, by epoch. */
  async wraps(sessionId: string, deviceId: string): Promise<ReadonlyMap<number, string>> {
    const found = await allRows('read wraps', (from, to) => this.#supabase
      .from('epoch_wraps').select('epoch,wrap').eq('session_id', sessionId).eq('device_id', deviceId).order('epoch').range(from, to), (value) => {
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
