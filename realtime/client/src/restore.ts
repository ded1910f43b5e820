/** How a person's devices get back what somebody wrote over. Loaded when a wrap does not count. */
import { isGood, trustedGivers, type HeldDeps } from './held.ts'
import { place, type Held } from './history.ts'
import type { FormerWrapRow } from './rows.ts'

/** restore_epochs takes so many at once. */
const MaxRestored = 500

/**
 * Puts former wraps of these devices in the place of those that do not count, see readHeld: with a stolen token, anybody can replace
 * what was shared by what opens nothing, but the database keeps what it was, and here it is told which one holds. Gives how many.
 */
export async function restoreHistory(deps: HeldDeps, devices: readonly string[], held: readonly Held[]): Promise<number> {
  const { database, userId } = deps
  const bad = new Set(held.filter((one) => !one.verified && devices.includes(one.device_id)).map(slot))
  if (bad.size === 0) return 0
  const [formers, readers, givers] = await Promise.all([database.formers(), database.ownReaders(userId), trustedGivers(deps)])
  const given = new Map(readers.map((row) => [slot(row), row]))
  const found = new Map<string, FormerWrapRow[]>()
  for (const former of formers.rows) {
    const reader = given.get(slot(former))
    if (reader === undefined || !bad.has(slot(former))) continue
    const { by_device_id, signature, given_at } = former
    if (!(await isGood(former, { ...reader, by_device_id, signature, created_at: given_at }, givers))) continue
    bad.delete(slot(former)) // one of several that hold
    found.set(former.device_id, [...(found.get(former.device_id) ?? []), former])
  }
  let restored = 0
  for (const [device, rows] of found) {
    for (let from = 0; from < rows.length; from += MaxRestored) restored += await formers.restore(device, rows.slice(from, from + MaxRestored))
  }
  return restored
}

function slot(row: Pick<FormerWrapRow, 'session_id' | 'epoch' | 'device_id'>): string {
  return `${place(row)} ${row.device_id}`
}
