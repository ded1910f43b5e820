import type { RealtimeClient } from '@supabase/realtime-js'
import type { Badge, ChatMessage, SessionEvents } from './chat.ts'
import { Clock } from './clock.ts'
import { ConsentScope, signConsent, signWithdrawal } from './consent.ts'
import { Emitter, call, type Undo } from './events.ts'
import { EnvelopeError, RequestError, SessionError, toError } from './failure.ts'
import { parseAlert, parseAlertEvent, parseAssessment } from './findings.ts'
import { openMessage, parseContent, sealMessage, textContent } from './message.ts'
import { Outbox } from './outbox.ts'
import { whole, type Fields } from './parse.ts'
import { rosterReaders } from './readers.ts'
import { Role, findMember } from './roster.ts'
import {
  ParticipantRole, SessionMode, SessionStatus, parseMessage, type ConsentRow, type DeviceRow, type MessageRow, type SessionRow,
  type SuggestionDecision,
} from './rows.ts'
import { State } from './state.ts'
import { Suggestions, type Suggestion } from './suggestions.ts'
import { Timeline } from './timeline.ts'
import { Topic, TopicNouns, TopicStatus, type TopicNoun } from './topic.ts'
import type { SessionDatabase } from './database.ts'
import type { Device } from './device.ts'
import type { Pins } from './pins.ts'

export interface SessionDeps {
  readonly id: string
  readonly userId: string
  readonly device: Device
  readonly database: SessionDatabase
  readonly pins: Pins
  readonly realtime: RealtimeClient
  readonly trustNewDevices: boolean
}

/** One therapy session, as one of its people sees it. Made by Vigil.session. */
export class Session {
  readonly id: string
  readonly #deps: SessionDeps
  readonly #clock = new Clock()
  readonly #events = new Emitter<SessionEvents>()
  readonly #state: State
  readonly #outbox: Outbox
  readonly #timeline: Timeline
  readonly #suggestions: Suggestions
  readonly #topics: Pick<Topic<string>, 'leave'>[] = []
  readonly #shown: ChatMessage[] = []
  readonly #seqs = new Map<string, number>()
  #care: Topic<TopicNoun<'care'>> | undefined
  #suggesting = false
  #unacknowledged: readonly string[] = []
  #present: readonly string[] = []
  #status: TopicStatus = TopicStatus.waiting

  constructor(deps: SessionDeps) {
    this.#deps = deps
    this.id = deps.id
    this.#state = new State({ ...deps, now: Date.now })
    this.#outbox = new Outbox({
      seal: (id, text) => this.#seal(id, text),
      insert: (m) => deps.database.insertMessage(m),
      stored: (id) => deps.database.stored(id),
      sent: (m) => {
        this.#state.sent(m.epoch, m.seq)
      },
      refresh: () => this.#state.refresh(),
      clock: this.#clock,
    })
    this.#timeline = new Timeline({
      read: (position) => deps.database.messagesAfter(deps.id, position),
      deliver: async (row) => {
        const message = await this.#judge(row)
        this.#show({ ...message, missing: this.#gap(row) })
      },
      failed: (thrown) => {
        this.#report(thrown)
      },
      clock: this.#clock,
    })
    this.#suggestions = new Suggestions({
      id: deps.id,
      device: deps.device,
      database: deps.database,
      signers: async (fresh) => {
        if (fresh) await this.#refresh()
        return this.#state.analysisKeys()
      },
      changed: (suggestion) => {
        this.#events.emit('suggestion', suggestion)
      },
      erased: (id) => {
        this.#events.emit('suggestion_deleted', id)
      },
    })
  }

  /** Reads the session, pins whom it meets, and joins its topic; history follows by itself. Called by Vigil.session. */
  async start(): Promise<void> {
    await this.#state.refresh()
    await this.#meet()
    const topic = Topic.session(this.#deps.realtime, this.id, {
      event: ({ event, row }) => {
        this.#hear(event, row)
      },
      status: (status) => {
        this.#turn(status)
      },
      failed: this.#report,
      recovery: (recovery) => {
        this.#events.emit('recovery', recovery)
      },
      presence: (present) => {
        this.#present = present
        this.#events.emit('presence', present)
      },
    }, this.#deps.userId)
    this.#topics.push(topic)
    void this.#timeline.catchUp() // the history does not wait for the socket
    await topic.join()
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

  /** Messages that are not stored yet. */
  get waiting(): number {
    return this.#outbox.waiting
  }

  /** The devices that can read what is sent now: always shown. */
  get readers(): readonly DeviceRow[] {
    return this.#state.expectedDevices()
  }

  /**
   * Listens. For 'message': first the messages there are, in order, then each new one once. For 'session': the row as it is,
   * then its changes. Returns the undo.
   */
  on<Name extends keyof SessionEvents>(name: Name, listener: (value: SessionEvents[Name]) => void): Undo {
    const undo = this.#events.on(name, listener)
    if (name === 'suggestion') this.#suggest()
    if (TopicNouns.care.some((noun) => noun === name)) this.#joinCare()
    this.#replay({ [name]: listener })
    return undo
  }

  /** Tells a new listener what was already said. */
  #replay(listener: { readonly [Name in keyof SessionEvents]?: (value: SessionEvents[Name]) => void }): void {
    if (listener.message !== undefined) for (const message of this.#shown) call(listener.message, message)
    if (listener.session !== undefined) call(listener.session, this.#state.row)
    if (listener.status !== undefined) call(listener.status, this.#status)
    if (listener.presence !== undefined) call(listener.presence, this.#present)
    if (listener.suggestion !== undefined) for (const suggestion of this.#suggestions.shown) call(listener.suggestion, suggestion)
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
   * Seals and sends a text; resolves with the message's id when it is stored. While the network is away it waits, in order,
   * in memory. Rejects with SessionError, DeviceChangedError, EnvelopeError or RequestError, and then it was surely not stored.
   */
  send(text: string): Promise<string> {
    return this.#outbox.send(text)
  }

  /** Verifies and opens one row of `messages`, wherever it comes from. */
  async open(row: unknown): Promise<ChatMessage> {
    return this.#judge(parseMessage(row))
  }

  /** The consent of the session's client. */
  readonly consent = {
    /** Signs and stores a consent to the text that was shown; resolves with its id. The client's only. */
    give: async (terms: { readonly text: string; readonly scope?: readonly ConsentScope[] }): Promise<string> => {
      const { device, database } = this.#deps
      const scope = terms.scope ?? [ConsentScope.analysis]
      const id = crypto.randomUUID()
      await database.insertConsent(await signConsent(device, { id, sessionId: this.id, text: terms.text, scope }))
      await this.#refresh()
      return id
    },
    /** Withdraws a consent: what is sent after it is under another epoch. */
    withdraw: async (id: string): Promise<void> => {
      const { device, database } = this.#deps
      const consent = this.#state.consents.find((one) => one.id === id)
      if (consent === undefined) throw new EnvelopeError('consent', `consent ${id} is not there`)
      await database.withdrawConsent(id, await signWithdrawal(device, consent))
      await this.#refresh()
    },
    /** All consents of the session, as last read. */
    list: (): readonly ConsentRow[] => this.#state.consents,
  }

  /** Drafted replies, for the session's clinicians. */
  readonly suggestions = {
    /** Reads all there are, oldest first. */
    list: (): Promise<readonly Suggestion[]> => this.#suggestions.list(),
    /** Asks for one on the client's last message; it comes by 'suggestion'. Rejects with RequestError: VG019 they are off, VG020 nothing is read, VG021 no message yet. */
    request: (): Promise<Suggestion> => this.#suggestions.request(),
    /**
     * Says what became of an offered one, at the version that was seen. Accepted and edited name the message that was sent with
     * `send` before: nothing is ever sent from here. Rejects with RequestError PT409 if someone was first.
     */
    decide: (id: string, decision: SuggestionDecision, version: number, sentMessageId: string | null = null): Promise<Suggestion> =>
      this.#suggestions.decide(id, decision, version, sentMessageId),
  }

  /** Trusts a device with the keys it has now: the people compared the safety number. */
  async acknowledge(deviceId: string): Promise<void> {
    const row = this.#state.devices.find((one) => one.id === deviceId)
    if (row === undefined) throw new EnvelopeError('roster', `device ${deviceId} is not there`)
    await this.#deps.pins.acknowledge(row)
    this.#unacknowledged = this.#unacknowledged.filter((one) => one !== deviceId)
  }

  /** Tries at once what waits for the network: call it when the browser is online again. */
  wake(): void {
    this.#clock.wake()
  }

  /** Leaves the topics. What was not stored is rejected as 'closed'. */
  async close(): Promise<void> {
    this.#clock.close()
    this.#events.emit('closed', this.#state.row)
    await Promise.all(this.#topics.map((topic) => topic.leave()))
  }

  async #seal(id: string, text: string): ReturnType<typeof sealMessage> {
    const epoch = await this.#state.sending()
    const seq = await this.#state.nextSeq(epoch.number)
    return sealMessage(this.#deps.device, epoch, { id, seq }, textContent(text, new Date()))
  }

  /** Opens a row, or says why not. Throws only what may be otherwise a moment later. */
  async #judge(row: MessageRow): Promise<ChatMessage> {
    const device = this.#state.devices.find((one) => one.id === row.sender_device_id)
    const place = {
      id: row.id,
      position: row.position,
      epoch: row.epoch,
      watched: row.assisted,
      missing: 0,
      readers: [],
      at: new Date(row.created_at),
    }
    const userId = device?.user_id ?? row.sender_id
    const from = { userId, deviceId: row.sender_device_id, role: null, me: userId === this.#deps.userId }
    try {
      const epoch = await this.#state.reading(row.epoch)
      const content = parseContent(await openMessage(epoch, row))
      const role = findMember(epoch.roster, row.sender_device_id)?.role === Role.client ? ParticipantRole.client : ParticipantRole.therapist
      const trusted = await this.#deps.pins.isTrusted(row.sender_device_id)
      const badges: readonly Badge[] = trusted ? [] : [{ kind: 'new_device', deviceId: row.sender_device_id }]
      const readers = rosterReaders(epoch.roster, this.#state.devices)
      return { ...place, from: { ...from, role }, text: content.body, files: content.files, badges, badge: badges[0] ?? null, readers }
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError)) throw thrown
      const badge: Badge = { kind: 'unreadable', refusal: thrown.refusal }
      return { ...place, from, text: null, files: [], badges: [badge], badge }
    }
  }

  /** How many seqs of the sender are missing before this row. */
  #gap(row: MessageRow): number {
    const key = `${row.sender_device_id} ${row.epoch}`
    const expected = (this.#seqs.get(key) ?? -1) + 1
    this.#seqs.set(key, Math.max(row.seq, expected - 1))
    return Math.max(0, row.seq - expected)
  }

  #show(message: ChatMessage): void {
    this.#shown.push(message)
    this.#events.emit('message', message)
  }

  #hear(event: TopicNoun<'session'>, row: Fields): void {
    switch (event) {
      case 'message':
        this.#timeline.offer(parseMessage(row))
        break
      case 'arrival':
        this.#timeline.heard(whole(row, 'position'))
        break
      default: // it changes who may read, or what is in force
        void this.#refresh().catch(this.#report)
    }
  }

  #turn(status: TopicStatus): void {
    this.#status = status
    this.#events.emit('status', status)
    if (status !== TopicStatus.joined) return
    this.#clock.wake()
    void this.#timeline.catchUp()
    void this.#refresh().catch(this.#report)
  }

  async #refresh(): Promise<void> {
    const before = this.#state.row
    const consents = this.#state.consents
    await this.#state.refresh()
    await this.#meet()
    if (JSON.stringify(before) !== JSON.stringify(this.#state.row)) this.#events.emit('session', this.#state.row)
    if (JSON.stringify(consents) !== JSON.stringify(this.#state.consents)) this.#events.emit('consent', this.#state.consents)
  }

  /** Pins devices met for the first time, and asks about the others. */
  async #meet(): Promise<void> {
    const waiting = await this.#state.unacknowledged()
    if (this.#deps.trustNewDevices) {
      for (const id of waiting) await this.acknowledge(id)
      return
    }
    const news = waiting.some((id) => !this.#unacknowledged.includes(id))
    this.#unacknowledged = waiting
    if (news) this.#events.emit('devices', waiting)
  }

  /** Tells of the suggestions there are. */
  #suggest(): void {
    this.#suggesting = true
    this.#suggestions.list().catch(this.#report)
  }

  #joinCare(): void {
    if (this.#care !== undefined) return
    this.#care = Topic.care(this.#deps.realtime, this.id, {
      event: ({ event, row }) => {
        if (event === 'suggestion') this.#suggestions.hear(row).catch(this.#report)
        else if (event === 'suggestion_deleted') this.#suggestions.hearErased(row).catch(this.#report)
        else if (event === 'suggestion_seal') this.#suggestions.hearSeal(row).catch(this.#report)
        else if (event === 'alert') this.#events.emit(event, parseAlert(row))
        else if (event === 'alert_event') this.#events.emit(event, parseAlertEvent(row))
        else this.#events.emit(event, parseAssessment(row))
      },
      status: (status) => { // the session's own topic says whether we are connected
        if (status === TopicStatus.joined && this.#suggesting) this.#suggest()
      },
      failed: this.#report,
    })
    this.#topics.push(this.#care)
    this.#care.join().catch(this.#report)
  }

  readonly #report = (thrown: unknown): void => {
    const temporary = thrown instanceof RequestError && thrown.temporary // the next join reads again
    if (!temporary) this.#events.emit('error', toError(thrown, 'follow the session'))
  }
}
