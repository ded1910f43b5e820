/** Alerts as they stand, from tables and broadcasts in any order: what has the higher version is what stands. */
import { AlertStatus, type Alert, type AlertEvent } from '../api/rows.ts'
import { alertGravity } from '../session/words.ts'

export type Alerts = ReadonlyMap<string, Alert>
export type AlertEvents = ReadonlyMap<string, readonly AlertEvent[]>

export function withAlerts(known: Alerts, more: readonly Alert[]): Alerts {
  const next = new Map(known)
  for (const alert of more) {
    const before = next.get(alert.id)
    if (before === undefined || alert.version >= before.version) next.set(alert.id, alert)
  }
  return next
}

export function withEvents(known: AlertEvents, more: readonly AlertEvent[]): AlertEvents {
  const next = new Map(known)
  for (const event of more) {
    const before = next.get(event.alertId) ?? []
    if (before.some((one) => one.id === event.id)) continue
    next.set(event.alertId, [...before, event].sort((a, b) => a.version - b.version))
  }
  return next
}

const order: Readonly<Record<AlertStatus, number>> = { [AlertStatus.open]: 0, [AlertStatus.acknowledged]: 1, [AlertStatus.resolved]: 2 }

/** Open ones first, then the gravest; unknown counts as grave, for nobody has looked. */
export function inOrder(alerts: Alerts): readonly Alert[] {
  return [...alerts.values()].sort(
    (a, b) => order[a.status] - order[b.status] || alertGravity(b) - alertGravity(a) || b.raisedAt.getTime() - a.raisedAt.getTime(),
  )
}

export function unresolved(alerts: Iterable<Alert>): number {
  let count = 0
  for (const alert of alerts) if (alert.status !== AlertStatus.resolved) count++
  return count
}

/** The last step that a person took, if one did. */
export function lastStep(events: readonly AlertEvent[] | undefined): AlertEvent | undefined {
  return events?.findLast((event) => event.actorId !== null)
}
