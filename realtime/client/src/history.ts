/** Which of a person's devices can read which epochs. */
import { DeviceKind, type DeviceRow, type HeldEpoch } from './rows.ts'

/**
 * What of a person's history this device can read, and what would be left if it were lost. Safe: all of it is held elsewhere too.
 * Only here: something of it is on this device alone. Locked: another device or the recovery key can still give it. Lost: what is
 * missing here is held by nothing that lives.
 */
export interface HistoryState {
  readonly here: 'whole' | 'part' | 'none'
  readonly recovery: 'set' | 'unset'
  /** How many other admitted, unrevoked devices there are. */
  readonly otherDevices: number
  readonly state: 'safe' | 'only_here' | 'locked' | 'lost'
}

/** An epoch's name. */
export const place = (one: Pick<HeldEpoch, 'session_id' | 'epoch'>): string => `${one.session_id} ${one.epoch}`

function isLive(row: DeviceRow): boolean {
  return row.admitted_at !== null && row.revoked_at === null
}

/** The history of the person whose devices these are, seen from the device `here`. */
export function historyOf(held: readonly HeldEpoch[], devices: readonly DeviceRow[], here: string): HistoryState {
  const live = devices.filter((row) => isLive(row) && row.id !== here)
  const others = new Set(live.map((row) => row.id))
  const own = new Set(held.filter((one) => one.device_id === here).map(place))
  const elsewhere = new Set(held.filter((one) => others.has(one.device_id)).map(place))
  const missing = held.filter((one) => !own.has(place(one)))
  const whole = missing.length === 0
  const kept = [...own].every((one) => elsewhere.has(one))
  const given = missing.some((one) => elsewhere.has(place(one)))
  return {
    here: whole ? 'whole' : own.size === 0 ? 'none' : 'part',
    recovery: live.some((row) => row.kind === DeviceKind.recovery) ? 'set' : 'unset',
    otherDevices: live.filter((row) => row.kind === DeviceKind.participant).length,
    state: whole ? (live.length > 0 && kept ? 'safe' : 'only_here') : given ? 'locked' : 'lost',
  }
}

/** Whether the device `here` holds an epoch that no other living device does. */
export function opensAlone(held: readonly HeldEpoch[], devices: readonly DeviceRow[], here: string): boolean {
  const others = new Set(devices.filter((row) => isLive(row) && row.id !== here).map((row) => row.id))
  const elsewhere = new Set(held.filter((one) => others.has(one.device_id)).map(place))
  return held.some((one) => one.device_id === here && !elsewhere.has(place(one)))
}

/** What `by` holds and `to` does not, by session; in the order of `held`. */
export function lacking(held: readonly HeldEpoch[], by: string, to: string): ReadonlyMap<string, readonly number[]> {
  const known = new Set(held.filter((one) => one.device_id === to).map(place))
  const found = new Map<string, number[]>()
  for (const one of held) {
    if (one.device_id !== by || known.has(place(one))) continue
    const numbers = found.get(one.session_id) ?? []
    found.set(one.session_id, numbers)
    numbers.push(one.epoch)
  }
  return found
}
