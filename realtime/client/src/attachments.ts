/**
 * Files in a session: sealed on this device before they go to Supabase Storage, and opened on the devices that can read the
 * message which names them. Storage holds ciphertext under random ids; the key, the name and the type are in the message alone.
 *
 *     const file = await attach(session, supabase.storage, input.files[0])
 *     await session.send('the letter', { files: [file] })
 *     …
 *     const blob = await openFile(session, supabase.storage, message.files[0])
 */
import type { SupabaseClient } from '@supabase/supabase-js'
import { RequestError } from './failure.ts'
import { openSealedFile, safeName, sealFile } from './file.ts'
import { fields } from './parse.ts'
import type { AttachedFile } from './message.ts'
import type { Session } from './session.ts'

export { MaxFileBytes, openSealedFile, openSize, safeName, safeType, sealFile } from './file.ts'
export type { AttachedFile } from './message.ts'

/** The private bucket; a file's path is `<session>/<id>`. */
export const Bucket = 'sealed'

/** supabase.storage, or what has its two verbs. */
export type Storage = Pick<SupabaseClient['storage'], 'from'>
/** What of a Session attachments need. */
export type FileSession = Pick<Session, 'id' | 'entry'>

function pathOf(sessionId: string, id: string): string {
  return `${sessionId}/${id}`
}

/**
 * Seals a file and stores it; resolves with what `send` is to name. The row of `attachments` comes first, so that an erasure
 * finds every object. Rejects with EnvelopeError 'format' (too large) or RequestError; then send nothing of it, and try again.
 */
export async function attach(session: FileSession, storage: Storage, file: Blob & { readonly name: string }): Promise<AttachedFile> {
  const { device, database } = session.entry
  const sealed = await sealFile(session.id, file)
  const { id, bytes, sha256 } = sealed.file
  await database.insertAttachment({ id, session_id: session.id, device_id: device.kid, bytes, sha256 })
  const { error } = await storage.from(Bucket).upload(pathOf(session.id, id), sealed.body, { contentType: sealed.body.type, upsert: false })
  if (error !== null) throw storageError('store file', error)
  return sealed.file
}

/**
 * Fetches a file that a message of the session names, and opens it. Rejects with EnvelopeError 'body' when it is not what the
 * sender sealed, with RequestError when it cannot be had: 404, it was erased.
 */
export async function openFile(session: FileSession, storage: Storage, file: AttachedFile): Promise<Blob> {
  const { data, error } = await storage.from(Bucket).download(pathOf(session.id, file.id))
  if (error !== null) throw storageError('fetch file', error)
  return openSealedFile(session.id, file, data)
}

/** The name to show and to save it by: a sender's word, made harmless. */
export function fileName(file: AttachedFile): string {
  return safeName(file.name)
}

/** storage-js' errors have a status, and nothing of what was sent. */
function storageError(attempt: string, error: Error): RequestError {
  const row = fields(error, 'error')
  const status = Number(row['status'] ?? row['statusCode'] ?? 0)
  return new RequestError(attempt, '', Number.isFinite(status) ? status : 0, error.message, '', { cause: error })
}
