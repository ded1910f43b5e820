import type { AttachedFile } from 'vigil-client'
import type { Supabase } from '../api/rest.ts'
import type { OpenSession } from './session-store.ts'

/** vigil-client's part for files, loaded when one is attached or opened. */
async function attachments(): Promise<typeof import('vigil-client/attachments')> {
  return import('vigil-client/attachments')
}

/** Seals a file on this device and stores it; what comes back is sealed with the message that names it. */
export async function storeFile(session: OpenSession, supabase: Supabase, file: File): Promise<AttachedFile> {
  return (await attachments()).attach(session, supabase.storage, file)
}

/** Fetches a file, opens it on this device, and hands it to the browser to save. */
export async function saveFile(session: OpenSession, supabase: Supabase, file: AttachedFile): Promise<void> {
  save(await (await attachments()).openFile(session, supabase.storage, file), file.name)
}

/** How long a browser may take to begin saving before its address is taken back. */
const SavingMs = 60_000

/** Always saved, never shown in the page: what somebody sends is no page of ours. */
export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => { URL.revokeObjectURL(address) }, SavingMs)
}
