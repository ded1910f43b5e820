/** What a session seldom asks of the database, behind the methods of Database of the same names. Loaded with the first of them. */
import { PageRows, ReaderColumns, allRows, answer, rows } from './answer.ts'
import type { ConsentTerms } from './consent.ts'
import type { Supabase } from './database.ts'
import { whole } from './parse.ts'
import {
  parseDeviceSignature, parseReader, parseSuggestion, parseSuggestionSeal,
  type AttachmentInsert, type DeviceSignatureRow, type EpochShare, type Formers, type ReaderRow, type RecoveryKeyRow, type ScoreInsert, type ScoreRow, type SessionMode,
  type SuggestionDecision, type SuggestionRow, type SuggestionSealRow,
} from './rows.ts'
import { parseFormerWrap, parseRecoveryKey, parseScore } from './seldom-rows.ts'

export async function insertDevice(supabase: Supabase, row: { id: string; user_id: string; enc_pub: string; sig_pub: string; label: string | null }): Promise<void> {
  await answer('register device', supabase.from('devices').insert({ ...row, kind: 'participant' }))
}

/** Names or revokes a device of one's own. */
export async function updateDevice(supabase: Supabase, id: string, change: { readonly label: string } | { readonly revoked_at: string }): Promise<void> {
  await answer('change device', supabase.from('devices').update(change).eq('id', id))
}

/** Writes into the audit log that something was refused here; once for each thing and reason. */
export async function reportRefusal(supabase: Supabase, sessionId: string, subjectTable: string, subjectId: string, reason: string): Promise<void> {
  const terms = { session_id: sessionId, subject_table: subjectTable, subject_id: subjectId, reason }
  await answer('report refusal', supabase.rpc('report_refusal', terms))
}

export async function changeMode(supabase: Supabase, sessionId: string, mode: SessionMode): Promise<void> {
  await answer('change mode', supabase.rpc('change_session_mode', { session_id: sessionId, mode }))
}

export async function insertConsent(supabase: Supabase, row: ConsentTerms & { readonly signature: string }): Promise<void> {
  const { id, session_id, device_id, scope, text_hash, signature } = row
  const values = { id, session_id, device_id, scope: [...scope], text_hash, signature }
  await answer('give consent', supabase.from('session_consents').insert(values))
}

export async function withdrawConsent(supabase: Supabase, consentId: string, signature: string): Promise<void> {
  await answer('withdraw consent', supabase.rpc('withdraw_consent', { consent_id: consentId, signature }))
}

/** Whether the sidecar has refused what vouches for a device. */
export async function refusedSignatures(supabase: Supabase, deviceId: string): Promise<number> {
  const request = supabase
    .from('device_signatures').select('id,device_id,user_id,by_device_id,signature,created_at,refused_at')
    .eq('device_id', deviceId).not('refused_at', 'is', null)
  return (await rows('read refused signatures', request, parseDeviceSignature)).length
}

/** Asks the sidecar to admit a device for which another one vouches. */
export async function admitRequest(supabase: Supabase, row: Pick<DeviceSignatureRow, 'device_id' | 'user_id' | 'by_device_id' | 'signature'>): Promise<void> {
  const { device_id, user_id, by_device_id, signature } = row
  await answer('vouch for device', supabase.from('device_signatures').insert({ device_id, user_id, by_device_id, signature }))
}

/** Revokes every other device of the caller's, and the recovery key, and admits this one. */
export async function resetDevices(supabase: Supabase, deviceId: string): Promise<void> {
  await answer('reset devices', supabase.rpc('reset_devices', { device_id: deviceId }))
}

/** Which epochs a person's devices were given beside the rosters, as far as it lasts. */
export function ownReaders(supabase: Supabase, userId: string): Promise<readonly ReaderRow[]> {
  return allRows('read own readers', (from, to) => supabase
    .from('epoch_readers').select(ReaderColumns).eq('user_id', userId).is('ended_at', null)
    .order('session_id').order('epoch').order('device_id').range(from, to), parseReader)
}

/** What the wraps of the caller's devices were before they were replaced; and what puts some back in the place of a device's: how many. */
export async function formers(supabase: Supabase): Promise<Formers> {
  const found = await allRows('read former wraps', (from, to) => supabase
    .from('former_wraps').select('session_id,epoch,device_id,by_device_id,signature,wrap,given_at')
    .order('session_id').order('epoch').order('device_id').order('signature').range(from, to), parseFormerWrap)
  return {
    rows: found,
    restore: async (deviceId, some) => {
      const terms = { device_id: deviceId, formers: some.map(({ session_id, epoch, signature }) => ({ session_id, epoch, signature })) }
      return whole({ restored: await answer('restore epochs', supabase.rpc('restore_epochs', terms)) }, 'restored')
    },
  }
}

/** Gives a device of the caller's the keys of epochs that another one of theirs holds; how many were new to it. */
export async function shareEpochs(supabase: Supabase, deviceId: string, byDeviceId: string, shares: readonly EpochShare[]): Promise<number> {
  const terms = { device_id: deviceId, by_device_id: byDeviceId, shares: [...shares] }
  return whole({ shared: await answer('share epochs', supabase.rpc('share_epochs', terms)) }, 'shared')
}

/** The caller's sealed recovery keys, newest first; none for anybody else. */
export function recoveryKeys(supabase: Supabase): Promise<readonly RecoveryKeyRow[]> {
  const columns = 'version,device_id,memory_kib,passes,lanes,salt,wrapped,age_recipient'
  const request = supabase.from('recovery_keys').select(columns).order('version', { ascending: false })
  return rows('read recovery keys', request, parseRecoveryKey)
}

export async function setRecovery(
  supabase: Supabase,
  device: { readonly id: string; readonly enc_pub: string; readonly sig_pub: string },
  signature: { readonly by_device_id: string; readonly signature: string },
  key: Omit<RecoveryKeyRow, 'device_id'>,
): Promise<void> {
  await answer('set recovery', supabase.rpc('set_recovery', { device, signature, key }))
}

export async function rewrapRecovery(supabase: Supabase, key: Omit<RecoveryKeyRow, 'device_id'>): Promise<void> {
  await answer('change passphrase', supabase.rpc('rewrap_recovery', { key }))
}

export async function removeRecovery(supabase: Supabase): Promise<void> {
  await answer('remove recovery', supabase.rpc('remove_recovery'))
}

export async function insertScore(supabase: Supabase, row: ScoreInsert): Promise<void> {
  await answer('send score', supabase.from('message_scores').insert({ ...row }))
}

/** Scores of messages after a position, in order, at most PageRows; clinicians only. */
export function scores(supabase: Supabase, sessionId: string, after: number): Promise<readonly ScoreRow[]> {
  const columns = 'session_id,message_id,organization_id,user_id,device_id,epoch,position,side,after_position,level,harm_others,abuse,'
    + 'distress,alert,escalate,hard,items,scores,rules,model_version,ruleset_version,signature,disagrees,created_at'
  const request = supabase
    .from('message_scores').select(columns).eq('session_id', sessionId).gt('position', after).order('position').order('side').limit(PageRows)
  return rows('read scores', request, parseScore)
}

export async function insertAttachment(supabase: Supabase, row: AttachmentInsert): Promise<void> {
  await answer('name attachment', supabase.from('attachments').insert({ ...row }))
}

/** All suggestions of a session, as they came; none for a client. */
export function suggestions(supabase: Supabase, sessionId: string): Promise<readonly SuggestionRow[]> {
  const columns =
    'id,session_id,message_id,requested_by,status,reason,source,move,bank_version,model,sent_message_id,decided_by,decided_at,version,created_at'
  const request = supabase
    .from('suggestions').select(columns).eq('session_id', sessionId).order('created_at', { ascending: true })
  return rows('read suggestions', request, parseSuggestion)
}

/** The texts of a session's suggestions that are sealed to this device. */
export function suggestionSeals(supabase: Supabase, sessionId: string, deviceId: string): Promise<readonly SuggestionSealRow[]> {
  const columns = 'suggestion_id,device_id,user_id,session_id,message_id,sealed,signature'
  const request = supabase
    .from('suggestion_seals').select(columns).eq('session_id', sessionId).eq('device_id', deviceId)
  return rows('read suggestion seals', request, parseSuggestionSeal)
}

/** Asks for a suggestion on the client's last message: the one that is open already, or a new one, requested. */
export async function requestSuggestion(supabase: Supabase, sessionId: string): Promise<SuggestionRow> {
  return parseSuggestion(await answer('request suggestion', supabase.rpc('request_suggestion', { session_id: sessionId })))
}

/** Says what became of an offered suggestion, at the version that was seen; accepted and edited name the message that was sent. */
export async function decideSuggestion(
  supabase: Supabase,
  suggestionId: string, decision: SuggestionDecision, version: number, sentMessageId: string | null = null,
): Promise<SuggestionRow> {
  const terms = { suggestion_id: suggestionId, decision, version, sent_message_id: sentMessageId }
  return parseSuggestion(await answer('decide suggestion', supabase.rpc('decide_suggestion', terms)))
}
