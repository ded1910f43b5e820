/** Which of a person's devices can read which epochs, and how one lets another read. */
import { PointBytes, decodeSized } from './bytes.ts'
import { signGrant } from './cross.ts'
import type { SessionDatabase } from './database.ts'
import { importEncPub, type Device } from './device.ts'
import { rewrapEpoch } from './epoch.ts'
import { EnvelopeError } from './failure.ts'
import type { Pins } from './pins.ts'
import { Role } from './roster.ts'
import { DeviceKind, ParticipantRole, type DeviceRow, type EpochRow, type EpochShare, type HeldEpoch } from './rows.ts'

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

const place = (one: Pick<HeldEpoch, 'session_id' | 'epoch'>): string => `${one.session_id} ${one.epoch}`

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

export interface ShareDeps {
  readonly database: SessionDatabase
  readonly pins: Pins
  readonly userId: string
  /** The device, or the recovery key, that holds what is shared. */
  readonly by: Device
  /** How many go in one request; default: as many as share_epochs takes. */
  readonly batch?: number
}

/** share_epochs takes so many at once. */
const MaxShares = 500

/**
 * Lets a device of the same person read what `by` can read, newest first; what is refused on opening is left out. Whether that
 * device is to be trusted is the caller's to check. `missing` is what the person's devices hold and that one still does not.
 */
export async function shareHistory(deps: ShareDeps, to: DeviceRow): Promise<{ readonly shared: number; readonly missing: number }> {
  const { batch = MaxShares } = deps
  const held = await deps.database.heldEpochs()
  const encKey = await importEncPub(decodeSized('enc_pub', to.enc_pub, PointBytes))
  let shared = 0
  for (const [sessionId, numbers] of lacking(held, deps.by.kid, to.id)) {
    const shares = await sharesOf(deps, sessionId, numbers, { row: to, encKey })
    for (let from = 0; from < shares.length; from += batch) {
      shared += await deps.database.shareEpochs(to.id, deps.by.kid, shares.slice(from, from + batch))
    }
  }
  const all = new Set(held.map(place))
  const known = held.filter((one) => one.device_id === to.id)
  return { shared, missing: Math.max(0, all.size - known.length - shared) }
}

async function sharesOf(
  deps: ShareDeps, sessionId: string, numbers: readonly number[], to: { readonly row: DeviceRow; readonly encKey: CryptoKey },
): Promise<readonly EpochShare[]> {
  const { by, database, pins, userId } = deps
  const [people, epochs, wraps, consents] = await Promise.all([
    database.participants(sessionId), database.epochs(sessionId), database.wraps(sessionId, by.kid), database.consents(sessionId),
  ])
  const part = people.find((person) => person.user_id === userId)
  if (part === undefined) return [] // what was granted to a paged clinician is not theirs to pass on
  const participant = part.role === ParticipantRole.client ? Role.client : Role.therapist
  const role = to.row.kind === DeviceKind.recovery ? Role.recovery : participant
  const share = async (row: EpochRow): Promise<EpochShare> => {
    const consent = consents.find((one) => one.id === row.consent_id)
    const options = { history: true, checkPins: pins.checkRoster.bind(pins) }
    const wrap = await rewrapEpoch(row, wraps.get(row.epoch), consent, by, { kid: to.row.id, encKey: to.encKey }, options)
    const place = { session_id: sessionId, epoch: row.epoch, wrap }
    return { ...place, signature: await signGrant(by, { ...place, by_device_id: by.kid, device_id: to.row.id, role, alert_id: null }) }
  }
  const shares: EpochShare[] = []
  for (const number of numbers) {
    const row = epochs.find((one) => one.epoch === number)
    if (row === undefined) continue
    try {
      shares.push(await share(row))
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError)) throw thrown // a forged epoch is nobody's history
    }
  }
  return shares
}
