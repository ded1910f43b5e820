import { fields, json, number, oneOf, optionalText, flag, text, time, type Fields } from '../api/parse.ts'
import { parsePeople, type DemoPerson } from '../app/config.ts'

export const SidecarState = { up: 'up', down: 'down', starting: 'starting' } as const
export type SidecarState = (typeof SidecarState)[keyof typeof SidecarState]

/** What the development server says of the demo (its /api/state, and each event of /api/events). */
export interface DemoState {
  readonly sidecar: { readonly state: SidecarState; readonly since: Date; readonly kills: number }
  readonly consoleUrl: string
  readonly people: readonly DemoPerson[]
  readonly replay: { readonly running: boolean; readonly total: number; readonly sent: number; readonly error: string | null } | null
  readonly counters: {
    readonly written: number
    readonly assessed: number
    readonly notAssessed: number
    readonly relayed: number
    readonly missing: number
    readonly doubled: number
    /** By level, the gravest first; a null level is "nobody could assess it". */
    readonly alerts: readonly { readonly level: number | null; readonly count: number }[]
    readonly suggestions: number
  }
  readonly latency: { readonly p50Ms: number; readonly p95Ms: number; readonly maxMs: number }
}

function parseAlerts(row: Fields): DemoState['counters']['alerts'] {
  const alerts = fields(row['alerts'], 'alerts')
  const found = Object.keys(alerts).map((name) => ({ level: /^\d+$/.test(name) ? Number(name) : null, count: number(alerts, name) }))
  return found.sort((a, b) => (b.level ?? -1) - (a.level ?? -1))
}

export function parseDemoState(value: unknown): DemoState {
  const state = fields(value, 'state')
  const sidecar = fields(state['sidecar'], 'sidecar')
  const counters = fields(state['counters'], 'counters')
  const latency = fields(state['latency'], 'latency')
  const replay = state['replay'] === null || state['replay'] === undefined ? null : fields(state['replay'], 'replay')
  return {
    sidecar: { state: oneOf(sidecar, 'state', SidecarState), since: time(sidecar, 'since'), kills: number(sidecar, 'kills') },
    consoleUrl: text(state, 'consoleUrl'),
    people: parsePeople(state['people']),
    replay: replay === null ? null : {
      running: flag(replay, 'running'), total: number(replay, 'total'), sent: number(replay, 'sent'), error: optionalText(replay, 'error'),
    },
    counters: {
      written: number(counters, 'written'), assessed: number(counters, 'assessed'), notAssessed: number(counters, 'notAssessed'),
      relayed: number(counters, 'relayed'), missing: number(counters, 'missing'), doubled: number(counters, 'doubled'),
      alerts: parseAlerts(counters), suggestions: number(counters, 'suggestions'),
    },
    latency: { p50Ms: number(latency, 'p50Ms'), p95Ms: number(latency, 'p95Ms'), maxMs: number(latency, 'maxMs') },
  }
}

/** Reads the text of one event. */
export function parseEvent(data: unknown): DemoState {
  return parseDemoState(json(text({ data }, 'data'), 'event'))
}

const alertCount = (state: DemoState): number => state.counters.alerts.reduce((sum, one) => sum + one.count, 0)
const done = (state: DemoState): number => state.counters.assessed + state.counters.notAssessed

/** Whether all that was written is assessed and was heard. */
export function isLevel(state: DemoState): boolean {
  const { written, relayed, missing, doubled } = state.counters
  return written > 0 && done(state) === written && relayed === written && missing === 0 && doubled === 0
}

/** What the times are of. */
export function latencyWords(kills: number): string {
  const crash = kills === 0 ? '' : kills === 1 ? ', the crash included' : `, the ${kills} crashes included`
  return `From storing a message to its assessment at a clinician’s socket${crash}.`
}

/** A sentence of the story. Being level again is told once for each kill: counters dip and meet all the time. */
export interface Chapter {
  readonly kind: 'begun' | 'found' | 'killed' | 'back' | 'level' | 'over'
  readonly text: string
}

/** What has happened between two states. */
export function tell(before: DemoState | null, after: DemoState): readonly Chapter[] {
  const told: Chapter[] = []
  const began = after.replay?.running === true && before?.replay?.running !== true
  if (began) told.push({ kind: 'begun', text: 'The demo began: invented clients and therapists write to each other, each on a device with keys of its own.' })
  if (before === null) return told
  if (alertCount(before) === 0 && alertCount(after) > 0) told.push({ kind: 'found', text: 'The first alert: a message was grave enough that a clinician was told.' })
  if (before.counters.suggestions === 0 && after.counters.suggestions > 0) told.push({ kind: 'found', text: 'The first suggestion was drafted, sealed to the therapist’s device.' })
  if (after.sidecar.kills > before.sidecar.kills) {
    told.push({ kind: 'killed', text: `The plug was pulled (kill -9) after ${after.counters.written} messages. People go on writing: Supabase is up, and the log keeps what was committed.` })
  }
  if (before.sidecar.state !== SidecarState.up && after.sidecar.state === SidecarState.up) {
    const behind = after.counters.written - done(after)
    told.push({ kind: 'back', text: `The sidecar is back${behind > 0 ? `, ${behind} ${behind === 1 ? 'message' : 'messages'} behind, and reads on where it stopped` : ''}.` })
  }
  if (!isLevel(before) && isLevel(after) && after.sidecar.kills > 0) {
    told.push({ kind: 'level', text: `Caught up: ${after.counters.written} written, assessed and relayed. Nothing is missing, nothing doubled.` })
  }
  if (before.replay?.running === true && after.replay?.running === false) {
    told.push({ kind: 'over', text: after.replay.error === null ? 'Everybody has said what they had to say.' : `The conversations stopped: ${after.replay.error}.` })
  }
  return told
}

/** The story with what is worth adding, the newest first. */
export function withChapters<T extends Chapter>(story: readonly T[], told: readonly T[]): readonly T[] {
  let next = story
  for (const one of told) {
    const last = next.find((other) => other.kind === 'level' || other.kind === 'killed')
    if (one.kind !== 'level' || last?.kind === 'killed') next = [one, ...next]
  }
  return next
}
