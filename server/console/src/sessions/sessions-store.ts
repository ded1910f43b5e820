import type { ParticipantRole, SessionMode, SessionStatus, Vigil } from 'vigil-client'
import { readOpenAlerts } from '../api/care.ts'
import { readNames } from '../api/people.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import type { Supabase } from '../api/rest.ts'
import type { Alert } from '../api/rows.ts'
import { PageSessions, readParticipants, readSessions, type Participant, type SessionSummary } from '../api/sessions.ts'
import { whileLookedAt } from '../lib/again.ts'
import { Store, type Undo } from '../lib/store.ts'
import { alertGravity } from '../session/words.ts'

export interface SessionLine {
  readonly id: string
  readonly mode: SessionMode
  readonly status: SessionStatus
  readonly at: Date
  readonly with: readonly string[]
  readonly myRole: ParticipantRole | null
  /** Unresolved, the gravest first. Always empty for a client. */
  readonly alerts: readonly Alert[]
}

export type SessionsView =
  | { readonly phase: 'loading' }
  | { readonly phase: 'failed'; readonly problem: Problem }
  | { readonly phase: 'ready'; readonly lines: readonly SessionLine[]; readonly more: boolean; readonly stale: Problem | null }

/** A person's sessions: read when looked at, now and then, and when their inbox tells of an alert. */
export class SessionsStore {
  readonly view = new Store<SessionsView>({ phase: 'loading' })
  readonly #supabase: Supabase
  readonly #userId: string
  readonly #clinician: boolean
  readonly #undo: Undo[] = []
  #count = PageSessions
  #closed = false

  constructor(deps: { readonly supabase: Supabase; readonly userId: string; readonly clinician: boolean }) {
    this.#supabase = deps.supabase
    this.#userId = deps.userId
    this.#clinician = deps.clinician
  }

  open(vigil: () => Promise<Vigil>): void {
    this.#undo.push(whileLookedAt(() => { void this.read() }))
    void this.read()
    void this.#follow(vigil)
  }

  close(): void {
    this.#closed = true
    for (const undo of this.#undo.splice(0)) undo()
  }

  async more(): Promise<void> {
    this.#count += PageSessions
    await this.read()
  }

  async read(): Promise<void> {
    try {
      const sessions = await readSessions(this.#supabase, this.#count)
      const [participants, alerts] = await Promise.all([
        readParticipants(this.#supabase, sessions.map((one) => one.id)),
        this.#clinician ? readOpenAlerts(this.#supabase) : Promise.resolve([]),
      ])
      const names = await readNames(this.#supabase, participants.map((one) => one.userId))
      if (this.#closed) return
      const lines = linesOf(sessions, participants, names, alerts, this.#userId)
      this.view.set({ phase: 'ready', lines, more: sessions.length === this.#count, stale: null })
    } catch (thrown) {
      if (this.#closed) return
      const problem = problemOf(thrown, 'read your sessions')
      this.view.update((old) => (old.phase === 'ready' ? { ...old, stale: problem } : { phase: 'failed', problem }))
    }
  }

  /** The device is made on the way, so that a session can start; a clinician's inbox says when an alert comes. */
  async #follow(vigil: () => Promise<Vigil>): Promise<void> {
    try {
      const v = await vigil()
      if (!this.#clinician || this.#isClosed()) return
      await v.realtime.setAuth()
      if (this.#isClosed()) return
      const inbox = v.realtime.channel(`inbox:${this.#userId}`, { config: { private: true } })
      this.#undo.push(() => void v.realtime.removeChannel(inbox))
      inbox.on('broadcast', { event: 'alert_recipient' }, () => { void this.read() }).subscribe()
    } catch (thrown) {
      const problem = problemOf(thrown, 'make this browser’s device')
      this.view.update((old) => (old.phase === 'ready' ? { ...old, stale: problem } : old))
    }
  }

  #isClosed(): boolean {
    return this.#closed
  }
}

/** Sessions with an unresolved alert first; then those that run, wait, and are over. */
const rank: Readonly<Record<SessionStatus, number>> = { active: 1, paused: 2, scheduled: 3, ended: 4 }

export function linesOf(
  sessions: readonly SessionSummary[],
  participants: readonly Participant[],
  names: ReadonlyMap<string, string>,
  alerts: readonly Alert[],
  me: string,
): readonly SessionLine[] {
  const lines = sessions.map((session): SessionLine => {
    const people = participants.filter((one) => one.sessionId === session.id && one.endedAt === null)
    return {
      id: session.id,
      mode: session.mode,
      status: session.status,
      at: session.endedAt ?? session.startedAt ?? session.scheduledFor ?? session.createdAt,
      with: people.filter((one) => one.userId !== me).map((one) => names.get(one.userId) ?? `a ${one.role}`),
      myRole: people.find((one) => one.userId === me)?.role ?? null,
      alerts: alerts.filter((one) => one.sessionId === session.id).sort((a, b) => alertGravity(b) - alertGravity(a)),
    }
  })
  const place = (line: SessionLine): number => (line.alerts.length > 0 ? 0 : rank[line.status])
  return lines.sort((a, b) => place(a) - place(b) || b.at.getTime() - a.at.getTime())
}
