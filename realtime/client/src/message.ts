import {
  HashBytes, KeyBytes, NonceBytes, SignatureBytes, TagBytes,
  concat, decodeSized, decodeText, encodeText, equal, label, sha256, uint32, utf8, uuidBytes, type Bytes,
} from './bytes.ts'
import { sign, verify, type Device } from './device.ts'
import { messageKey, type Epoch } from './epoch.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, id, json, list, text, whole, type Fields } from './parse.ts'
import { participant } from './roster.ts'
import type { SealedMessage } from './rows.ts'

const Version = 1
const SealedAt = 1 + SignatureBytes
/** What a body has over its plaintext. */
export const BodyOverhead = SealedAt + NonceBytes + TagBytes
/** The largest body: 65,536 characters in SQL. */
export const MaxBodyBytes = 48 * 1024
const MaxBodyCharacters = Math.floor((MaxBodyBytes * 4 + 2) / 3)

type Place = Omit<SealedMessage, 'body'>

function additionalData(m: Place): Bytes {
  return concat(
    label('pe1/aad'), uuidBytes(m.session_id), uuidBytes(m.id), uuidBytes(m.sender_device_id), uint32(m.epoch), uint32(m.seq),
  )
}

function signed(aad: Bytes, sealed: Bytes): Bytes {
  return concat(label('pe1/sig'), aad, sealed)
}

/** Seals a plaintext as the device's message of that id and seq. */
export async function sealMessage(
  device: Device,
  epoch: Epoch,
  place: { readonly id: string; readonly seq: number },
  plaintext: Bytes,
): Promise<SealedMessage> {
  if (plaintext.length > MaxBodyBytes - BodyOverhead) {
    throw new EnvelopeError(Refusal.format, `message of ${plaintext.length} bytes is too long`)
  }
  participant(epoch.roster, device.kid)
  const m = { ...place, session_id: epoch.sessionId, sender_device_id: device.kid, epoch: epoch.number }
  const aad = additionalData(m)
  const nonce = crypto.getRandomValues(new Uint8Array(NonceBytes))
  const key = await messageKey(epoch, device.kid)
  const ciphertext = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce, additionalData: aad }, key, plaintext)
  const sealed = concat(nonce, new Uint8Array(ciphertext))
  const signature = await sign(device, signed(aad, sealed))
  return { ...m, body: encodeText(concat(Uint8Array.of(Version), signature, sealed)) }
}

function parseBody(body: string): { readonly signature: Bytes; readonly sealed: Bytes } {
  if (body.length > MaxBodyCharacters) throw new EnvelopeError(Refusal.format, `body of ${body.length} characters`)
  const bytes = decodeText(body)
  if (bytes.length < BodyOverhead) throw new EnvelopeError(Refusal.format, `body of ${bytes.length} bytes`)
  if (bytes[0] !== Version) throw new EnvelopeError(Refusal.suite, 'body of another version')
  return { signature: bytes.slice(1, SealedAt), sealed: bytes.slice(SealedAt) }
}

/** Verifies and opens a message of the epoch. */
export async function openMessage(epoch: Epoch, m: SealedMessage): Promise<Bytes> {
  if (m.session_id !== epoch.sessionId || m.epoch !== epoch.number) {
    throw new EnvelopeError(Refusal.epoch, `message ${m.id} is of another epoch`)
  }
  const sender = participant(epoch.roster, m.sender_device_id)
  const { signature, sealed } = parseBody(m.body)
  const aad = additionalData(m)
  if (!(await verify(sender.sigKey, signed(aad, sealed), signature))) {
    throw new EnvelopeError(Refusal.signature, `signature of message ${m.id} does not verify`)
  }
  try {
    const iv = sealed.subarray(0, NonceBytes)
    const key = await messageKey(epoch, m.sender_device_id)
    const params = { name: 'AES-GCM', iv, additionalData: aad }
    return new Uint8Array(await crypto.subtle.decrypt(params, key, sealed.subarray(NonceBytes)))
  } catch (cause) {
    throw new EnvelopeError(Refusal.body, `message ${m.id} does not open`, { cause })
  }
}

/** A file that was sealed and stored apart; its key travels in the message alone. */
export interface AttachedFile {
  readonly id: string
  /** 32 bytes, base64url. */
  readonly key: string
  readonly name: string
  readonly type: string
  /** Of the sealed body. */
  readonly bytes: number
  /** Of the sealed body, base64url. */
  readonly sha256: string
}

/** A row that the sender had verified: its position, and what it was. */
export type Seen = readonly [position: number, hash: string]

const MaxFiles = 10
const MaxSeen = 8
const SeenBytes = 8

/** The plaintext of a message: {"t":"text","body":"…","ts":unix seconds by the sender's clock,"seen"?:[…],"files"?:[…]}. */
export interface Content {
  readonly kind: string
  readonly body: string
  /** As the sender says: never order or decide by it. */
  readonly at: Date
  readonly files: readonly AttachedFile[]
  readonly seen: readonly Seen[]
}

/** What goes into a message beside its text. */
export interface ContentExtras {
  readonly files?: readonly AttachedFile[]
  readonly seen?: readonly Seen[]
}

const MostSeconds = 8.64e12 // what a Date holds
const MaxDepth = 8
const Halved = /\p{Cs}/gu // half of a surrogate pair
const contentKey = /^[a-z][a-z0-9_]*$/
const jsonToken = /"((?:[^"\\]+|\\.)*)"(\s*:)?|[[\]{}]/g

export function textContent(body: string, at: Date, { files = [], seen = [] }: ContentExtras = {}): Bytes {
  const extras = { ...(seen.length > 0 && { seen }), ...(files.length > 0 && { files }) }
  const mended = body.replace(Halved, '\ufffd') // what is cut in half is refused by whoever reads it
  return utf8(JSON.stringify({ t: 'text', body: mended, ts: Math.floor(at.getTime() / 1000), ...extras }))
}

/** Reads a plaintext as the sidecar does (Go's ParseContent, over the same vectors), or refuses it: nobody is shown a text that it reads otherwise. */
export function parseContent(plaintext: Bytes): Content {
  const source = new TextDecoder('utf-8', { ignoreBOM: true }).decode(plaintext)
  const row = fields(json(source, 'content'), 'content')
  const [kind, body, seconds] = [text(row, 't'), text(row, 'body'), whole(row, 'ts')]
  if (!isPlain(source) || !equal(utf8(source), plaintext) || kind === '' || `${kind} ${body}`.search(Halved) >= 0 || Math.abs(seconds) > MostSeconds) {
    throw new EnvelopeError(Refusal.format, 'content without a kind, or that can be read in two ways')
  }
  const at = new Date(seconds * 1000)
  return { kind, body, at, files: some(row, 'files', MaxFiles, parseFile), seen: some(row, 'seen', MaxSeen, parseSeen) }
}

/** Whether JSON is not deep, and has no key of the outermost object twice or in other letters: who takes `Body` for `body` reads the same. */
function isPlain(source: string): boolean {
  const keys = new Set<string>()
  let depth = 0
  for (const [token, quoted, colon] of source.matchAll(jsonToken)) {
    if (quoted === undefined) depth += '[{'.includes(token) ? 1 : -1
    else if (colon !== undefined && depth === 1) {
      if (keys.has(quoted) || !contentKey.test(quoted)) return false
      keys.add(quoted)
    }
    if (depth > MaxDepth) return false
  }
  return true
}

/** A list that may be absent, and is not longer than agreed. */
function some<T>(row: Fields, name: string, most: number, parse: (value: unknown) => T): readonly T[] {
  if (row[name] === undefined) return []
  const found = list(row[name], name)
  if (found.length > most) throw new EnvelopeError(Refusal.format, `${name} of ${found.length} members`)
  return found.map(parse)
}

/** Reads one member of `files`; its key and hash are 32 bytes, its name holds no path. */
export function parseFile(value: unknown): AttachedFile {
  const row = fields(value, 'file')
  const file = {
    id: id(row, 'id'), key: text(row, 'key'), name: text(row, 'name'), type: text(row, 'type'), bytes: whole(row, 'bytes'),
    sha256: text(row, 'sha256'),
  }
  decodeSized('key', file.key, KeyBytes)
  decodeSized('sha256', file.sha256, HashBytes)
  if (file.bytes < 0 || /[/\\\0]/.test(file.name)) throw new EnvelopeError(Refusal.format, 'file of an impossible name or size')
  return file
}

function parseSeen(value: unknown): Seen {
  const [position, hash] = list(value, 'seen')
  const row = { position, hash }
  decodeSized('hash', text(row, 'hash'), SeenBytes)
  return [whole(row, 'position'), text(row, 'hash')]
}

/** What `seen` says of a row: the first 8 bytes of SHA-256 over its id and its sealed body. */
export async function rowHash(m: Pick<SealedMessage, 'id' | 'body'>): Promise<string> {
  return encodeText((await sha256(concat(uuidBytes(m.id), decodeText(m.body)))).subarray(0, SeenBytes))
}
