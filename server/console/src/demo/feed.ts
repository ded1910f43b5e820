import { json } from '../api/parse.ts'
import { Store, type Undo } from '../lib/store.ts'
import { parseDemoState, parseEvent, tell, withChapters, type Chapter, type DemoState } from './state.ts'

export interface Told extends Chapter {
  readonly at: Date
}

export interface FeedView {
  readonly state: DemoState | null
  /** The newest first. */
  readonly story: readonly Told[]
  /** Whether the development server answers. */
  readonly heard: boolean
  readonly fault: string | null
}

const MaxStory = 40
const AgainMs = 1500

/** The demo as its server tells it. EventSource comes back by itself after a break. */
export class Feed {
  readonly view = new Store<FeedView>({ state: null, story: [], heard: false, fault: null })
  readonly #undo: Undo[] = []

  open(): void {
    const events = new EventSource('api/events')
    events.onmessage = (event: MessageEvent<unknown>) => { this.#take(() => parseEvent(event.data)) }
    events.onerror = () => { this.view.update((old) => ({ ...old, heard: false })) }
    const timer = setInterval(() => { if (!this.view.get().heard) void this.#read() }, AgainMs)
    this.#undo.push(() => { events.close() }, () => { clearInterval(timer) })
    void this.#read()
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }

  async start(): Promise<void> {
    await this.#post('api/start', {})
  }

  async pull(): Promise<void> {
    await this.#post('api/plug', {})
  }

  async #read(): Promise<void> {
    try {
      const response = await fetch('api/state')
      const body = await response.text()
      if (response.ok) this.#take(() => parseDemoState(json(body, 'state')))
    } catch {
      this.view.update((old) => ({ ...old, heard: false }))
    }
  }

  async #post(path: string, body: object): Promise<void> {
    try {
      const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
      this.view.update((old) => ({ ...old, fault: response.ok ? null : `The development server refused (${response.status}). Its terminal says why.` }))
    } catch {
      this.view.update((old) => ({ ...old, fault: 'The development server does not answer. Is `go tool task dev` still running?' }))
    }
  }

  #take(parse: () => DemoState): void {
    try {
      const state = parse()
      this.view.update((old) => {
        const told = tell(old.state, state).map((one) => ({ ...one, at: new Date() }))
        return { ...old, state, heard: true, story: withChapters(old.story, told).slice(0, MaxStory) }
      })
    } catch {
      this.view.update((old) => ({ ...old, fault: 'The development server says something this page does not understand: build it anew.' }))
    }
  }
}
