/** Whether who reads beside the rosters was let in by somebody who may. Loaded when there is such a reader. */
import { verifyReader } from './grant.ts'
import type { Pins } from './pins.ts'
import type { KnownReader } from './readers.ts'
import { Role } from './roster.ts'
import { DeviceKind, ReaderReason, type DeviceRow, type ReaderRow } from './rows.ts'

/** What was verified before: rows are read again and again. What was not may be, once somebody is acknowledged. */
const verifiedBefore = new WeakMap<Pins, Set<string>>()

/**
 * Says of each row whether its signature holds: of a device of the same person for a history, of an analysis key for a clinician on
 * call; in both cases one that is trusted here, with the keys that it has. `devices` are all that are known of the session.
 */
export async function verifyReaders(rows: readonly ReaderRow[], devices: readonly DeviceRow[], pins: Pins): Promise<readonly KnownReader[]> {
  const before = verifiedBefore.get(pins) ?? new Set()
  verifiedBefore.set(pins, before)
  const givers = new Map<string, DeviceRow>()
  for (const row of devices) if (rows.some((one) => one.by_device_id === row.id) && (await pins.holds(row))) givers.set(row.id, row)
  return Promise.all(rows.map(async (row) => {
    const giver = givers.get(row.by_device_id)
    if (giver === undefined || !mayGive(giver, row)) return { ...row, verified: false }
    const name = JSON.stringify([row, giver.sig_pub])
    const verified = before.has(name) || (await verifyReader(row, giver.sig_pub))
    if (verified) before.add(name)
    return { ...row, verified }
  }))
}

function mayGive(giver: DeviceRow, row: ReaderRow): boolean {
  const onCall = row.reason === ReaderReason.crisisAccess
  if ((row.role === Role.onCall) !== onCall) return false
  const late = giver.revoked_at !== null && Date.parse(row.created_at) > Date.parse(giver.revoked_at)
  if (late) return false
  return onCall ? giver.kind === DeviceKind.analysis : giver.kind !== DeviceKind.analysis && giver.user_id === row.user_id
}
