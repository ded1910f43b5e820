/** What a session shows and tells: messages with their readers and badges, and its events. */
import type { Refusal } from './failure.ts'
import type { AlertEventRow, AlertRow, AssessmentRow } from './findings.ts'
import type { AttachedFile } from './message.ts'
import type { Reader } from './readers.ts'
import type { ConsentRow, ErasureRow, ParticipantRole, ReaderRow, ScoreRow, SessionMode, SessionRow } from './rows.ts'
import type { Suggestion } from './suggestions.ts'
import type { Recovery, TopicStatus } from './topic.ts'

/** Why a message is shown with a mark. */
export type Badge =
  /** It cannot be read: what was refused of it. 'replay': it is a message that stands at an earlier position already. */
  | { readonly kind: 'unreadable'; readonly refusal: Refusal | 'replay' }
  /** It comes from a device that nobody has acknowledged here. */
  | { readonly kind: 'new_device'; readonly deviceId: string }
  /** As new_device, and no device of that person which is known here has signed it: compare the safety number. */
  | { readonly kind: 'unsigned_device'; readonly deviceId: string }
  /** Its sender was shown other messages at these positions than this device. */
  | { readonly kind: 'split_view'; readonly positions: readonly number[] }
  /** Its sender was shown messages at these positions that this device is not: withheld, or erased since. */
  | { readonly kind: 'withheld'; readonly positions: readonly number[] }
  /** Its device sent it before another message that is shown above it. */
  | { readonly kind: 'out_of_order' }
  /** Strict sessions, clinicians: nothing on a device has assessed it yet. */
  | { readonly kind: 'unscored' }
  /** Strict sessions, clinicians: the sender's score and this device's differ in these fields; 'not_comparable': this device cannot tell. */
  | { readonly kind: 'disagreement'; readonly fields: readonly string[] }

/** A message, verified and opened; or its place, with a badge that says why not. */
export interface ChatMessage {
  readonly id: string
  readonly position: number
  readonly epoch: number
  readonly from: { readonly userId: string; readonly deviceId: string; readonly role: ParticipantRole | null; readonly me: boolean }
  /** null when a badge is 'unreadable'. */
  readonly text: string | null
  readonly files: readonly AttachedFile[]
  /** All marks, the gravest first; `badge` is the first. */
  readonly badges: readonly Badge[]
  readonly badge: Badge | null
  /** Whether the sidecar can read this message, by the signed roster; by the database's word while a badge is 'unreadable'. */
  readonly watched: boolean
  /** Who can read it: the roster it was sealed for, and whoever was let in beside it. Empty when a badge is 'unreadable'. */
  readonly readers: readonly Reader[]
  /** How many messages of the same device and epoch are missing just before this one. */
  readonly missing: number
  /** By the database's clock. */
  readonly at: Date
  /** By its sender's clock, signed; only where it is more than ten minutes from `at`: it waited, was held back, or a clock is wrong. */
  readonly writtenAt?: Date
}

/** Options of Session.send. */
export interface SendOptions {
  readonly files?: readonly AttachedFile[]
  /**
   * What to do while the person must decide something first: a device or a mode to acknowledge, a consent to give, a paused
   * session. By default `send` rejects and keeps nothing; with `hold` the text waits in the queue, also for the next visit.
   */
  readonly hold?: boolean
}

/** A text of one's own that is not stored yet. */
export interface QueuedText {
  readonly id: string
  readonly text: string
  readonly files: readonly AttachedFile[]
  /** What it waits for, if not the network or its turn: SessionError, DeviceChangedError or another refusal. */
  readonly held: Error | null
}

/** The mode in force, and the one that this person knows of. Where they differ, nothing is sent. */
export interface ModeChange {
  readonly now: SessionMode
  readonly acknowledged: SessionMode
}

/** What a session's listeners hear. */
export interface SessionEvents {
  message: ChatMessage
  /** A message that was told before has other readers or badges now, or can be read at last. */
  changed: ChatMessage
  /** A message of this device is stored; told before `send` resolves. */
  sent: { readonly id: string; readonly epoch: number; readonly text: string }
  /** What is not stored yet, in order, whenever it changed: also what was left by an earlier visit. */
  queue: readonly QueuedText[]
  /** The session's row, at first and whenever it changed. */
  session: SessionRow
  /** The mode is another than the acknowledged one; told once more when it was acknowledged. */
  mode: ModeChange
  /** The consents, whenever one was given or withdrawn. */
  consent: readonly ConsentRow[]
  /** Devices to acknowledge before sending: new ones, of people who joined or changed roles too, and known ones with other keys. None when it is over. */
  devices: readonly string[]
  status: TopicStatus
  /** What the channel made good, or could not, after it had been away. */
  recovery: Recovery
  /** The user ids of who is here now, by their clients' own word. */
  presence: readonly string[]
  /** Clinicians: a row of assessments, alerts or alert_events, as it was committed (topic care:<session>). What was before is in the tables; a row that cannot be read is an 'error', and there too. */
  assessment: AssessmentRow
  alert: AlertRow
  alert_event: AlertEventRow
  /** Clinicians: a drafted reply, verified and opened, at first and whenever something of it changed. */
  suggestion: Suggestion
  /** Clinicians: the id of a drafted reply that was erased; it is to leave the screen. */
  suggestion_deleted: string
  /** Clinicians of strict sessions: a signed score, as it was committed; who signed it is yet to be verified. */
  score: ScoreRow
  /** Somebody was let in to an epoch beside its roster, or their access ended; the messages it is about are told as 'changed'. */
  reader: ReaderRow
  /** The session is erased: nothing of it opens any more, what was shown is to leave the screen, and 'closed' follows. */
  erasure: ErasureRow
  /** What went wrong in the background. Never holds text. */
  error: Error
  /** The session was closed here, or is not there for this person any more; its row as last read. */
  closed: SessionRow
}
