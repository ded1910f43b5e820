import type { RealtimeClient } from '@supabase/realtime-js'
import { notLoaded } from './answer.ts'
import type { Care } from './care.ts'
import type { ChatMessage, QueuedText, SendOptions, SessionEvents } from './chat.ts'
import { Clock } from './clock.ts'
import { ConsentScope, signConsent, signWithdrawal } from './consent.ts'
import type { SessionDatabase } from './database.ts'
import type { Device } from './device.ts'
import type { Epoch } from './epoch.ts'
import { Emitter, call, type Undo } from './events.ts'
import { EnvelopeError, RequestError, SessionError, toError } from './failure.ts'
import { Guard } from './guard.ts'
import { BodyOverhead, MaxBodyBytes, sealMessage, textContent, type Content } from './message.ts'
import { Outbox } from './outbox.ts'
import { whole, type Fields } from './parse.ts'
import type { Pins } from './pins.ts'
import { Queue } from './queue.ts'
import { readersBeside, type Reader } from './readers.ts'
import { Refusals } from './refusals.ts'
import {
  ErasureStatus, SessionMode, SessionStatus, parseErasure, parseMessage, parseReader,
  type ConsentRow, type DeviceRow, type ErasureRow, type ParticipantRole, type SessionRow, type SuggestionDecision,
} from './rows.ts'
import { safetyNumber } from './safety.ts'
import { State } from './state.ts'
import type { Store } from './store.ts'
import type { Suggestion } from './suggestions.ts'
import { Timeline } from './timeline.ts'
import { Topic, TopicNouns, TopicStatus, type TopicNoun } from './topic.ts'
import { Transcript } from './transcript.ts'

/** What `seen` may take of a body, at most. */
const SeenRoom = 512

export interface SessionDeps {
  readonly id: string
  readonly userId: string
  readonly device: Device
  readonly database: SessionDatabase
  readonly store: Store
  readonly account: string
  readonly pins: Pins
  readonly realtime: RealtimeClient
  readonly trustNewDevices: boolean
}

/**
 * For this package's other entries (strict, attachments, export).
 * @internal
 */
export interface SessionEntry {
  readonly userId: string
  /** null for who takes no part. */
  readonly role: ParticipantRole | null
  readonly device: Device
  readonly database: SessionDatabase
  /** Opens an epoch for reading. */
  epoch(number: number): Promise<Epoch>
  readonly clock: Clock
}

/** One therapy session, as one of its people sees it. Made by Vigil.session. */
export class Session {
  readonly id: string
  /** @internal */
  readonly entry: SessionEntry
  readonly #deps: SessionDeps
  readonly #clock = new Clock()
  readonly #events = new Emitter<SessionEvents>()
  readonly #refusals: Refusals
  readonly #guard: Guard
  readonly #state: State
  readonly #transcript: Transcript
  readonly #outbox: Outbox
  readonly #timeline: Timeline
  #loading: Promise<Care> | undefined
  #care: Care | undefined
  #topic: Topic<TopicNoun<'session'>> | undefined
  #unacknowledged: readonly string[] = []
  #present: readonly string[] = []
  #status: TopicStatus = TopicStatus.waiting
  /** What was told last, to tell it again only when it is another. */
  #told = { row: '', consents: '', mode: '' }
  #gone: SessionError | undefined

  constructor(deps: SessionDeps) {
    this.#deps = deps
    const { id, userId, device, database, pins, store, account } = deps
    this.id = id
    this.#refusals = new Refusals(({ table, id: subject, reason }) => database.reportRefusal(id, table, subject, reason))
    const refused = this.#refusals.report
    this.#guard = new Guard({ store, account, sessionId: id })
    this.#state = new State({ id, device, database, pins, guard: this.#guard, refused, failed: this.#report })
    this.#transcript = new Transcript({
      userId, state: this.#state, pins, refused, message: this.#teller('message'), changed: this.#teller('changed'),
    })
    this.#outbox = this.#makeOutbox()
    this.#timeline = new Timeline({
      read: (position) => database.messagesAfter(id, position),
      deliver: (row) => this.#transcript.deliver(row),
      failed: this.#report,
      clock: this.#clock,
    })
    this.entry = this.#makeEntry()
  }

  #makeOutbox(): Outbox {
    const { id, device, database, store, account } = this.#deps
    return new Outbox({
      queue: new Queue({ store, account, device, sessionId: id }),
      seal: (messageId, content) => this.#seal(messageId, content),
      insert: (m) => database.insertMessage(m),
      stored: (messageId) => database.stored(messageId),
      sent: (m, text) => {
        this.#state.sent(m.epoch, m.seq)
        this.#events.emit('sent', { id: m.id, epoch: m.epoch, text })
      },
      refresh: (refusal) => {
        this.#state.retire(refusal)
        return this.#state.refresh()
      },
      changed: this.#teller('queue'),
      failed: this.#report,
      clock: this.#clock,
    })
  }

  /** What clinicians are told beside the messages; loaded when it is first asked for. */
  #clinical(): Promise<Care> {
    this.#loading ??= this.#loadCare().catch((thrown: unknown) => {
      this.#loading = undefined // the network is away: whoever asks again loads it
      throw thrown
    })
    return this.#loading
  }

  async #loadCare(): Promise<Care> {
    const { Care } = await import('./care.ts').catch(notLoaded)
    const { id, device, database, realtime } = this.#deps
    this.#care = new Care({
      id, device, database, realtime, events: this.#events, clock: this.#clock, report: this.#report,
      signers: async (fresh) => {
        if (fresh) await this.#refresh()
        return this.#state.analysisKeys()
      },
    })
    return this.#care
  }

  #makeEntry(): SessionEntry {
    const { userId, device, database } = this.#deps
    const [state, clock] = [this.#state, this.#clock]
    return {
      userId, device, database, clock,
      get role() {
        return state.participants.find((one) => one.user_id === userId && one.ended_at === null)?.role ?? null
      },
      epoch: (number) => state.reading(number),
    }
  }

  #teller<Name extends keyof SessionEvents>(name: Name): (value: SessionEvents[Name]) => void {
    return (value) => {
      this.#events.emit(name, value)
    }
  }

  /** Reads the session, pins whom it meets, and joins its topic; history follows by itself. Called by Vigil.session. */
  async start(): Promise<void> {
    try {
      await this.#state.refresh()
    } catch (thrown) {
      if (thrown instanceof SessionError) await this.#outbox.forget(thrown) // nothing can be sent there any more
      throw thrown
    }
    await this.#meet()
    await this.#tellNews()
    this.#topic = Topic.session(this.#deps.realtime, this.id, {
      event: ({ event, row }) => {
        this.#hear(event, row)
      },
      status: (status) => {
        this.#turn(status)
      },
      failed: this.#report,
      recovery: this.#teller('recovery'),
      presence: (present) => {
        this.#present = present
        this.#events.emit('presence', present)
      },
    }, this.#deps.userId)
    void this.#timeline.catchUp() // the history does not wait for the socket
    this.#outbox.kick() // what an earlier visit left
    await this.#topic.join()
  }

  /** The session's row, as last read. */
  get row(): SessionRow {
    return this.#state.row
  }

  get status(): TopicStatus {
    return this.#status
  }

  /** Whether the sidecar is to watch what is sent now; if not, both screens say so. */
  get watched(): boolean {
    return this.#state.row.mode === SessionMode.assisted
  }

  /** How many messages are not stored yet. */
  get waiting(): number {
    return this.#outbox.waiting.length
  }

  /** The texts that are not stored yet, in order: also what an earlier visit left. */
  get queue(): readonly QueuedText[] {
    return this.#outbox.waiting
  }

  /** The devices on the roster of what is sent now: always shown. */
  get readers(): readonly DeviceRow[] {
    return this.#state.expectedDevices()
  }

  /** Who can read what is sent now beside them: who was let in to the epoch that is in use. Shown as well. */
  get extraReaders(): readonly Reader[] {
    const live = this.#state.liveEpoch
    return live === undefined ? [] : readersBeside(live, this.#state).filter((one) => one.until === null)
  }

  /**
   * Listens. For 'message': first the messages there are, in order, then each new one once. For 'session': the row as it is,
   * then its changes. Returns the undo.
   */
  on<Name extends keyof SessionEvents>(name: Name, listener: (value: SessionEvents[Name]) => void): Undo {
    const undo = this.#events.on(name, listener)
    this.#replay({ [name]: listener })
    if (TopicNouns.care.some((noun) => noun === name)) {
      this.#clinical().then((care) => {
        care.listen(name)
      }).catch(this.#report)
    }
    return undo
  }

  /** Tells a new listener what was already said. */
  #replay(listener: { readonly [Name in keyof SessionEvents]?: (value: SessionEvents[Name]) => void }): void {
    if (listener.message !== undefined) for (const message of this.#transcript.shown) call(listener.message, message)
    if (listener.session !== undefined) call(listener.session, this.#state.row)
    if (listener.status !== undefined) call(listener.status, this.#status)
    if (listener.presence !== undefined) call(listener.presence, this.#present)
    if (listener.queue !== undefined) call(listener.queue, this.queue)
    if (listener.mode !== undefined && this.#told.mode !== '') void this.#state.modeChange().then((change) => change && listener.mode?.(change), this.#report)
    if (listener.suggestion !== undefined) for (const suggestion of this.#care?.suggestions.shown ?? []) call(listener.suggestion, suggestion)
    if (listener.devices !== undefined && this.#unacknowledged.length > 0) call(listener.devices, this.#unacknowledged)
  }

  /** Resolves once the session is active: until then it waits for people, or is paused. Rejects when it has ended or is closed. */
  active(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        undo()
        unclose()
        end()
      }
      const look = (row: SessionRow): void => {
        if (row.status === SessionStatus.active) settle(resolve)
        else if (this.#clock.closed || row.status === SessionStatus.ended) {
          settle(() => {
            reject(new SessionError('not_active', 'the session has ended'))
          })
        }
      }
      const undo = this.#events.on('session', look)
      const unclose = this.#events.on('closed', look)
      look(this.#state.row)
    })
  }

  /**
   * Seals and sends a text; resolves with the message's id when it is stored. While the network is away it waits, in order, sealed
   * to this device, also over a reload. Rejects with SessionError, DeviceChangedError, EnvelopeError or RequestError, and then it
   * was surely not stored and is not kept; but for 'closed': then it is sent when the session is opened next.
   */
  send(text: string, options: SendOptions = {}): Promise<string> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    const bytes = textContent(text, new Date(), options).length
    if (bytes > MaxBodyBytes - BodyOverhead - SeenRoom) {
      return Promise.reject(new EnvelopeError('format', `message of ${bytes} bytes is too long`))
    }
    return this.#outbox.send(text, options)
  }

  /** Takes a text out of the queue; false if it is being sent just now, or was sent. */
  takeBack(id: string): Promise<boolean> {
    return this.#outbox.takeBack(id)
  }

  /** Verifies and opens one row of `messages`, wherever it comes from. */
  async open(row: unknown): Promise<ChatMessage> {
    return this.#transcript.open(parseMessage(row))
  }

  /** The consent of the session's client. */
  readonly consent = {
    /**
     * Signs and stores a consent to the text that was shown; resolves with its id. The client's only. One to the analysis says, in
     * an assisted session, that this person knows of that mode.
     */
    give: async (terms: { readonly text: string; readonly scope?: readonly ConsentScope[] }): Promise<string> => {
      const { device, database } = this.#deps
      const scope = terms.scope ?? [ConsentScope.analysis]
      const id = crypto.randomUUID()
      await database.insertConsent(await signConsent(device, { id, sessionId: this.id, text: terms.text, scope }))
      if (this.watched && scope.includes(ConsentScope.analysis)) await this.#guard.acknowledge(this.row, SessionMode.assisted)
      await this.#refresh()
      return id
    },
    /**
     * Withdraws a consent: what is sent after it is under another epoch. An assisted session then waits, for another consent or
     * for 'strict'; `goOn: 'strict'` makes it strict at once, so that a withdrawal silences nobody.
     */
    withdraw: async (id: string, options: { readonly goOn?: 'strict' | 'wait' } = {}): Promise<void> => {
      const { device, database } = this.#deps
      const consent = this.#state.consents.find((one) => one.id === id)
      if (consent === undefined) throw new EnvelopeError('consent', `consent ${id} is not there`)
      await database.withdrawConsent(id, await signWithdrawal(device, consent))
      await this.#guard.withdrew(this.row, id) // whatever the database tells of it
      if (options.goOn === 'strict' && this.watched) await this.changeMode(SessionMode.strict)
      else await this.#refresh()
    },
    /** All consents of the session, as last read. */
    list: (): readonly ConsentRow[] => this.#state.consents,
  }

  /** Drafted replies, for the session's clinicians. */
  readonly suggestions = {
    /** Reads all there are, oldest first. */
    list: async (): Promise<readonly Suggestion[]> => (await this.#clinical()).suggestions.list(),
    /** Asks for one on the client's last message; it comes by 'suggestion'. Rejects with RequestError: VG019 they are off, VG020 nothing is read, VG021 no message yet. */
    request: async (): Promise<Suggestion> => (await this.#clinical()).suggestions.request(),
    /**
     * Says what became of an offered one, at the version that was seen. Accepted and edited name the message that was sent with
     * `send` before: nothing is ever sent from here. Rejects with RequestError PT409 if someone was first.
     */
    decide: async (id: string, decision: SuggestionDecision, version: number, sentMessageId: string | null = null): Promise<Suggestion> =>
      (await this.#clinical()).suggestions.decide(id, decision, version, sentMessageId),
  }

  /**
   * Trusts a device with the keys it has now: the people compared the safety number. One that no known device of that person has
   * signed is refused, as 'pin', unless it is said that it may be unsigned.
   */
  async acknowledge(deviceId: string, options: { readonly unsigned?: boolean } = {}): Promise<void> {
    const row = this.#state.devices.find((one) => one.id === deviceId)
    if (row === undefined) throw new EnvelopeError('roster', `device ${deviceId} is not there`)
    await this.#deps.pins.acknowledge(row, options)
    await this.#guard.admit(this.row, this.#state.participants.filter((one) => one.user_id === row.user_id))
    this.#unacknowledged = this.#unacknowledged.filter((one) => one !== deviceId)
    this.#transcript.acknowledged(deviceId)
    this.#outbox.kick()
  }

  /** Says that this person knows of the mode that is in force: until then nothing is sent after a change. */
  async acknowledgeMode(mode: SessionMode): Promise<void> {
    if (mode !== this.row.mode) throw new SessionError('mode_changed', `the session is ${this.row.mode}, not ${mode}`)
    await this.#guard.acknowledge(this.row, mode)
    await this.#tellNews()
    this.#outbox.kick()
  }

  /** Changes the mode, and acknowledges it here; the others are asked. Rejects with RequestError where it is not for this person. */
  async changeMode(mode: SessionMode): Promise<void> {
    await this.#deps.database.changeMode(this.id, mode)
    await this.#state.refresh()
    if (this.row.mode === mode) await this.#guard.acknowledge(this.row, mode)
    await this.#refresh()
  }

  /** The safety number over this person's devices and another one's: the same at both ends, or somebody stands between. */
  safety(userId: string): Promise<string> {
    const both = [userId, this.#deps.userId]
    return safetyNumber(this.#state.devices.filter((one) => (
      one.user_id !== null && both.includes(one.user_id) && one.admitted_at !== null && one.revoked_at === null
    )))
  }

  /** Tries at once what waits for the network: call it when the browser is online again. */
  wake(): void {
    this.#clock.wake()
    void this.#refresh().catch(this.#report) // what happened meanwhile was not heard
  }

  /** Leaves the topics. What was not stored is rejected as 'closed', and kept for the next visit. */
  async close(): Promise<void> {
    if (this.#clock.closed) return
    this.#clock.close()
    this.#events.emit('closed', this.#state.row)
    await Promise.all([this.#outbox.close(), this.#topic?.leave(), this.#care?.leave()])
  }

  async #seal(id: string, content: Content): ReturnType<typeof sealMessage> {
    const epoch = await this.#state.sending()
    const seq = await this.#state.nextSeq(epoch.number)
    const extras = { files: content.files, seen: this.#transcript.recent }
    return sealMessage(this.#deps.device, epoch, { id, seq }, textContent(content.body, content.at, extras))
  }

  #hear(event: TopicNoun<'session'>, row: Fields): void {
    switch (event) {
      case 'message':
        this.#timeline.offer(parseMessage(row))
        break
      case 'arrival':
        this.#timeline.heard(whole(row, 'position'))
        break
      case 'erasure':
        this.#erased(parseErasure(row))
        break
      case 'reader':
        this.#events.emit('reader', parseReader(row))
        void this.#refresh().catch(this.#report)
        break
      default: // it changes who may read, or what is in force
        void this.#refresh().catch(this.#report)
    }
  }

  /** What was erased is forgotten here too: keys, what is shown, what waits. One that is only asked for changes nothing yet. */
  #erased(row: ErasureRow): void {
    if (row.status === ErasureStatus.requested || this.#gone?.reason === 'erased') return
    this.#events.emit('erasure', row)
    this.#forget(new SessionError('erased', 'the session is erased'))
  }

  #forget(why: SessionError): void {
    this.#gone = why
    this.#state.forget()
    this.#transcript.forget()
    this.#outbox.forget(why).then(() => this.close()).catch(this.#report)
  }

  #turn(status: TopicStatus): void {
    this.#status = status
    this.#events.emit('status', status)
    if (status === TopicStatus.joined) {
      this.#clock.wake()
      void this.#timeline.catchUp()
    }
    if (status !== TopicStatus.waiting) void this.#refresh().catch(this.#report) // ended: is it still for this person?
  }

  async #refresh(): Promise<void> {
    if (this.#gone !== undefined) return
    try {
      await this.#state.refresh()
    } catch (thrown) {
      if (thrown instanceof SessionError) this.#forget(thrown) // it was there: erased, or not for this person any more
      throw thrown
    }
    await this.#meet()
    await this.#tellNews()
    await this.#transcript.update()
    if (this.#outbox.waiting.length > 0) this.#outbox.kick() // what held it may be over
  }

  async #tellNews(): Promise<void> {
    const [row, consents, change] = [this.#state.row, this.#state.consents, await this.#state.modeChange()]
    const before = this.#told
    this.#told = { row: JSON.stringify(row), consents: JSON.stringify(consents), mode: change === undefined ? '' : JSON.stringify(change) }
    if (before.row !== this.#told.row && before.row !== '') this.#events.emit('session', row)
    if (before.consents !== this.#told.consents && before.row !== '') this.#events.emit('consent', consents)
    if (before.mode === this.#told.mode) return
    this.#events.emit('mode', change ?? { now: row.mode, acknowledged: row.mode })
    if (change !== undefined) this.#refusals.report({ table: 'sessions', id: this.id, reason: 'mode' })
  }

  /** Pins devices met for the first time, and asks about the others. */
  async #meet(): Promise<void> {
    const waiting = await this.#state.unacknowledged()
    if (this.#deps.trustNewDevices) {
      for (const id of waiting) await this.acknowledge(id, { unsigned: true })
      return
    }
    const before = this.#unacknowledged
    this.#unacknowledged = waiting
    for (const id of waiting) if (this.#deps.pins.isUnsigned(id)) this.#refusals.report({ table: 'devices', id, reason: 'device' })
    if (waiting.join() !== before.join()) this.#events.emit('devices', waiting)
  }

  readonly #report = (thrown: unknown): void => {
    const temporary = thrown instanceof RequestError && thrown.temporary // the next join reads again
    if (!temporary) this.#events.emit('error', toError(thrown, 'follow the session'))
  }
}
