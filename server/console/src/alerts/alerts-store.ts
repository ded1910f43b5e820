import { REALTIME_SUBSCRIBE_STATES } from '@supabase/supabase-js'
import type { Vigil } from 'vigil-client'
import { AlertStep, readAlertEvents, readOpenAlerts, readResolvedAlerts, stepAlert } from '../api/care.ts'
import { readContacts, type ContactPoint } from '../api/contact.ts'
import { readNames } from '../api/people.ts'
import { readSharing, SharingMs } from '../api/sharing.ts'
import { conflictOf, problemOf, type Problem } from '../api/problem.ts'
import type { Supabase } from '../api/rest.ts'
import { readParticipants } from '../api/sessions.ts'
import type { Alert } from '../api/rows.ts'
import { whileLookedAt } from '../lib/again.ts'
import { Store, type Undo } from '../lib/store.ts'
import type { ChannelState } from '../session/session-store.ts'
import type { StepOutcome } from '../session/care-store.ts'
import { withAlerts, withEvents, type AlertEvents, type Alerts } from './book.ts'

export interface AlertsView {
  readonly phase: 'loading' | 'ready' | 'failed'
  readonly problem: Problem | null
  readonly channel: ChannelState
  readonly alerts: Alerts
  readonly events: AlertEvents
  readonly names: ReadonlyMap<string, string>
  /** The client of each session, by session id. */
  readonly clients: ReadonlyMap<string, string>
  readonly raised: readonly string[]
  /** How each session's client is reached, by session id. */
  readonly contacts: ReadonlyMap<string, readonly ContactPoint[]>
  /** Who can read each alert's message, by alert id: its session's people, and whom it paged as far as they were given the key. */
  readonly readers: ReadonlyMap<string, ReadonlySet<string>>
}

/** How soon it looks again whether a key was given that is still on its way: no topic of the practice tells. */
const SharingLookMs = 5_000

/** How many that are over are read. */
const ResolvedShown = 10

/** The alerts of a supervisor's organisations, kept fresh by the topics org:<id>. */
export class AlertsStore {
  readonly view = new Store<AlertsView>({
    phase: 'loading', problem: null, channel: 'connecting', alerts: new Map(), events: new Map(), names: new Map(), clients: new Map(), raised: [], contacts: new Map(), readers: new Map(),
  })
  readonly #supabase: Supabase
  readonly #organizationIds: readonly string[]
  readonly #undo: Undo[] = []
  #closed = false
  #reading = false
  #again = false
  #look: ReturnType<typeof setTimeout> | undefined

  constructor(deps: { readonly supabase: Supabase; readonly organizationIds: readonly string[] }) {
    this.#supabase = deps.supabase
    this.#organizationIds = deps.organizationIds
  }

  open(vigil: () => Promise<Vigil>): void {
    this.#undo.push(whileLookedAt(() => { void this.read() }))
    void this.read()
    this.#follow(vigil).catch((thrown: unknown) => {
      this.view.update((old) => ({ ...old, problem: problemOf(thrown, 'follow the practice') }))
    })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#look)
    for (const undo of this.#undo.splice(0)) undo()
  }

  /** Reads the tables; a reading that is asked for during another follows it. */
  async read(): Promise<void> {
    if (this.#reading) {
      this.#again = true
      return
    }
    this.#reading = true
    try {
      await this.#read()
    } catch (thrown) {
      const problem = problemOf(thrown, 'read the alerts')
      this.view.update((old) => ({ ...old, phase: old.phase === 'ready' ? 'ready' : 'failed', problem }))
    } finally {
      this.#reading = false
      if (this.#again && !this.#closed) {
        this.#again = false
        void this.read()
      }
    }
  }

  async step(step: AlertStep, alert: Alert): Promise<StepOutcome> {
    try {
      const after = await stepAlert(this.#supabase, step, alert)
      this.view.update((old) => ({ ...old, alerts: withAlerts(old.alerts, [after]) }))
      void this.read()
      return { done: true }
    } catch (thrown) {
      if (conflictOf(thrown) !== undefined) await this.read()
      return { done: false, problem: problemOf(thrown, step === AlertStep.acknowledge ? 'acknowledge the alert' : 'resolve the alert') }
    }
  }

  async #read(): Promise<void> {
    const [open, resolved] = await Promise.all([readOpenAlerts(this.#supabase), readResolvedAlerts(this.#supabase, ResolvedShown)])
    const alerts = [...open, ...resolved]
    const [events, participants, sharing] = await Promise.all([
      readAlertEvents(this.#supabase, alerts.map((one) => one.id)),
      readParticipants(this.#supabase, alerts.map((one) => one.sessionId)),
      readSharing(this.#supabase, open),
    ])
    const actors = events.flatMap((one) => (one.actorId === null ? [] : [one.actorId]))
    const names = await readNames(this.#supabase, [...participants.map((one) => one.userId), ...actors])
    const points = await readContacts(this.#supabase, participants.filter((one) => one.role === 'client').map((one) => one.userId))
    if (this.#closed) return
    const contacts = new Map(participants.filter((one) => one.role === 'client').map((one) => [one.sessionId, points.filter((point) => point.userId === one.userId)]))
    const readers = new Map(alerts.map((alert) => [
      alert.id, new Set([...sharing.get(alert.id) ?? [], ...participants.filter((one) => one.sessionId === alert.sessionId && one.endedAt === null).map((one) => one.userId)]),
    ]))
    clearTimeout(this.#look)
    if (open.some((one) => one.textShared && sharing.get(one.id)?.size === 0 && Date.now() - one.raisedAt.getTime() < SharingMs)) {
      this.#look = setTimeout(() => { void this.read() }, SharingLookMs)
    }
    const clients = new Map(participants.filter((one) => one.role === 'client').map((one) => [one.sessionId, names.get(one.userId) ?? 'a client']))
    this.view.update((old) => {
      const known = withAlerts(new Map([...old.alerts].filter(([id]) => alerts.some((one) => one.id === id))), alerts)
      const fresh = old.phase === 'ready' ? open.filter((one) => !old.alerts.has(one.id)).map((one) => one.id) : []
      return { ...old, phase: 'ready', problem: null, alerts: known, events: withEvents(old.events, events), names, clients, contacts, readers, raised: [...old.raised, ...fresh] }
    })
  }

  async #follow(vigil: () => Promise<Vigil>): Promise<void> {
    const v = await vigil()
    await v.realtime.setAuth()
    if (this.#closed) return
    for (const id of this.#organizationIds) {
      const channel = v.realtime.channel(`org:${id}`, { config: { private: true } })
      this.#undo.push(() => void v.realtime.removeChannel(channel))
      const look = (): void => { void this.read() }
      channel.on('broadcast', { event: 'alert' }, look).on('broadcast', { event: 'alert_event' }, look)
      channel.subscribe((status) => {
        if (this.#closed) return
        const joined = status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED
        this.view.update((old) => ({ ...old, channel: joined ? 'connected' : old.channel === 'connecting' ? 'connecting' : 'recovering' }))
        if (joined) void this.read() // what it told before is not repeated
      })
    }
  }
}
