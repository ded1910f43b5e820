import { SessionError, TopicStatus, type Badge, type ChatMessage, type ConsentRow, type DeviceRow, type ModeChange, type Recovery, type Session, type SessionRow } from 'vigil-client'
import { ErasureStatus, readErasures } from '../api/erasures.ts'
import { readNames } from '../api/people.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { readParticipants, stepSession, type Participant, type SessionStep } from '../api/sessions.ts'
import type { Supabase } from '../api/rest.ts'
import { Store, type Undo } from '../lib/store.ts'
import { Outgoing, type Draft } from './outgoing.ts'

const removed: Problem = {
  title: 'This device was removed', next: 'It opens no session any more. If this is still your browser, make new keys for it under Devices and recovery.', code: 'device_removed',
}

/** A device that waits opens sessions, and reads nothing: only one that was removed does not. */
const wasRemoved = (thrown: unknown): boolean => thrown instanceof SessionError && thrown.reason === 'device_waiting'

/** What the console uses of a session. */
export type OpenSession = Pick<
  Session, 'acknowledge' | 'acknowledgeMode' | 'changeMode' | 'close' | 'consent' | 'entry' | 'id' | 'on' | 'open' | 'readers' | 'row' | 'safety' | 'send' | 'suggestions' | 'takeBack' | 'wake' | 'watched'
>

/** What opens one: a Vigil. */
export interface Opener {
  readonly session: (id: string) => Promise<OpenSession>
}

export interface Person {
  readonly userId: string
  readonly name: string
  readonly role: Participant['role']
}

/** connecting (never joined yet), connected, recovering (was joined), ended (by the server, for good). */
export type ChannelState = 'connecting' | 'connected' | 'recovering' | 'ended'

/** A session as its screen shows it. */
export interface SessionView {
  readonly row: SessionRow
  /** null: the person sees the session as clinician, and does not take part. */
  readonly myRole: Participant['role'] | null
  readonly people: readonly Person[]
  /** Names of who is in no part of it, and could read: by user id. */
  readonly readerNames: ReadonlyMap<string, string>
  readonly messages: readonly ChatMessage[]
  /** From which message on they came while one looked: those are announced. -1 while the history is read. */
  readonly liveFrom: number
  readonly channel: ChannelState
  /** What the last re-join made good, or could not. */
  readonly recovery: Recovery | null
  readonly present: readonly string[]
  readonly consents: readonly ConsentRow[]
  /** Who can read what is sent now. */
  readonly readers: readonly DeviceRow[]
  /** Devices to check before anything is sent. */
  readonly strangers: readonly string[]
  /** Who may read has changed, and this person has not said that they saw it. */
  readonly modeChange: ModeChange | null
  /** Of messages of a private session, for clinicians: what the detector on this device has to say of the scores. */
  readonly scored: ReadonlyMap<string, readonly Badge[]>
  /** Nobody can read it any more. */
  readonly erased: boolean
  /** What went wrong in the background. */
  readonly trouble: Problem | null
}

export type SessionLoad =
  | { readonly phase: 'loading' }
  | { readonly phase: 'failed'; readonly problem: Problem }
  | { readonly phase: 'ready'; readonly session: OpenSession; readonly view: Store<SessionView> }

/** How long after the join what arrives still counts as history. */
const SettleMs = 1500
/** How often what the session knows without saying (devices that appeared) is looked at. */
const LookMs = 3000

/**
 * One session in one place: its history and its live channel (both vigil-client's, verified and in order), the names of its
 * people, and what is being sent from here. Everything it begins ends with close().
 */
export class SessionStore {
  readonly load = new Store<SessionLoad>({ phase: 'loading' })
  readonly outgoing: Outgoing
  readonly #supabase: Supabase
  readonly #vigil: () => Promise<Opener>
  readonly #id: string
  readonly #userId: string
  readonly #undo: Undo[] = []
  readonly #asked = new Set<string>()
  #closed = false
  #incoming: ChatMessage[] = []

  constructor(deps: { readonly supabase: Supabase; readonly vigil: () => Promise<Opener>; readonly id: string; readonly userId: string }) {
    this.#supabase = deps.supabase
    this.#vigil = deps.vigil
    this.#id = deps.id
    this.#userId = deps.userId
    this.outgoing = new Outgoing((text, files) => this.#session().send(text, { files, hold: true }))
  }

  /** Reads and joins; the store says how it went. Can be called again after it failed. */
  async open(): Promise<void> {
    this.load.set({ phase: 'loading' })
    try {
      const session = await (await this.#vigil()).session(this.#id)
      if (this.#closed) {
        await session.close()
        return
      }
      this.#undo.push(() => void session.close())
      const participants = await readParticipants(this.#supabase, [this.#id])
      const people = await this.#named(participants)
      if (this.#isClosed()) return
      const view = new Store(firstView(session, people, this.#roleIn(participants)))
      this.#follow(session, view)
      this.load.set({ phase: 'ready', session, view })
    } catch (thrown) {
      this.#end()
      if (!this.#isClosed()) this.load.set({ phase: 'failed', problem: wasRemoved(thrown) ? removed : problemOf(thrown, 'open the session') })
    }
  }

  /** Leaves the session; what was not stored yet waits in the device's queue, sealed, for the next visit. */
  close(): void {
    this.#closed = true
    this.#end()
  }

  /** As a method, for it may change between two awaits. */
  #isClosed(): boolean {
    return this.#closed
  }

  #end(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo()
    this.outgoing.close()
  }

  async step(step: SessionStep): Promise<void> {
    await stepSession(this.#supabase, step, this.#id)
  }

  async setMode(mode: SessionRow['mode']): Promise<void> {
    await this.#session().changeMode(mode)
  }

  #session(): OpenSession {
    const load = this.load.get()
    if (load.phase !== 'ready') throw new SessionError('closed', 'the session is not open')
    return load.session
  }

  async #named(participants: readonly Participant[]): Promise<readonly Person[]> {
    const live = participants.filter((one) => one.endedAt === null)
    const names = await readNames(this.#supabase, live.map((one) => one.userId))
    return live.map((one) => ({ userId: one.userId, role: one.role, name: names.get(one.userId) ?? `A ${one.role}` }))
  }

  #roleIn(participants: readonly Participant[]): Participant['role'] | null {
    return participants.find((one) => one.userId === this.#userId && one.endedAt === null)?.role ?? null
  }

  #follow(session: OpenSession, view: Store<SessionView>): void {
    const look = (): void => {
      view.update((old) => sameLook(old, session) ?? { ...old, row: session.row, readers: session.readers, consents: session.consent.list() })
    }
    const timer = setInterval(look, LookMs)
    this.#undo.push(
      () => { clearInterval(timer) },
      session.on('session', look),
      session.on('consent', look),
      session.on('message', (message) => { this.#hear(view, message) }),
      session.on('status', (status) => {
        look()
        this.#turn(view, status)
      }),
      session.on('recovery', (recovery) => { view.update((old) => ({ ...old, recovery })) }),
      session.on('presence', (present) => { view.update((old) => ({ ...old, present })) }),
      session.on('devices', (strangers) => { view.update((old) => ({ ...old, strangers, readers: session.readers })) }),
      session.on('mode', (mode) => { view.update((old) => ({ ...old, modeChange: mode.now === mode.acknowledged ? null : mode })) }),
      session.on('changed', (message) => { this.#change(view, message) }),
      session.on('queue', (queue) => { this.outgoing.queued(queue) }),
      session.on('reader', look),
      session.on('erasure', () => { view.update((old) => ({ ...old, erased: true, messages: [] })) }),
      session.on('error', (error) => { view.update((old) => ({ ...old, trouble: problemOf(error, 'follow the session') })) }),
    )
  }

  #turn(view: Store<SessionView>, status: TopicStatus): void {
    view.update((old) => ({ ...old, channel: channelAfter(old.channel, status) }))
    if (status === TopicStatus.ended) void this.#whetherErased(view)
    if (status !== TopicStatus.joined) return
    view.update((old) => ({ ...old, trouble: null }))
    const timer = setTimeout(() => {
      view.update((old) => (old.liveFrom >= 0 ? old : { ...old, liveFrom: old.messages.length }))
    }, SettleMs)
    this.#undo.push(() => { clearTimeout(timer) })
  }

  /** An erasure ends everybody's access, which may be heard before the erasure itself: nothing of it may stay in sight. */
  async #whetherErased(view: Store<SessionView>): Promise<void> {
    try {
      const found = await readErasures(this.#supabase)
      const erased = found.some((one) => one.sessionId === this.#id && one.status !== ErasureStatus.requested)
      if (erased) view.update((old) => ({ ...old, erased: true, messages: [], trouble: null }))
    } catch {
      // the page says that access has ended, which is true as well
    }
  }

  /** Messages of one turn of the loop are shown at once: a history of hundreds is one rendering. */
  #hear(view: Store<SessionView>, message: ChatMessage): void {
    this.#incoming.push(message)
    if (this.#incoming.length > 1) return
    queueMicrotask(() => {
      const arrived = this.#incoming
      this.#incoming = []
      for (const one of arrived) if (one.from.me) this.outgoing.arrived(one)
      view.update((old) => ({ ...old, messages: [...old.messages, ...arrived] }))
      void this.#nameReaders(view, arrived)
    })
  }

  #change(view: Store<SessionView>, message: ChatMessage): void {
    this.#incoming = this.#incoming.map((one) => (one.position === message.position ? message : one))
    view.update((old) => ({ ...old, messages: old.messages.map((one) => (one.position === message.position ? message : one)) }))
    void this.#nameReaders(view, [message])
  }

  /** Who was let in is called by name, where SQL shows it to this person. */
  async #nameReaders(view: Store<SessionView>, messages: readonly ChatMessage[]): Promise<void> {
    const { people } = view.get()
    const unknown = messages.flatMap((one) => one.readers).flatMap(({ userId }) => (userId === null || this.#asked.has(userId) || people.some((one) => one.userId === userId) ? [] : [userId]))
    if (unknown.length === 0) return
    for (const userId of unknown) this.#asked.add(userId)
    try {
      const names = await readNames(this.#supabase, unknown)
      view.update((old) => ({ ...old, readerNames: new Map([...old.readerNames, ...names]) }))
    } catch {
      // without a name it says "a clinician on call"
    }
  }

  /** The person has seen who may read now. */
  async acknowledgeMode(mode: SessionRow['mode']): Promise<void> {
    await this.#session().acknowledgeMode(mode)
  }

  /** Sends a text again: one that was refused anew, one that is kept by what keeps it. */
  async again(draft: Draft): Promise<void> {
    if (draft.state === 'failed') await this.outgoing.retry(draft.key)
    else this.#session().wake()
  }

  /** Takes a text that waits out of the queue; gives it, for the composer. null when it went out after all. */
  async takeBack(draft: Draft): Promise<string | null> {
    const queued = draft.id !== null && draft.state !== 'failed'
    if (queued && !(await this.#session().takeBack(draft.id))) return null // the message itself shows in a moment
    return this.outgoing.takeBack(draft.key)
  }

  /** What this device's detector says of a message's scores. */
  score(messageId: string, badges: readonly Badge[]): void {
    const load = this.load.get()
    if (load.phase === 'ready') load.view.update((old) => ({ ...old, scored: new Map(old.scored).set(messageId, badges) }))
  }

  /** Trusts a device: the person compared its number, or did not care to. `unsigned`: also when no known device of its owner has confirmed it. */
  async acknowledge(deviceId: string, unsigned: boolean): Promise<void> {
    const load = this.load.get()
    if (load.phase !== 'ready') return
    await load.session.acknowledge(deviceId, { unsigned })
    load.view.update((old) => ({ ...old, strangers: old.strangers.filter((one) => one !== deviceId) }))
  }
}

function firstView(session: OpenSession, people: readonly Person[], myRole: Participant['role'] | null): SessionView {
  return {
    row: session.row, myRole, people,
    readerNames: new Map(), messages: [], liveFrom: -1,
    channel: 'connecting', recovery: null, present: [],
    consents: session.consent.list(), readers: session.readers,
    strangers: [], modeChange: null, scored: new Map(), erased: false, trouble: null,
  }
}

/** The consents that hold: not withdrawn, and of a device that is still one of the session's. A removed one takes its consents along. */
export function standingConsents(view: Pick<SessionView, 'consents' | 'readers'>): readonly ConsentRow[] {
  return view.consents.filter((one) => one.withdrawn_at === null && (one.withdrawal_signature ?? '') === '' && view.readers.some((device) => device.id === one.device_id))
}

/** The old view, if nothing that is looked at has changed. */
function sameLook(old: SessionView, session: OpenSession): SessionView | undefined {
  const key = (readers: readonly DeviceRow[]): string => readers.map((one) => one.id).join()
  const same = old.row === session.row && key(old.readers) === key(session.readers) && old.consents === session.consent.list()
  return same ? old : undefined
}

export function channelAfter(before: ChannelState, status: TopicStatus): ChannelState {
  switch (status) {
    case TopicStatus.joined:
      return 'connected'
    case TopicStatus.ended:
      return 'ended'
    case TopicStatus.waiting:
      return before === 'connecting' ? 'connecting' : 'recovering'
  }
}
