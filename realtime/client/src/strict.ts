/**
 * Crisis detection in a session that keeps the sidecar out: the sidecar's own detector, on the devices. The device that sends a
 * message scores it, a therapist's device scores what clients sent, and what leaves either is signed numbers and rule ids.
 * The sidecar makes alerts of both by the organisation's policy; the therapist's device holds each against its own finding.
 *
 *     const watch = new StrictWatch(session, detector)
 *     watch.on('badges', ({ messageId, badges }) => mark(messageId, badges))
 *
 * Guarantees: no text leaves the device; a message of this device is scored when it is stored, or by the next visit within a
 * day; a score counts as its sender's only if its device signed it for that message, epoch and session. Not guaranteed: that a
 * sender's device scores honestly, or at all. That is what the second finding is for. It is not clinically validated.
 */
import type { Badge, ChatMessage, SessionEvents } from './chat.ts'
import { Clock, backoff } from './clock.ts'
import { PageRows } from './answer.ts'
import { Emitter, type Undo } from './events.ts'
import { RequestError, toError } from './failure.ts'
import { Fold, type Assessor, type Found } from './fold.ts'
import { ScoreOutbox } from './score-outbox.ts'
import { ScoreSide, scoreDifferences, scoreOf, signScore, verifyScore } from './score.ts'
import { Role, findMember, isWatched } from './roster.ts'
import { ParticipantRole, type ScoreRow } from './rows.ts'
import type { Session } from './session.ts'
import { TopicStatus } from './topic.ts'

export { Detector, type DetectorFiles, type DetectorWorker, type Finding } from './detect.ts'
export {
  ScoreSide, scoreDifferences, scoreOf, signScore, verifyScore, type ScoreField, type ScoreFields, type ScoreTerms, type SignedScore,
} from './score.ts'

/** What of a Session a watch needs. */
export type StrictSession = Pick<Session, 'id' | 'on' | 'watched' | 'entry'>

export interface StrictOptions {
  /** Whether this device scores what clients sent, and compares. Default: whether this person is the session's therapist. */
  readonly clinician?: boolean
  /** How long a sender's score may take before its message counts as unscored, in milliseconds. Default 10,000. */
  readonly graceMs?: number
}

/** Marks of a strict message: nothing has scored it yet, or the two findings differ in these fields. */
export type StrictBadge = Extract<Badge, { readonly kind: 'unscored' | 'disagreement' }>

export interface StrictEvents {
  /** The marks of a message, whenever they changed; none is an empty list. */
  badges: { readonly messageId: string; readonly badges: readonly StrictBadge[] }
  /** What went wrong in the background. Never holds text. */
  error: Error
}

/** Fields beside those found: the signature is not the sender's, or the score names a later position than its own. */
const Forged = 'signature'
const Ahead = 'after_position'
/** The score was found after messages that this device cannot read, or has not: nothing can be said of it. */
const Incomparable = 'not_comparable'
/** What differs without anybody having done wrong, and is not reported. */
const harmless: readonly string[] = ['model_version', 'ruleset_version', Incomparable]
const GraceMs = 10_000
/** A message of this device that was told as history is scored again up to this age: the tab may have closed before its score stood. */
const AnewMs = 24 * 60 * 60 * 1000

/** What is known of one strict message that can be read. */
interface Scored {
  readonly message: ChatMessage
  readonly found: Found | undefined
}

export class StrictWatch {
  readonly #session: StrictSession
  readonly #clinician: boolean
  readonly #graceMs: number
  readonly #assessor: Assessor
  readonly #events = new Emitter<StrictEvents>()
  readonly #clock = new Clock()
  readonly #outbox: ScoreOutbox
  readonly #undo: Undo[] = []
  readonly #work = new Set<Promise<unknown>>()
  readonly #messages = new Map<string, Scored>()
  readonly #unread = new Set<string>()
  readonly #rows = new Map<string, Map<ScoreSide, ScoreRow>>()
  /** Messages of this device that were scored, or are being. */
  readonly #own = new Set<string>()
  readonly #badges = new Map<string, readonly StrictBadge[]>()
  #fold: Fold
  #queue: ChatMessage[] = []
  #folding = false
  #needed: boolean
  #unfold: Undo = () => undefined
  #read: Promise<void> | undefined

  constructor(session: StrictSession, assessor: Assessor, options: StrictOptions = {}) {
    this.#session = session
    this.#assessor = assessor
    this.#clinician = options.clinician ?? session.entry.role === ParticipantRole.therapist
    this.#graceMs = options.graceMs ?? GraceMs
    this.#needed = !session.watched
    this.#fold = this.#newFold()
    this.#outbox = new ScoreOutbox({
      insert: (row) => session.entry.database.insertScore(row),
      refused: (row, error) => {
        this.#events.emit('error', error)
        this.#mark(row.message_id, [{ kind: 'unscored' }])
      },
      clock: this.#clock,
    })
    this.#listen()
  }

  /** Listens. Returns the undo. */
  on<Name extends keyof StrictEvents>(name: Name, listener: (value: StrictEvents[Name]) => void): Undo {
    return this.#events.on(name, listener)
  }

  /** The marks of a message, as they are now. */
  badgesOf(messageId: string): readonly StrictBadge[] {
    return this.#badges.get(messageId) ?? []
  }

  /** Resolves when everything that was heard so far is scored, stored and compared. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
    await this.#outbox.settled()
    if (this.#work.size > 0) await this.settled()
  }

  /** Ends; what was not stored is scored by the next visit. The detector stays the caller's to close. */
  close(): void {
    for (const undo of this.#undo.splice(0)) undo()
    this.#unfold()
    this.#clock.close()
    this.#queue = []
  }

  #newFold(): Fold {
    return new Fold({ assessor: this.#assessor, clock: this.#clock, failed: this.#report })
  }

  #listen(): void {
    const on: StrictSession['on'] = (name, listener) => this.#session.on(name, listener)
    this.#undo.push(
      on('sent', (sent) => { this.#track(this.#scoreSent(sent)) }),
      on('changed', (message) => { this.#change(message) }),
      on('session', () => { this.#need(!this.#session.watched) }),
      on('closed', () => { this.close() }),
    )
    this.#unfold = this.#session.on('message', (message) => { this.#hear(message) })
    if (!this.#clinician) return
    this.#undo.push(
      on('score', (row) => { this.#learn(row) }),
      on('status', (status) => {
        if (status !== TopicStatus.joined) return
        this.#clock.wake()
        this.#read = this.#readScores() // one may have been told while the channel was away
        this.#track(this.#read)
      }),
    )
  }

  /** A session that was never strict does not load the detector. */
  #need(needed: boolean): void {
    this.#needed ||= needed
    if (this.#needed && !this.#folding && this.#queue.length > 0) this.#track(this.#foldAll())
  }

  #hear(message: ChatMessage): void {
    this.#queue.push(message)
    this.#need(!message.watched)
  }

  /** A message that opens at last changes what all later ones are folded upon. */
  #change(message: ChatMessage): void {
    if (message.text === null || !this.#unread.has(message.id)) return
    this.#unread.clear()
    this.#queue = []
    this.#fold = this.#newFold()
    this.#unfold()
    this.#unfold = this.#session.on('message', (one) => { this.#hear(one) })
  }

  #track(work: Promise<unknown>): void {
    const tracked = work.catch(this.#report).finally(() => this.#work.delete(tracked))
    this.#work.add(tracked)
  }

  readonly #report = (thrown: unknown): void => {
    const passing = this.#clock.closed || (thrown instanceof RequestError && thrown.temporary)
    if (!passing) this.#events.emit('error', toError(thrown, 'watch the session'))
  }

  /** Takes the messages in their order. */
  async #foldAll(): Promise<void> {
    this.#folding = true
    try {
      for (let message = this.#queue.shift(); message !== undefined && !this.#clock.closed; message = this.#queue.shift()) await this.#foldIn(message)
    } finally {
      this.#folding = false
    }
    this.#need(false)
  }

  async #foldIn(message: ChatMessage): Promise<void> {
    const fold = this.#fold
    if (message.badge?.kind === 'unreadable' && message.badge.refusal === 'replay') return // it was folded where it stands first
    if (message.text === null) this.#unread.add(message.id)
    const found = await fold.next(message.position, message.text)
    if (fold !== this.#fold || message.text === null || message.watched) return // begun anew meanwhile; or not a device's to score
    this.#messages.set(message.id, { message, found })
    if (found === undefined) this.#mark(message.id, [{ kind: 'unscored' }])
    else this.#track(this.#score(message, found))
    if (this.#clinician) this.#track(this.#compare(message.id))
  }

  /** Scores a message of this device as soon as it is stored, whatever the socket does. */
  async #scoreSent(sent: SessionEvents['sent']): Promise<void> {
    const epoch = await this.#session.entry.epoch(sent.epoch)
    if (this.#own.has(sent.id) || isWatched(epoch.roster)) return
    this.#own.add(sent.id)
    const found = await this.#fold.ahead(sent.text)
    if (found !== undefined) await this.#sign(sent.id, sent.epoch, ScoreSide.sender, found)
    else this.#own.delete(sent.id) // it is tried once more when the message comes in order
  }

  /** Scores a message that came in order, if it is this device's to score and was not. */
  async #score(message: ChatMessage, found: Found): Promise<void> {
    const { device } = this.#session.entry
    if (message.from.deviceId === device.kid) {
      if (this.#own.has(message.id) || Date.now() - message.at.getTime() > AnewMs) return
      this.#own.add(message.id)
      await this.#sign(message.id, message.epoch, ScoreSide.sender, found)
    } else if (this.#clinician && message.from.role === ParticipantRole.client) {
      await this.#known()
      if (this.#rows.get(message.id)?.has(ScoreSide.clinician) !== true) await this.#sign(message.id, message.epoch, ScoreSide.clinician, found)
    }
  }

  async #sign(messageId: string, epoch: number, side: ScoreSide, { finding, after }: Found): Promise<void> {
    const terms = { ...scoreOf(finding), session_id: this.#session.id, message_id: messageId, epoch, side, after_position: after }
    this.#outbox.add(await signScore(this.#session.entry.device, terms))
  }

  #learn(row: ScoreRow): void {
    const rows = this.#rows.get(row.message_id) ?? new Map<ScoreSide, ScoreRow>()
    if (rows.get(row.side)?.signature === row.signature) return
    this.#rows.set(row.message_id, rows.set(row.side, row))
    if (this.#messages.has(row.message_id)) this.#track(this.#compare(row.message_id))
  }

  /** Resolves once the scores that stood when this device last joined were read; or cannot be, which was told. */
  async #known(): Promise<void> {
    this.#read ??= this.#readScores()
    await this.#read.catch(this.#report)
  }

  async #readScores(): Promise<void> {
    let position = 0
    for (let attempt = 0; !this.#clock.closed; attempt++) {
      try {
        for (;;) {
          const page = await this.#session.entry.database.scores(this.#session.id, position)
          for (const row of page) this.#learn(row)
          if (page.length < PageRows) return
          position = (page.at(-1)?.position ?? 1) - 1 // the page may end between the two of one message
        }
      } catch (thrown) {
        if (!(thrown instanceof RequestError && thrown.temporary)) throw thrown
        await this.#clock.wait(backoff(attempt))
      }
    }
  }

  /** Holds the scores of a message against what is found here. */
  async #compare(messageId: string): Promise<void> {
    const scored = this.#messages.get(messageId)
    if (scored?.found === undefined || scored.message.from.deviceId === this.#session.entry.device.kid) return
    await this.#known()
    const { message, found } = scored
    const rows = this.#rows.get(messageId)
    const sender = rows?.get(ScoreSide.sender)
    const clinician = rows?.get(ScoreSide.clinician)
    if (sender === undefined) {
      this.#miss(message)
      return
    }
    const fields = new Set(await this.#differences(sender, message, found))
    if (clinician !== undefined && clinician.device_id !== this.#session.entry.device.kid) {
      for (const field of await this.#differences(clinician, message, found)) fields.add(field)
    }
    this.#mark(messageId, fields.size === 0 ? [] : [{ kind: 'disagreement', fields: [...fields] }])
    if ([...fields].some((field) => !harmless.includes(field))) await this.#tell(messageId)
  }

  /** The sender's device scored nothing, or it has not come yet. */
  #miss(message: ChatMessage): void {
    const overdue = (): void => {
      if (this.#rows.get(message.id)?.has(ScoreSide.sender) !== true) this.#mark(message.id, [{ kind: 'unscored' }])
    }
    const left = this.#graceMs - Math.max(0, Date.now() - message.at.getTime())
    if (left <= 0) {
      overdue()
      return
    }
    const timer = setTimeout(overdue, left)
    this.#undo.push(() => { clearTimeout(timer) })
  }

  /** In what a stored score differs from what its device must have found in the message. */
  async #differences(row: ScoreRow, message: ChatMessage, found: Found): Promise<readonly string[]> {
    if (!(await this.#isSigned(row, message))) return [Forged]
    if (row.after_position >= message.position) return [Ahead]
    if (row.after_position === found.after) return scoreDifferences(row, scoreOf(found.finding))
    const again = message.text === null ? undefined : await this.#fold.again(message.text, row.after_position)
    return again === undefined ? [Incomparable] : scoreDifferences(row, scoreOf(again))
  }

  async #isSigned(row: ScoreRow, message: ChatMessage): Promise<boolean> {
    const { roster } = await this.#session.entry.epoch(message.epoch)
    const member = findMember(roster, row.device_id)
    const placed = row.session_id === this.#session.id && row.message_id === message.id && row.epoch === message.epoch
    const allowed = row.side === ScoreSide.sender ? row.device_id === message.from.deviceId : member?.role === Role.therapist
    return placed && allowed && member?.sigKey !== undefined && (await verifyScore(row, member.sigKey))
  }

  #mark(messageId: string, badges: readonly StrictBadge[]): void {
    if (JSON.stringify(this.badgesOf(messageId)) === JSON.stringify(badges)) return
    this.#badges.set(messageId, badges)
    this.#events.emit('badges', { messageId, badges })
  }

  /** Puts a disagreement into the audit log; the database keeps one per message and person. */
  async #tell(messageId: string): Promise<void> {
    await this.#session.entry.database.reportRefusal(this.#session.id, 'message_scores', messageId, 'score')
  }
}
