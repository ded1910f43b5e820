import type { RealtimeClient } from '@supabase/realtime-js'
import type { SessionEvents } from './chat.ts'
import type { Clock } from './clock.ts'
import type { SessionDatabase } from './database.ts'
import type { Device } from './device.ts'
import type { Emitter } from './events.ts'
import { parseAlert, parseAlertEvent, parseAssessment } from './findings.ts'
import type { Fields } from './parse.ts'
import { parseScore } from './seldom-rows.ts'
import { Suggestions } from './suggestions.ts'
import { Topic, TopicStatus, type TopicNoun } from './topic.ts'

export interface CareDeps {
  readonly id: string
  readonly device: Device
  readonly database: SessionDatabase
  readonly realtime: RealtimeClient
  readonly events: Emitter<SessionEvents>
  readonly clock: Clock
  /** The sidecar's signing keys that are trusted here; read anew if asked. */
  readonly signers: (fresh: boolean) => Promise<readonly CryptoKey[]>
  readonly report: (thrown: unknown) => void
}

/** What a session's clinicians are told beside its messages: the topic care:<id>. Loaded, and joined, when first asked for. */
export class Care {
  readonly suggestions: Suggestions
  readonly #deps: CareDeps
  #topic: Topic<TopicNoun<'care'>> | undefined
  #suggesting = false

  constructor(deps: CareDeps) {
    this.#deps = deps
    this.suggestions = new Suggestions({
      id: deps.id,
      device: deps.device,
      database: deps.database,
      signers: deps.signers,
      changed: (suggestion) => {
        deps.events.emit('suggestion', suggestion)
      },
      erased: (id) => {
        deps.events.emit('suggestion_deleted', id)
      },
    })
  }

  /** Joins for the listeners of an event, and tells those of suggestions which there are. */
  listen(name: keyof SessionEvents): void {
    if (name === 'suggestion') this.#suggest()
    if (this.#topic !== undefined || this.#deps.clock.closed) return
    this.#topic = Topic.care(this.#deps.realtime, this.#deps.id, {
      event: ({ event, row }) => {
        this.#hear(event, row)
      },
      status: (status) => { // the session's own topic says whether we are connected
        if (status === TopicStatus.joined && this.#suggesting) this.#suggest()
      },
      failed: this.#deps.report,
    })
    this.#topic.join().catch(this.#deps.report)
  }

  #suggest(): void {
    this.#suggesting = true
    this.suggestions.list().catch(this.#deps.report)
  }

  async leave(): Promise<void> {
    await this.#topic?.leave()
  }

  #hear(event: TopicNoun<'care'>, row: Fields): void {
    const { events, report } = this.#deps
    if (event === 'suggestion') this.suggestions.hear(row).catch(report)
    else if (event === 'suggestion_deleted') this.suggestions.hearErased(row).catch(report)
    else if (event === 'suggestion_seal') this.suggestions.hearSeal(row).catch(report)
    else if (event === 'alert') events.emit(event, parseAlert(row))
    else if (event === 'alert_event') events.emit(event, parseAlertEvent(row))
    else if (event === 'score') events.emit(event, parseScore(row))
    else events.emit(event, parseAssessment(row))
  }
}
