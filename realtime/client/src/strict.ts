/**
 * Crisis detection in a session that keeps the sidecar out: the sidecar's own detector, on the devices. The device that sends a
 * message scores it, a therapist's device scores what clients sent, and what leaves either is signed numbers and rule ids.
 * The sidecar makes alerts of both by the organisation's policy; the therapist's device holds each against its own finding.
 *
 *     const watch = new StrictWatch(session, detector)
 *     watch.on('badges', ({ messageId, badges }) => mark(messageId, badges))
 *
 * Guarantees: no text leaves the device; a message of this device is scored when it is stored, or by the next visit within a
 * day; a score counts as its sender's only if its device signed it for that message, epoch and session, and whatever else stands
 * beside it counts for nothing. Not guaranteed: that a sender's device scores honestly, or at all. That is what the second finding
 * is for. It is not clinically validated.
 */
import type { Badge, ChatMessage, SessionEvents } from './chat.ts'
import { Clock, backoff } from './clock.ts'
import { PageRows } from './answer.ts'
import { Emitter, type Undo } from './events.ts'
import { Refusal, RequestError, toError } from './failure.ts'
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

/** Fields beside those found: no score is signed by the sender's device, or it names a later position than its own. */
const Forged = 'signature'
const Ahead = 'after_position'
/** The score was found after messages that this device cannot read, or has not: nothing can be said of it. */
const Incomparable = 'not_comparable'
/** What differs without anybody having done wrong, and is not reported. */
const harmless: readonly string[] = ['model_version', 'ruleset_version', Incomparable]
const GraceMs = 10_000
/** What was told as history is scored up to this age: the tab may have closed before its score stood. Older, nobody waits for it. */
const AnewMs = 24 * 60 * 60 * 1000
/** How long finish() takes at most: the detector may still be loading. */
const FinishMs = 30_000
/** Refusals that every device comes to, by the row itself: it never opens, for anybody. Of any other the key may yet come, or others have it, or only what is pinned here speaks against it. */
const nobodys: ReadonlySet<string> = new Set([Refusal.format, Refusal.signature, Refusal.epoch, Refusal.body])

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
  /** Of each message what stands, by side and signature: anybody's, until it is verified. */
  readonly #rows = new Map<string, Map<string, ScoreRow>>()
  /** Messages that this device scored, or is about to. */
  readonly #own = new Set<string>()
  readonly #badges = new Map<string, readonly StrictBadge[]>()
  #fold: Fold
  #queue: ChatMessage[] = []
  #folding = false
  #needed: boolean
  #unfold: Undo = () => undefined
  #unsent: Undo = () => undefined
  #read: Promise<void> | undefined
  #finishing: Promise<void> | undefined
  #finished: () => void = () => undefined

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

  /**
   * Ends once what was heard is scored and stored, at the latest after so long: for who leaves while the detector still loads. It
   * hears of nothing new but what this device has just sent. Never rejects.
   */
  finish(mostMs = FinishMs): Promise<void> {
    this.#finishing ??= this.#finish(mostMs)
    return this.#finishing
  }

  async #finish(mostMs: number): Promise<void> {
    this.#deafen()
    let timer: ReturnType<typeof setTimeout> | undefined
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, mostMs)
      this.#finished = resolve
    })
    if (!this.#clock.closed) await Promise.race([this.settled(), over])
    clearTimeout(timer)
    this.close()
  }

  /** Ends; what was not stored is scored by the next visit. The detector stays the caller's to close. */
  close(): void {
    this.#deafen()
    this.#unsent()
    this.#clock.close()
    this.#queue = []
    this.#finished()
  }

  #deafen(): void {
    for (const undo of this.#undo.splice(0)) undo()
    this.#unfold()
  }

  #newFold(): Fold {
    return new Fold({ assessor: this.#assessor, clock: this.#clock, failed: this.#report })
  }

  #listen(): void {
    const on: StrictSession['on'] = (name, listener) => this.#session.on(name, listener)
    this.#unsent = on('sent', (sent) => { this.#track(this.#scoreSent(sent)) })
    this.#undo.push(
      on('changed', (message) => { this.#change(message) }),
      on('session', () => { this.#need(!this.#session.watched) }),
      on('erasure', () => { this.close() }),
      on('closed', () => { void this.finish() }),
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
    const refusal = message.badge?.kind === 'unreadable' ? message.badge.refusal : ''
    if (refusal === 'replay') return // it was folded where it stands first
    if (nobodys.has(refusal)) {
      fold.pass(message.position)
      return
    }
    if (message.text === null) this.#unread.add(message.id)
    const claimed = this.#claim(message) // before it is folded in: that it is stored may be told meanwhile
    const found = await fold.next(message.position, message.text)
    const left = fold !== this.#fold || message.text === null || message.watched // begun anew meanwhile; or not a device's to score
    if (claimed && (left || found === undefined)) this.#own.delete(message.id)
    if (left) return
    this.#messages.set(message.id, { message, found })
    if (found === undefined) this.#mark(message.id, [{ kind: 'unscored' }])
    else if (claimed) this.#track(this.#sign(message.id, message.epoch, ScoreSide.sender, found))
    else this.#track(this.#score(message, found))
    if (this.#clinician) this.#track(this.#compare(message.id))
  }

  /** Whether this device is to score the message as its sender, and does not yet; from now on it does. */
  #claim(message: ChatMessage): boolean {
    const mine = message.text !== null && !message.watched && message.from.deviceId === this.#session.entry.device.kid
    if (!mine || this.#own.has(message.id) || !isRecent(message)) return false
    this.#own.add(message.id)
    return true
  }

  /** Scores a message of this device as soon as it is stored, whatever the socket does. */
  async #scoreSent(sent: SessionEvents['sent']): Promise<void> {
    const epoch = await this.#session.entry.epoch(sent.epoch)
    if (this.#own.has(sent.id) || isWatched(epoch.roster)) return
    this.#own.add(sent.id)
    const found = await this.#fold.ahead(sent.text)
    if (found !== undefined) {
      await this.#sign(sent.id, sent.epoch, ScoreSide.sender, found)
      return
    }
    this.#own.delete(sent.id) // it is tried once more when the message comes in order, or was when it came
    const heard = this.#messages.get(sent.id)
    if (heard?.found !== undefined) await this.#score(heard.message, heard.found)
  }

  /** Scores a message that came in order, if it is this device's to score and was not. */
  async #score(message: ChatMessage, found: Found): Promise<void> {
    const { device } = this.#session.entry
    if (message.from.deviceId === device.kid) {
      if (this.#claim(message)) await this.#sign(message.id, message.epoch, ScoreSide.sender, found)
      return
    }
    if (!this.#clinician || message.from.role !== ParticipantRole.client || this.#own.has(message.id)) return
    const { roster } = await this.#session.entry.epoch(message.epoch)
    if (findMember(roster, device.kid)?.role !== Role.therapist) return // it reads this by shared history: its word counts for nothing
    await this.#known()
    if ((await this.#signed(message, ScoreSide.clinician)).length > 0 || this.#own.has(message.id)) return
    this.#own.add(message.id)
    await this.#sign(message.id, message.epoch, ScoreSide.clinician, found)
  }

  async #sign(messageId: string, epoch: number, side: ScoreSide, { finding, after }: Found): Promise<void> {
    const terms = { ...scoreOf(finding), session_id: this.#session.id, message_id: messageId, epoch, side, after_position: after }
    this.#outbox.add(await signScore(this.#session.entry.device, terms))
  }

  #learn(row: ScoreRow): void {
    const rows = this.#rows.get(row.message_id) ?? new Map<string, ScoreRow>()
    const key = `${row.side}/${row.signature}`
    if (rows.has(key)) return
    this.#rows.set(row.message_id, rows.set(key, row))
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
          const last = page.at(-1)?.position ?? position + 1
          position = Math.max(last - 1, position + 1) // the page may end between those of one message
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
    if (this.#standing(messageId, ScoreSide.sender).length === 0) {
      this.#miss(message)
      return
    }
    const signed = await this.#signed(message, ScoreSide.sender)
    const fields = new Set<string>(signed.length === 0 ? [Forged] : [])
    const others = (await this.#signed(message, ScoreSide.clinician)).filter((row) => row.device_id !== this.#session.entry.device.kid)
    for (const row of [...signed, ...others]) {
      for (const field of await this.#differences(row, message, found)) fields.add(field)
    }
    this.#mark(messageId, fields.size === 0 ? [] : [{ kind: 'disagreement', fields: [...fields] }])
    if ([...fields].some((field) => !harmless.includes(field))) await this.#tell(messageId)
  }

  /** The sender's device scored nothing, or it has not come yet. */
  #miss(message: ChatMessage): void {
    const overdue = (): void => {
      if (this.#standing(message.id, ScoreSide.sender).length === 0) this.#mark(message.id, [{ kind: 'unscored' }])
    }
    const left = this.#graceMs - Math.max(0, Date.now() - message.at.getTime())
    if (left <= 0) {
      overdue()
      return
    }
    const timer = setTimeout(overdue, left)
    this.#undo.push(() => { clearTimeout(timer) })
  }

  #standing(messageId: string, side: ScoreSide): readonly ScoreRow[] {
    return [...(this.#rows.get(messageId)?.values() ?? [])].filter((row) => row.side === side)
  }

  /** Of what stands of a side, what its device signed: whoever has a token can put more beside it. */
  async #signed(message: ChatMessage, side: ScoreSide): Promise<readonly ScoreRow[]> {
    const signed: ScoreRow[] = []
    for (const row of this.#standing(message.id, side)) if (await this.#isSigned(row, message)) signed.push(row)
    return signed
  }

  /** In what a score differs from what its device, which signed it, must have found in the message. */
  async #differences(row: ScoreRow, message: ChatMessage, found: Found): Promise<readonly string[]> {
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

function isRecent(message: ChatMessage): boolean {
  return Date.now() - message.at.getTime() <= AnewMs
}
