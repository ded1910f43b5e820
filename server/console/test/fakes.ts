/** A session that says what a test wants it to, and a project that answers each table with what the test put there. */
import type { SessionEvents } from 'vigil-client'
import type { OpenSession } from '../src/session/session-store.ts'

type Listeners<Events> = { [Name in keyof Events]?: Set<(value: Events[Name]) => void> }

class Emitter<Events> {
  readonly listeners: Listeners<Events> = {}

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const listeners = (this.listeners[name] ??= new Set())
    const own = (value: Events[Name]): void => { listener(value) }
    listeners.add(own)
    return () => { listeners.delete(own) }
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of this.listeners[name] ?? []) listener(value)
  }
}

export const ids = {
  session: 'd0000000-0000-4000-8000-0000000000b1', organization: 'd0000000-0000-4000-8000-0000000000aa',
  client: 'd0000000-0000-4000-8000-000000000001', therapist: 'd0000000-0000-4000-8000-000000000002',
} as const

export class FakeSession implements OpenSession {
  readonly id = ids.session
  row: OpenSession['row'] = { id: ids.session, organization_id: ids.organization, mode: 'assisted', status: 'active', min_epoch: 1 }
  readers: OpenSession['readers'] = []
  readonly asked: unknown[][] = []
  closed = 0
  readonly #events = new Emitter<SessionEvents>()
  readonly consent: OpenSession['consent'] = {
    give: () => Promise.resolve('consent'),
    withdraw: () => Promise.resolve(),
    list: () => this.consents,
  }
  consents: ReturnType<OpenSession['consent']['list']> = []
  readonly suggestions: OpenSession['suggestions'] = {
    list: () => Promise.resolve([]),
    request: () => { this.asked.push(['request']); return Promise.reject(new Error('not played')) },
    decide: (...terms) => { this.asked.push(terms); return Promise.reject(new Error('not played')) },
  }

  on<Name extends keyof SessionEvents>(name: Name, listener: (value: SessionEvents[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  emit<Name extends keyof SessionEvents>(name: Name, value: SessionEvents[Name]): void {
    this.#events.emit(name, value)
  }

  /** How many listen, to anything. */
  get listening(): number {
    return Object.values(this.#events.listeners).reduce((sum, one) => sum + one.size, 0)
  }

  hears(name: keyof SessionEvents): boolean {
    return (this.#events.listeners[name]?.size ?? 0) > 0
  }

  readonly watched = true

  /** What vigil-client's other entries go through: nothing of it is played here. */
  get entry(): OpenSession['entry'] {
    throw new Error('not played')
  }

  open(): ReturnType<OpenSession['open']> {
    return Promise.reject(new Error('not played'))
  }

  send(text: string): Promise<string> {
    this.asked.push(['send', text])
    return Promise.resolve(crypto.randomUUID())
  }

  /** Set it to what an acknowledgement is refused with. */
  refusal: Error | null = null

  acknowledge(deviceId: string, options: { readonly unsigned?: boolean } = {}): Promise<void> {
    this.asked.push(['acknowledge', deviceId, options.unsigned ?? false])
    return this.refusal === null || options.unsigned === true ? Promise.resolve() : Promise.reject(this.refusal)
  }

  acknowledgeMode(mode: string): Promise<void> {
    this.asked.push(['acknowledgeMode', mode])
    return Promise.resolve()
  }

  changeMode(mode: string): Promise<void> {
    this.asked.push(['changeMode', mode])
    return Promise.resolve()
  }

  takeBack(id: string): Promise<boolean> {
    this.asked.push(['takeBack', id])
    return Promise.resolve(true)
  }

  wake(): void {
    this.asked.push(['wake'])
  }

  safety(): Promise<string> {
    return Promise.resolve('12345 67890 12345 67890 12345 67890')
  }

  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}

export interface Reply {
  readonly data: unknown
  readonly status: number
  readonly error: { readonly message: string; readonly code: string; readonly details: string } | null
}

export const rowsOf = (data: unknown): Reply => ({ data, status: 200, error: null })
export const refusal = (status: number, code: string, details = ''): Reply => ({ data: null, status, error: { message: 'no', code, details } })

/** A project: `answers` by table or function; what has none is an empty table. Filters are not looked at. */
export class FakeProject {
  readonly answers = new Map<string, () => Reply>()
  readonly asked: string[] = []

  readonly #answer = (name: string): Reply => {
    this.asked.push(name)
    return this.answers.get(name)?.() ?? rowsOf([])
  }

  /** supabase-js as the stores use it, over real HTTP's place: a fetch that answers from here. */
  readonly fetch = (input: RequestInfo | URL): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input)
    const { data, status, error } = this.#answer(url.pathname.replace('/rest/v1/', ''))
    return Promise.resolve(new Response(JSON.stringify(error ?? data), { status, headers: { 'Content-Type': 'application/json' } }))
  }
}

