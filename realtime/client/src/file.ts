/**
 * The bytes of an attachment: chunk after chunk of AES-256-GCM, each bound to its place, its file and its session, the last one
 * marked, so that nothing can be cut off, put in another order or taken from another file.
 *
 *   key   = HKDF-SHA256(fileKey32, salt = attachment16, info = "pe1/file" ‖ 0)
 *   chunk = AES-256-GCM(key, nonce = 0×7 ‖ i4 ‖ last1, aad = "pe1/file" ‖ 0 ‖ session16 ‖ attachment16) of 65,536 bytes; the last has the rest
 */
import { KeyBytes, TagBytes, concat, decodeSized, encodeText, label, sha256, uint32, uuidBytes, type Bytes } from './bytes.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import type { AttachedFile } from './message.ts'

const ChunkBytes = 1 << 16
const SealedChunkBytes = ChunkBytes + TagBytes
/** The largest sealed body that the database and the bucket take. */
export const MaxSealedBytes = 25_000_000
/** The largest file. */
export const MaxFileBytes = MaxSealedBytes - Math.ceil(MaxSealedBytes / SealedChunkBytes) * TagBytes
export const MaxNameCharacters = 120
const OpaqueType = 'application/octet-stream'

/** Types that a browser shows without running anything of them. */
const inertTypes: ReadonlySet<string> = new Set([
  'image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif', 'audio/mpeg', 'audio/mp4', 'audio/ogg', 'audio/wav', 'audio/webm',
  'video/mp4', 'video/webm', 'video/ogg', 'application/pdf', 'text/plain',
])

interface FilePlace {
  readonly sessionId: string
  readonly id: string
}

function sealedSize(bytes: number): number {
  return bytes + Math.max(1, Math.ceil(bytes / ChunkBytes)) * TagBytes
}

/** How large a sealed file is when it is open. */
export function openSize(sealed: number): number {
  return sealed - Math.max(1, Math.ceil(sealed / SealedChunkBytes)) * TagBytes
}

async function chunkKey(fileKey: Bytes, place: FilePlace): Promise<CryptoKey> {
  const ikm = await crypto.subtle.importKey('raw', fileKey, 'HKDF', false, ['deriveKey'])
  const params = { name: 'HKDF', hash: 'SHA-256', salt: uuidBytes(place.id), info: label('pe1/file') }
  return crypto.subtle.deriveKey(params, ikm, { name: 'AES-GCM', length: KeyBytes * 8 }, false, ['encrypt', 'decrypt'])
}

function chunkParams(place: FilePlace, index: number, last: boolean): AesGcmParams {
  return {
    name: 'AES-GCM',
    iv: concat(new Uint8Array(7), uint32(index), Uint8Array.of(last ? 1 : 0)),
    additionalData: concat(label('pe1/file'), uuidBytes(place.sessionId), uuidBytes(place.id)),
  }
}

/**
 * Seals a file for a session: its body, to be stored under its id, and what goes into the message that names it, the key among
 * it. Refuses as 'format' one of more than MaxFileBytes.
 */
export async function sealFile(sessionId: string, file: Blob & { readonly name?: string }): Promise<{ body: Blob; file: AttachedFile }> {
  if (file.size > MaxFileBytes) throw new EnvelopeError(Refusal.format, `file of ${file.size} bytes, more than ${MaxFileBytes}`)
  const place = { sessionId, id: crypto.randomUUID() }
  const fileKey = crypto.getRandomValues(new Uint8Array(KeyBytes))
  const key = await chunkKey(fileKey, place)
  const sealed = new Uint8Array(sealedSize(file.size))
  for (let i = 0, at = 0; at < sealed.length; i++, at += SealedChunkBytes) {
    const last = at + SealedChunkBytes >= sealed.length
    const chunk = await file.slice(i * ChunkBytes, (i + 1) * ChunkBytes).arrayBuffer()
    sealed.set(new Uint8Array(await crypto.subtle.encrypt(chunkParams(place, i, last), key, chunk)), at)
  }
  const attached = {
    id: place.id, key: encodeText(fileKey), name: safeName(file.name ?? ''), type: safeType(file.type), bytes: sealed.length,
    sha256: encodeText(await sha256(sealed)),
  }
  fileKey.fill(0)
  return { body: new Blob([sealed], { type: OpaqueType }), file: attached }
}

/**
 * Opens a sealed body that was fetched for a file of a session. Refuses as 'body' what is not, byte for byte, what its sender
 * sealed. The Blob's type is an inert one, whatever the sender called it.
 */
export async function openSealedFile(sessionId: string, file: AttachedFile, body: Blob): Promise<Blob> {
  if (body.size !== file.bytes || body.size < TagBytes || body.size > MaxSealedBytes) {
    throw new EnvelopeError(Refusal.body, `sealed file of ${body.size} bytes instead of ${file.bytes}`)
  }
  const place = { sessionId, id: file.id }
  const sealed = new Uint8Array(await body.arrayBuffer())
  if (encodeText(await sha256(sealed)) !== file.sha256) throw new EnvelopeError(Refusal.body, `file ${file.id} is another's body`)
  const fileKey = decodeSized('key', file.key, KeyBytes)
  const key = await chunkKey(fileKey, place)
  fileKey.fill(0)
  const chunks: ArrayBuffer[] = []
  for (let i = 0, at = 0; at < sealed.length; i++, at += SealedChunkBytes) {
    const chunk = sealed.subarray(at, at + SealedChunkBytes)
    if (i > 0 && chunk.length <= TagBytes) throw new EnvelopeError(Refusal.body, `file ${file.id} ends in an empty chunk`)
    try {
      chunks.push(await crypto.subtle.decrypt(chunkParams(place, i, at + SealedChunkBytes >= sealed.length), key, chunk))
    } catch (cause) {
      throw new EnvelopeError(Refusal.body, `file ${file.id} does not open`, { cause })
    }
  }
  return new Blob(chunks, { type: safeType(file.type) })
}

/** The type if a browser can show it without running it, else that of mere bytes: a page of HTML would run as the app's own. */
export function safeType(type: string): string {
  const bare = type.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  return inertTypes.has(bare) ? bare : OpaqueType
}

/** A file's name without a path, control characters, or marks that turn the direction of writing and so hide an ending. */
export function safeName(name: string): string {
  const bare = name.split(/[/\\]/).at(-1) ?? ''
  const clean = bare.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '').trim()
  const letters = Array.from(clean)
  if (letters.length <= MaxNameCharacters) return clean === '' || /^\.+$/.test(clean) ? 'file' : clean
  const ending = /\.[A-Za-z0-9]{1,10}$/.exec(clean)?.[0] ?? ''
  return letters.slice(0, MaxNameCharacters - ending.length).join('') + ending
}
