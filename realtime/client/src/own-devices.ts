/** What a person seldom asks of their own devices. Loaded when they do. */
import type { DeviceState, DevicesDeps, OwnDevice } from './devices.ts'
import { SessionError } from './failure.ts'
import { readHeld } from './held.ts'
import { isLive, place, type Held } from './history.ts'
import { DeviceKind, type DeviceRow } from './rows.ts'
import { safetyNumber } from './safety.ts'

/** The list of them, of which `here` is the device in use. */
export function ownDevices(rows: readonly DeviceRow[], here: string, stateOf: (row: DeviceRow) => DeviceState): Promise<readonly OwnDevice[]> {
  return Promise.all(rows.map(async (row) => ({
    id: row.id,
    label: row.label,
    kind: row.kind === DeviceKind.recovery ? 'recovery' as const : 'participant' as const,
    state: stateOf(row),
    createdAt: new Date(row.created_at),
    here: row.id === here,
    safety: await safetyNumber([row]),
  })))
}

/** Refuses to replace a device whose keys are the last for a part of the history, or for messages that are not sent. */
export async function mustNotBeLast(deps: DevicesDeps, rows: readonly DeviceRow[], here: string, words: string): Promise<void> {
  const last = opensAlone(await readHeld(deps), rows, here)
  if (!last && (await deps.store.queue(deps.account)).length === 0) return
  throw new SessionError('not_active', `only this device opens some of what it keeps: say "${words}" to renew it`)
}

/** Whether the device `here` holds an epoch that no other living device does. */
function opensAlone(held: readonly Held[], devices: readonly DeviceRow[], here: string): boolean {
  const others = new Set(devices.filter((row) => isLive(row) && row.id !== here).map((row) => row.id))
  const elsewhere = new Set(held.filter((one) => one.verified && others.has(one.device_id)).map(place))
  return held.some((one) => one.device_id === here && !elsewhere.has(place(one)))
}
