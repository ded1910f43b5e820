import { fields, number, text } from './parse.ts'
import { byIds, rows, type Supabase } from './rest.ts'
import type { Alert } from './rows.ts'

/** How long the sidecar may take to share a message's key with whom an alert paged. */
export const SharingMs = 60_000

export const Sharing = { shared: 'shared', underway: 'underway', failed: 'failed', refused: 'refused' } as const
/** Whether somebody can read the message of an alert: `refused` by the client, who did not agree to it. */
export type Sharing = (typeof Sharing)[keyof typeof Sharing]

/** What holds now is in epoch_readers; `textShared` says only what was agreed to when the alert was raised. */
export function sharingOf(alert: Alert, readers: ReadonlySet<string> | undefined, userId: string, now: Date): Sharing {
  if (readers?.has(userId) === true) return Sharing.shared
  if (!alert.textShared) return Sharing.refused
  return now.getTime() - alert.raisedAt.getTime() < SharingMs ? Sharing.underway : Sharing.failed
}

/** Who was given, on account of a page, the key of each alert's message and has it still: user ids by alert id. */
export async function readSharing(supabase: Supabase, alerts: readonly Alert[]): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const asked = alerts.filter((one) => one.textShared)
  const [messages, readers] = await Promise.all([
    byIds(asked.map((one) => one.messageId), (some) => rows('read which key an alert is of', supabase.from('messages').select('id,epoch').in('id', some), (value) => {
      const row = fields(value, 'message')
      return { id: text(row, 'id'), epoch: number(row, 'epoch') }
    })),
    byIds(asked.map((one) => one.sessionId), (some) => rows('read who else holds a key', supabase.from('epoch_readers').select('session_id,epoch,user_id').in('session_id', some).is('ended_at', null), (value) => {
      const row = fields(value, 'epoch reader')
      return { sessionId: text(row, 'session_id'), epoch: number(row, 'epoch'), userId: text(row, 'user_id') }
    })),
  ])
  return new Map(asked.map((alert) => {
    const epoch = messages.find((one) => one.id === alert.messageId)?.epoch
    return [alert.id, new Set(readers.filter((one) => one.sessionId === alert.sessionId && one.epoch === epoch).map((one) => one.userId))]
  }))
}
