import type { SupabaseClient } from '@supabase/supabase-js'
import { PageRows, ReaderColumns, allRows, answer, notLoaded, rows } from './answer.ts'
import type { NewEpoch } from './epoch.ts'
import { fields, text, whole } from './parse.ts'
import {
  parseConsent, parseDevice, parseDeviceSignature, parseEpoch, parseHeld, parseMessage, parseParticipant, parseReader,
  parseSealed, parseSession,
  type ConsentRow, type DeviceRow, type DeviceSignatureRow, type EpochRow, type HeldEpoch, type MessageRow, type ParticipantRow,
  type ReaderRow, type SealedMessage, type SessionRow,
} from './rows.ts'

/** What the session needs of supabase-js. */
export type Supabase = Pick<SupabaseClient, 'from' | 'rpc' | 'auth' | 'realtime'>

const DeviceColumns =
  'id,user_id,kind,enc_pub,sig_pub,label,created_at,revoked_at,admitted_at,admission,admitted_by,retired_at'

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

  /** Who vouches for whom among these people's devices, and the sidecar's; refused ones are left out. */
  signatures(userIds: readonly string[]): Promise<readonly DeviceSignatureRow[]> {
    const request = this.#supabase
      .from('device_signatures').select('id,device_id,user_id,by_device_id,signature,created_at,refused_at')
      .or(`user_id.is.null,user_id.in.(${userIds.join()})`).is('refused_at', null)
    return rows('read device signatures', request, parseDeviceSignature)
  }

  /** Who holds epochs' keys beside their rosters. */
  readers(sessionId: string): Promise<readonly ReaderRow[]> {
    return allRows('read readers', (from, to) => this.#supabase
      .from('epoch_readers').select(ReaderColumns).eq('session_id', sessionId).order('epoch').order('device_id').range(from, to), parseReader)
  }

  /** Which of the caller's devices, revoked ones too, hold which epochs; newest first. */
  heldEpochs(): Promise<readonly HeldEpoch[]> {
    return allRows('read held epochs', (from, to) => this.#supabase
      .from('epoch_wraps').select('session_id,epoch,device_id,wrap')
      .order('created_at', { ascending: false }).order('session_id').order('epoch', { ascending: false }).order('device_id')
      .range(from, to), parseHeld)
  }

  consents(sessionId: string): Promise<readonly ConsentRow[]> {
    const columns = 'id,session_id,device_id,scope,text_hash,signature,withdrawn_at,withdrawal_signature'
    const request = this.#supabase
      .from('session_consents').select(columns).eq('session_id', sessionId).order('given_at', { ascending: true })
    return rows('read consents', request, parseConsent)
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

  // What a chat page seldom asks, and each answers as the function of its name in seldom.ts, which is loaded with the first.
  readonly insertDevice = this.#late((seldom) => seldom.insertDevice)
  readonly updateDevice = this.#late((seldom) => seldom.updateDevice)
  readonly reportRefusal = this.#late((seldom) => seldom.reportRefusal)
  readonly changeMode = this.#late((seldom) => seldom.changeMode)
  readonly insertConsent = this.#late((seldom) => seldom.insertConsent)
  readonly withdrawConsent = this.#late((seldom) => seldom.withdrawConsent)
  readonly refusedSignatures = this.#late((seldom) => seldom.refusedSignatures)
  readonly admitRequest = this.#late((seldom) => seldom.admitRequest)
  readonly resetDevices = this.#late((seldom) => seldom.resetDevices)
  readonly ownReaders = this.#late((seldom) => seldom.ownReaders)
  readonly formers = this.#late((seldom) => seldom.formers)
  readonly shareEpochs = this.#late((seldom) => seldom.shareEpochs)
  readonly recoveryKeys = this.#late((seldom) => seldom.recoveryKeys)
  readonly setRecovery = this.#late((seldom) => seldom.setRecovery)
  readonly rewrapRecovery = this.#late((seldom) => seldom.rewrapRecovery)
  readonly removeRecovery = this.#late((seldom) => seldom.removeRecovery)
  readonly insertScore = this.#late((seldom) => seldom.insertScore)
  readonly scores = this.#late((seldom) => seldom.scores)
  readonly insertAttachment = this.#late((seldom) => seldom.insertAttachment)
  readonly suggestions = this.#late((seldom) => seldom.suggestions)
  readonly suggestionSeals = this.#late((seldom) => seldom.suggestionSeals)
  readonly requestSuggestion = this.#late((seldom) => seldom.requestSuggestion)
  readonly decideSuggestion = this.#late((seldom) => seldom.decideSuggestion)

  #late<Terms extends unknown[], T>(
    pick: (seldom: typeof import('./seldom.ts')) => (supabase: Supabase, ...terms: Terms) => Promise<T>,
  ): (...terms: Terms) => Promise<T> {
    return async (...terms) => pick(await import('./seldom.ts').catch(notLoaded))(this.#supabase, ...terms)
  }
}
