/**
 * A session on paper: every message as this device reads it, one line of JSON each, sealed with age (age-encryption.org) so that
 * it can be opened without Vigil, in any year, by the person's recovery key or a passphrase. No plaintext touches a disk here.
 */
import type { ChatMessage } from './chat.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, flag, id, json, list, nullable, optionalId, optionalText, text, whole } from './parse.ts'
import type { Session } from './session.ts'

/**
 * To whom an export is sealed: an age recipient, or a passphrase. A recovery key's recipient is what exportRecipient of
 * vigil-client/recovery gives: recovery_keys.age_recipient is not signed, and whoever has the database could name their own.
 */
export type ExportKey = { readonly recipient: string } | { readonly passphrase: string }
/** What opens an export: an age identity, or the passphrase. */
export type ExportSecret = { readonly identity: string } | { readonly passphrase: string }

/** The first line of an export. */
export interface ExportHeader {
  readonly vigil: typeof ExportFormat
  readonly session: string
  /** By this device's clock. */
  readonly exported_at: string
  readonly exported_by: string
  readonly device: string
  readonly messages: number
}

/** Each further line: a message, or its place if this device cannot read it. */
export interface ExportedMessage {
  readonly id: string
  readonly position: number
  /** By the database's clock. */
  readonly at: string
  readonly from: { readonly user: string; readonly device: string; readonly role: string | null }
  /** null: it cannot be read; `marks` says why. */
  readonly text: string | null
  readonly files: readonly { readonly id: string; readonly name: string; readonly type: string; readonly bytes: number }[]
  readonly readers: readonly { readonly user: string | null; readonly device: string; readonly role: string }[]
  /** Whether its signature and its epoch's were verified by this device. */
  readonly verified: boolean
  readonly marks: readonly string[]
}

export const ExportFormat = 'export/1'
/** A passphrase with which an export goes out of one's hands is to withstand guessing. */
export const LeastPassphrase = 12

/** As much of a session as an export needs. */
export type ExportedSession = Pick<Session, 'entry' | 'id' | 'open'>

/**
 * Reads the whole session from the table, opens each message, and seals the lines with age. The Blob is the age file. Keys of
 * attachments stay out of it; files are named. Rejects as 'format' for a recipient that is none or a passphrase that is short.
 */
export async function exportSession(session: ExportedSession, to: ExportKey): Promise<Blob> {
  const encrypter = await encrypterFor(to)
  const { database, device, userId } = session.entry
  const lines: string[] = []
  let position = 0
  for (let page = await database.messagesAfter(session.id, 0); page.length > 0; page = await database.messagesAfter(session.id, position)) {
    for (const row of page) {
      lines.push(JSON.stringify(exported(await session.open(row))))
      position = row.position
    }
  }
  const header: ExportHeader = {
    vigil: ExportFormat, session: session.id, exported_at: new Date().toISOString(), exported_by: userId, device: device.kid, messages: lines.length,
  }
  const sealed = await encrypter.encrypt([JSON.stringify(header), ...lines, ''].join('\n'))
  return new Blob([new Uint8Array(sealed)], { type: 'application/age' })
}

async function encrypterFor(to: ExportKey) {
  const { Encrypter } = await import('age-encryption')
  const encrypter = new Encrypter()
  if ('passphrase' in to) {
    if (to.passphrase.normalize('NFKC').length < LeastPassphrase) {
      throw new EnvelopeError(Refusal.format, `passphrase of fewer than ${LeastPassphrase} characters`)
    }
    encrypter.setPassphrase(to.passphrase)
    return encrypter
  }
  try {
    encrypter.addRecipient(to.recipient)
  } catch (cause) {
    throw new EnvelopeError(Refusal.format, 'no age recipient', { cause })
  }
  return encrypter
}

function exported(message: ChatMessage): ExportedMessage {
  const { id, position, from, readers, badges, files } = message
  return {
    id, position, at: message.at.toISOString(),
    from: { user: from.userId, device: from.deviceId, role: from.role },
    text: message.text,
    files: files.map(({ id, name, type, bytes }) => ({ id, name, type, bytes })),
    readers: readers.map((reader) => ({ user: reader.userId, device: reader.deviceId, role: reader.role })),
    verified: message.text !== null,
    marks: badges.map((badge) => (badge.kind === 'unreadable' ? `unreadable: ${badge.refusal}` : badge.kind)),
  }
}

/** Opens an export and reads it. Rejects as 'wrap' when the secret does not open it, as 'format' when it holds no export. */
export async function openExport(file: Blob, by: ExportSecret): Promise<{ header: ExportHeader; messages: readonly ExportedMessage[] }> {
  const { Decrypter } = await import('age-encryption')
  const decrypter = new Decrypter()
  let plain: string
  try {
    if ('passphrase' in by) decrypter.addPassphrase(by.passphrase)
    else decrypter.addIdentity(by.identity)
    plain = await decrypter.decrypt(new Uint8Array(await file.arrayBuffer()), 'text')
  } catch {
    throw new EnvelopeError(Refusal.wrap, 'the export does not open') // the cause may quote a secret
  }
  const [first = '', ...rest] = plain.split('\n')
  const header = parseHeader(json(first, 'header'))
  const messages = rest.filter((line) => line !== '').map((line) => parseExported(json(line, 'message')))
  if (messages.length !== header.messages) throw new EnvelopeError(Refusal.format, `export of ${messages.length} messages, not ${header.messages}`)
  return { header, messages }
}

function parseHeader(value: unknown): ExportHeader {
  const row = fields(value, 'header')
  if (row['vigil'] !== ExportFormat) throw new EnvelopeError(Refusal.format, 'export of another format')
  return {
    vigil: ExportFormat, session: id(row, 'session'), exported_at: text(row, 'exported_at'), exported_by: id(row, 'exported_by'),
    device: id(row, 'device'), messages: whole(row, 'messages'),
  }
}

function parseExported(value: unknown): ExportedMessage {
  const row = fields(value, 'message')
  const from = fields(row['from'], 'from')
  return {
    id: id(row, 'id'), position: whole(row, 'position'), at: text(row, 'at'),
    from: { user: id(from, 'user'), device: id(from, 'device'), role: optionalText(from, 'role') },
    text: nullable(row, 'text', text),
    files: list(row['files'], 'files').map((value) => {
      const file = fields(value, 'file')
      return { id: id(file, 'id'), name: text(file, 'name'), type: text(file, 'type'), bytes: whole(file, 'bytes') }
    }),
    readers: list(row['readers'], 'readers').map((value) => {
      const reader = fields(value, 'reader')
      return { user: optionalId(reader, 'user'), device: id(reader, 'device'), role: text(reader, 'role') }
    }),
    verified: flag(row, 'verified'),
    marks: list(row['marks'], 'marks').map((mark) => text({ mark }, 'mark')),
  }
}
