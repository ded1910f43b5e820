import type { Device, KeyPair } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, flag, id, oneOf, text, texts, whole, type Fields } from './parse.ts'
import { ParticipantRole, SessionMode, parseSealed, type SealedMessage } from './rows.ts'

/** What is remembered of a device that was seen: whose it is, and one hash over both its keys. */
export interface Pin {
  readonly kid: string
  /** A user id, or 'analysis' for the sidecar's. */
  readonly owner: string
  readonly fingerprint: string
  /** False while a person has yet to acknowledge a device that appeared later. */
  readonly trusted: boolean
}

/** A message of this device that is not stored yet. No text: both forms of it are sealed. */
export interface QueuedMessage {
  readonly id: string
  readonly session_id: string
  /** The text, sealed to this very device (HPKE, `pe1/queue`): whatever epoch it will go under, it can be sealed for it. */
  readonly draft: string
  /** The row as it was last tried, null if it was not yet: a retry sends exactly this. */
  readonly row: SealedMessage | null
}

/** What is pinned of a session: it may not change unnoticed, nor go back. */
export interface SessionPin {
  /** The mode that the person knows of. */
  readonly mode: SessionMode
  /** The highest suite and number of an epoch that was verified. */
  readonly suite: number
  readonly epoch: number
  /** The highest min_epoch met. */
  readonly minEpoch: number
  /** The consents that were ever read as withdrawn: no later word of the database brings one back. */
  readonly withdrawn: readonly string[]
  /** Who takes part, and as what, as the person knows of it: nobody joins a conversation, or becomes its client, unasked. */
  readonly people: Readonly<Record<string, ParticipantRole>>
}

/**
 * Where a device's keys, its pins and its queue are kept. `account` names the project and the signed-in user, so that two people
 * on one browser have two devices. No text is ever stored.
 */
export interface Store {
  device(account: string): Promise<Device | undefined>
  /** Keeps the device unless the account has one already; returns the one that is kept. */
  keepDevice(account: string, device: Device): Promise<Device>
  /** Drops the device, and with it the queue that only it can open. */
  dropDevice(account: string): Promise<void>
  pins(account: string): Promise<readonly Pin[]>
  keepPin(account: string, pin: Pin): Promise<void>
  /** The messages of a session, or of all, that are not stored yet, in the order in which each was first kept, by whichever tab. */
  queue(account: string, sessionId?: string): Promise<readonly QueuedMessage[]>
  /** Keeps a message at the queue's end, or in its old place if its id is there. */
  keepQueued(account: string, m: QueuedMessage): Promise<void>
  /** Drops a message; reports whether it was there. */
  dropQueued(account: string, id: string): Promise<boolean>
  sessionPin(account: string, sessionId: string): Promise<SessionPin | undefined>
  /** Changes what is pinned of a session, in one step over all tabs; resolves with what is kept then. */
  changeSessionPin(account: string, sessionId: string, change: (kept: SessionPin | undefined) => SessionPin): Promise<SessionPin>
}

/** Reads a device that was kept; undefined if none was. */
export function parseKeptDevice(value: unknown): Device | undefined {
  if (value === undefined) return undefined
  const row = fields(value, 'device')
  return {
    kid: id(row, 'kid'),
    enc: parsePair(row, 'enc'),
    sig: parsePair(row, 'sig'),
    encPub: text(row, 'encPub'),
    sigPub: text(row, 'sigPub'),
  }
}

function parsePair(row: Fields, name: string): KeyPair {
  const pair = fields(row[name], name)
  const { publicKey, privateKey } = pair
  if (!(publicKey instanceof CryptoKey) || !(privateKey instanceof CryptoKey)) {
    throw new EnvelopeError(Refusal.format, `${name} is no key pair`)
  }
  return { publicKey, privateKey }
}

/** Reads a pin that was kept. */
export function parseKeptPin(value: unknown): Pin {
  const row = fields(value, 'pin')
  return { kid: id(row, 'kid'), owner: text(row, 'owner'), fingerprint: text(row, 'fingerprint'), trusted: flag(row, 'trusted') }
}

/** Reads a queued message that was kept. */
export function parseQueued(value: unknown): QueuedMessage {
  const row = fields(value, 'queued message')
  return { id: id(row, 'id'), session_id: id(row, 'session_id'), draft: text(row, 'draft'), row: row['row'] === null ? null : parseSealed(row['row']) }
}

/** Reads what is pinned of a session; undefined if nothing is. */
export function parseSessionPin(value: unknown): SessionPin | undefined {
  if (value === undefined) return undefined
  const row = fields(value, 'session pin')
  const people = fields(row['people'], 'people')
  return {
    mode: oneOf(row, 'mode', SessionMode), suite: whole(row, 'suite'), epoch: whole(row, 'epoch'), minEpoch: whole(row, 'minEpoch'),
    withdrawn: texts(row, 'withdrawn'), people: Object.fromEntries(Object.keys(people).map((one) => [one, oneOf(people, one, ParticipantRole)])),
  }
}
