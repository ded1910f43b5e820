import { ParticipantRole, SuggestionDecision, SuggestionStatus, TopicStatus, type Suggestion } from 'vigil-client'
import { AlertStep, readAlertEvents, readAssessments, readSessionAlerts, readSessionTopics, stepAlert } from '../api/care.ts'
import { readContacts, type ContactPoint } from '../api/contact.ts'
import { readNames, readOrganizations } from '../api/people.ts'
import { readSharing } from '../api/sharing.ts'
import { conflictOf, problemOf, type Problem } from '../api/problem.ts'
import type { Supabase } from '../api/rest.ts'
import { readParticipants } from '../api/sessions.ts'
import { AlertStatus, parseAlert, parseAlertEvent, parseAssessment, Suggesting, type Alert, type Assessment, type TopicWeight } from '../api/rows.ts'
import { withAlerts, withEvents, type AlertEvents, type Alerts } from '../alerts/book.ts'
import { whileLookedAt } from '../lib/again.ts'
import { Store, type Undo } from '../lib/store.ts'
import type { OpenSession } from './session-store.ts'

/** What only clinicians see of a session. */
export interface CareView {
  readonly phase: 'loading' | 'ready' | 'failed'
  readonly problem: Problem | null
  /** By message. */
  readonly assessments: ReadonlyMap<string, Assessment>
  /** What the session has been about of late, the heaviest first. */
  readonly topics: readonly TopicWeight[]
  readonly alerts: Alerts
  readonly events: AlertEvents
  /** Names of who acted on alerts, by user id. */
  readonly names: ReadonlyMap<string, string>
  readonly suggestions: readonly Suggestion[]
  readonly suggesting: Suggesting
  /** Alerts raised while one looked: those are announced. */
  readonly raised: readonly string[]
  /** How the session's clients are reached outside. */
  readonly contacts: readonly ContactPoint[]
  /** Whom an alert paged and who was given its message's key, by alert id. */
  readonly readers: ReadonlyMap<string, ReadonlySet<string>>
}

const nothing: CareView = {
  phase: 'loading', problem: null,
  assessments: new Map(), topics: [], alerts: new Map(), events: new Map(), names: new Map(),
  suggestions: [], suggesting: Suggesting.off, raised: [], contacts: [], readers: new Map(),
}

/** What became of a step on an alert. */
export type StepOutcome = { readonly done: true } | { readonly done: false; readonly problem: Problem }

/**
 * A clinician's side of a session: what the tables say of it, joined with what its care topic tells. Made for clinicians only;
 * for a client it would be told nothing, and it is not made.
 */
export class CareStore {
  readonly view = new Store<CareView>(nothing)
  readonly #supabase: Supabase
  readonly #session: OpenSession
  readonly #organizationId: string
  readonly #undo: Undo[] = []
  #closed = false
  /** One reading of the topics is under way, and another is due after it. */
  #topics: 'known' | 'reading' | 'due' = 'known'

  constructor(deps: { readonly supabase: Supabase; readonly session: OpenSession }) {
    this.#supabase = deps.supabase
    this.#session = deps.session
    this.#organizationId = deps.session.row.organization_id
  }

  /** Listens, then reads: what came in between is merged by version. */
  open(): void {
    const session = this.#session
    this.#undo.push(
      session.on('assessment', (row) => { this.#guard(() => { this.#assess([parseAssessment(row)]) }); void this.#readTopics() }),
      session.on('alert', (row) => { this.#guard(() => { this.#hearAlert(parseAlert(row)) }) }),
      session.on('alert_event', (row) => {
        this.#guard(() => {
          const event = parseAlertEvent(row)
          this.view.update((old) => ({ ...old, events: withEvents(old.events, [event]) }))
          void this.#name([event.actorId])
        })
      }),
      session.on('suggestion', (suggestion) => {
        this.view.update((old) => ({ ...old, suggestions: withSuggestion(old.suggestions, suggestion) }))
      }),
      session.on('suggestion_deleted', (id) => {
        this.view.update((old) => ({ ...old, suggestions: old.suggestions.filter((one) => one.id !== id) }))
      }),
      session.on('reader', () => { void this.#readSharing() }),
      session.on('status', (status) => { if (status === TopicStatus.joined) void this.read() }),
      session.on('error', () => { void this.read() }), // a row, perhaps, that could not be read
      whileLookedAt(() => { void this.#readSetting() }),
    )
    void this.read()
  }

  close(): void {
    this.#closed = true
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }

  /** Reads the tables; also what "try again" does. */
  async read(): Promise<void> {
    try {
      const id = this.#session.id
      const [assessments, alerts] = await Promise.all([readAssessments(this.#supabase, id), readSessionAlerts(this.#supabase, id), this.#readSetting(), this.#readTopics(), this.#readContacts()])
      const events = await readAlertEvents(this.#supabase, alerts.map((one) => one.id))
      if (this.#closed) return
      this.#assess(assessments)
      this.view.update((old) => ({
        ...old, phase: 'ready', problem: null, alerts: withAlerts(old.alerts, alerts), events: withEvents(old.events, events),
      }))
      await Promise.all([this.#name(events.map((one) => one.actorId)), this.#readSharing()])
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  /** Acknowledges or resolves under the version that is shown; what somebody else did first is read, and told. */
  async step(step: AlertStep, alert: Alert): Promise<StepOutcome> {
    try {
      const after = await stepAlert(this.#supabase, step, alert)
      this.view.update((old) => ({ ...old, alerts: withAlerts(old.alerts, [after]) }))
      return { done: true }
    } catch (thrown) {
      if (conflictOf(thrown) !== undefined) await this.read()
      return { done: false, problem: problemOf(thrown, step === AlertStep.acknowledge ? 'acknowledge the alert' : 'resolve the alert') }
    }
  }

  /** Asks for a draft on the client's last message. */
  async request(): Promise<StepOutcome> {
    return this.#suggest(() => this.#session.suggestions.request(), 'ask for a suggestion')
  }

  async reject(suggestion: Suggestion): Promise<StepOutcome> {
    return this.#suggest(() => this.#session.suggestions.decide(suggestion.id, SuggestionDecision.rejected, suggestion.version), 'reject the suggestion')
  }

  /** Says that a suggestion went out as a message of the clinician's own, as it was or changed. */
  async sent(suggestion: Suggestion, text: string, messageId: string): Promise<StepOutcome> {
    const decision = text === suggestion.text?.trim() ? SuggestionDecision.accepted : SuggestionDecision.edited
    return this.#suggest(() => this.#session.suggestions.decide(suggestion.id, decision, suggestion.version, messageId), 'note what became of the suggestion')
  }

  async #suggest(ask: () => Promise<unknown>, attempt: string): Promise<StepOutcome> {
    try {
      await ask() // what came of it is told by the session's own event
      return { done: true }
    } catch (thrown) {
      if (conflictOf(thrown) !== undefined) await this.#session.suggestions.list().catch(() => undefined)
      return { done: false, problem: problemOf(thrown, attempt) }
    }
  }

  async #readSetting(): Promise<void> {
    try {
      const organizations = await readOrganizations(this.#supabase)
      const suggesting = organizations.find((one) => one.id === this.#organizationId)?.suggestions ?? Suggesting.off
      this.view.update((old) => (old.suggesting === suggesting ? old : { ...old, suggesting }))
    } catch {
      // the next look reads it again; asking for a suggestion is refused by the database anyway
    }
  }

  async #readContacts(): Promise<void> {
    try {
      const people = await readParticipants(this.#supabase, [this.#session.id])
      const contacts = await readContacts(this.#supabase, people.filter((one) => one.role === ParticipantRole.client).map((one) => one.userId))
      if (!this.#closed) this.view.update((old) => ({ ...old, contacts }))
    } catch {
      // an alert then says that none is known; the next reading asks again
    }
  }

  async #readSharing(): Promise<void> {
    try {
      const readers = await readSharing(this.#supabase, [...this.view.get().alerts.values()].filter((one) => one.status !== AlertStatus.resolved))
      if (!this.#closed) this.view.update((old) => ({ ...old, readers }))
    } catch {
      // an alert then says what was known; the next reading asks again
    }
  }

  /** The topics are not broadcast: they are read when a message has been assessed. */
  async #readTopics(): Promise<void> {
    if (this.#topics !== 'known') {
      this.#topics = 'due'
      return
    }
    do {
      this.#topics = 'reading'
      try {
        const topics = await readSessionTopics(this.#supabase, this.#session.id)
        if (!this.#closed) this.view.update((old) => ({ ...old, topics }))
      } catch {
        // the next assessment reads them again
      }
    } while (this.#again())
    this.#topics = 'known'
  }

  #again(): boolean {
    return this.#topics === 'due' && !this.#closed
  }

  #assess(assessments: readonly Assessment[]): void {
    this.view.update((old) => ({ ...old, assessments: withAssessments(old.assessments, assessments) }))
  }

  #hearAlert(alert: Alert): void {
    this.view.update((old) => ({
      ...old,
      alerts: withAlerts(old.alerts, [alert]),
      raised: old.alerts.has(alert.id) || old.phase !== 'ready' ? old.raised : [...old.raised, alert.id],
    }))
  }

  async #name(userIds: readonly (string | null)[]): Promise<void> {
    const known = this.view.get().names
    const missing = userIds.filter((id): id is string => id !== null && !known.has(id))
    if (missing.length === 0) return
    try {
      const names = await readNames(this.#supabase, missing)
      this.view.update((old) => ({ ...old, names: new Map([...old.names, ...names]) }))
    } catch {
      // without a name it says "a clinician"
    }
  }

  #guard(work: () => void): void {
    try {
      work()
    } catch {
      void this.read() // a broadcast that cannot be read: the table is the truth
    }
  }

  #fail(thrown: unknown): void {
    if (this.#closed) return
    this.view.update((old) => ({ ...old, phase: old.phase === 'ready' ? 'ready' : 'failed', problem: problemOf(thrown, 'read what was found') }))
  }
}

/** The standing assessment of each message; a superseded one makes room only for what supersedes it. */
export function withAssessments(known: ReadonlyMap<string, Assessment>, more: readonly Assessment[]): ReadonlyMap<string, Assessment> {
  const next = new Map(known)
  for (const one of more) {
    const before = next.get(one.messageId)
    const newer = before === undefined || before.superseded || one.createdAt.getTime() >= before.createdAt.getTime()
    if (one.superseded ? before === undefined || before.id === one.id : newer) next.set(one.messageId, one)
  }
  return next
}

/** The newest first; each once. */
export function withSuggestion(known: readonly Suggestion[], one: Suggestion): readonly Suggestion[] {
  const others = known.filter((old) => old.id !== one.id)
  return [...others, one].sort((a, b) => b.at.getTime() - a.at.getTime() || b.id.localeCompare(a.id))
}

/** Those that wait for a clinician, or are on their way. */
export function openSuggestions(suggestions: readonly Suggestion[]): readonly Suggestion[] {
  return suggestions.filter((one) => one.status === SuggestionStatus.offered || one.status === SuggestionStatus.requested)
}
