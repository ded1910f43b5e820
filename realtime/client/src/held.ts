/** Which wraps a person's devices hold, and which of those were given by one that is known. */
import { notLoaded } from './answer.ts'
import type { SessionDatabase } from './database.ts'
import type { Device } from './device.ts'
import { verifyGrant } from './grant.ts'
import { place, type Held } from './history.ts'
import type { Pins } from './pins.ts'
import { ReaderReason, type DeviceRow, type HeldEpoch, type ReaderRow } from './rows.ts'

export interface HeldDeps {
  readonly database: SessionDatabase
  readonly pins: Pins
  readonly userId: string
}

/**
 * All wraps of the person's devices, newest first. One that a device gave to another counts only if the giver is a device of theirs
 * that is trusted here, and signed this very wrap: with a stolen token, anybody can write one that opens nothing. A wrap with no row
 * of `epoch_readers` is from the roster, by the database's word.
 */
export async function readHeld(deps: HeldDeps): Promise<readonly Held[]> {
  const { database, userId } = deps
  const [held, readers, givers] = await Promise.all([database.heldEpochs(), database.ownReaders(userId), trustedGivers(deps)])
  const given = new Map(readers.map((row) => [`${place(row)} ${row.device_id}`, row]))
  return Promise.all(held.map(async (one) => {
    const { session_id, epoch, device_id } = one
    return { session_id, epoch, device_id, verified: await isGood(one, given.get(`${place(one)} ${device_id}`), givers) }
  }))
}

/** The person's devices, revoked ones too, that are trusted here. */
export async function trustedGivers({ database, pins, userId }: HeldDeps): Promise<ReadonlyMap<string, DeviceRow>> {
  const givers = new Map<string, DeviceRow>()
  for (const row of await database.ownDevices(userId)) if (await pins.holds(row)) givers.set(row.id, row)
  return givers
}

/** Whether a wrap counts, with the row that says who gave it. */
export async function isGood(held: HeldEpoch, reader: ReaderRow | undefined, givers: ReadonlyMap<string, DeviceRow>): Promise<boolean> {
  if (reader === undefined || reader.reason === ReaderReason.crisisAccess) return true // what is held on call is nobody's history
  const giver = givers.get(reader.by_device_id)
  if (giver === undefined) return false
  const late = giver.revoked_at !== null && Date.parse(reader.created_at) > Date.parse(giver.revoked_at)
  return !late && verifyGrant({ ...reader, wrap: held.wrap }, giver.sig_pub, reader.signature)
}

/** What `by` holds and `to` does not, or not in a way that counts, by session; in the order of `held`. */
export function lacking(held: readonly Held[], by: string, to: string): ReadonlyMap<string, readonly number[]> {
  const known = new Set(held.filter((one) => one.verified && one.device_id === to).map(place))
  const found = new Map<string, number[]>()
  for (const one of held) {
    if (one.device_id !== by || known.has(place(one))) continue
    const numbers = found.get(one.session_id) ?? []
    found.set(one.session_id, numbers)
    numbers.push(one.epoch)
  }
  return found
}

/**
 * Gives trusted devices what they lack and `by` holds: an approval or a new recovery key that was interrupted, or what somebody wrote
 * over; what no device holds any more is restored, this one's own too. `before` is how much each lacked when it was last given
 * something. Whether any was given.
 */
export async function heal(
  deps: HeldDeps & { readonly by: Device }, live: readonly DeviceRow[], held: readonly Held[], before: Map<string, number>,
): Promise<boolean> {
  let shared = 0
  if (held.some((one) => !one.verified)) {
    const { restoreHistory } = await import('./restore.ts').catch(notLoaded)
    shared += await restoreHistory(deps, [deps.by.kid, ...live.map((row) => row.id)], held)
  }
  const now = shared > 0 ? await readHeld(deps) : held
  for (const row of live) {
    const lacks = [...lacking(now, deps.by.kid, row.id).values()].reduce((sum, numbers) => sum + numbers.length, 0)
    if (lacks === 0 || before.get(row.id) === lacks || !(await deps.pins.holds(row))) continue
    const { shareHistory } = await import('./share.ts').catch(notLoaded)
    const done = await shareHistory(deps, row)
    before.set(row.id, lacks - done.shared)
    shared += done.shared
  }
  return shared > 0
}
