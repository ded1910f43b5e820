/** Which of a person's devices can read which epochs. */
import { DeviceKind, type DeviceRow, type HeldEpoch } from './rows.ts'

/** A wrap, and whether it counts: it is from the roster, or a known device of the person's signed it. */
export interface Held extends Omit<HeldEpoch, 'wrap'> {
  readonly verified: boolean
}

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

export function isLive(row: DeviceRow): boolean {
  return row.admitted_at !== null && row.revoked_at === null
}

/** The history of the person whose devices these are, seen from the device `here`. */
export function historyOf(held: readonly Held[], devices: readonly DeviceRow[], here: string): HistoryState {
  const live = devices.filter((row) => isLive(row) && row.id !== here)
  const others = new Set(live.map((row) => row.id))
  const own = new Set(held.filter((one) => one.verified && one.device_id === here).map(place))
  const elsewhere = new Set(held.filter((one) => one.verified && others.has(one.device_id)).map(place))
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

/** Those that wait for another device of the same person. */
export function waitingOf(rows: readonly DeviceRow[]): readonly DeviceRow[] {
  return rows.filter((row) => row.kind === DeviceKind.participant && row.admitted_at === null && row.revoked_at === null)
}
