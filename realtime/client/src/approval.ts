/** How a device in use admits one that waits. Loaded when somebody types a code, or recovers. */
import { signDevice } from './cross.ts'
import type { Device } from './device.ts'
import type { DevicesDeps } from './devices.ts'
import { EnvelopeError, Refusal, SessionError } from './failure.ts'
import { waitingOf } from './history.ts'
import type { DeviceRow } from './rows.ts'
import { deviceCode, grouped } from './safety.ts'

/** How long an approval waits for the sidecar, which mostly needs some tens of milliseconds; and how long between two looks. */
const AdmissionMs = 60_000
const FirstLookMs = 100
const LastLookMs = 2000

/** Vouches, with `by`, for the one waiting device that has the code, and waits until it is admitted; its id. */
export async function approveByCode(
  deps: Pick<DevicesDeps, 'clock' | 'database' | 'pins' | 'userId'>, by: Device, code: string,
): Promise<string> {
  const { database, pins, userId } = deps
  const typed = readCode(code)
  const waiting = waitingOf(await database.ownDevices(userId))
  const codes = await Promise.all(waiting.map(async (row) => ({ row, code: await deviceCode(row) })))
  const [match, another] = codes.filter((one) => one.code === typed)
  if (match === undefined || another !== undefined) {
    throw new EnvelopeError(Refusal.pin, 'not exactly one waiting device has this code: look at its screen again')
  }
  const { row } = match
  const refused = await database.refusedSignatures(row.id)
  await database.admitRequest({ device_id: row.id, user_id: userId, by_device_id: by.kid, signature: await signDevice(by, row) })
  await pins.acknowledge(row, { unsigned: true }) // its code was compared: that is its keys
  await untilAdmitted(deps, row.id, refused)
  return row.id
}

/**
 * Waits until the sidecar has admitted a device. Rejects with EnvelopeError 'signature' once it has refused more signatures than
 * before, with SessionError 'device_waiting' if it takes too long.
 */
export async function untilAdmitted(
  deps: Pick<DevicesDeps, 'clock' | 'database'>, id: string, refused: number,
): Promise<DeviceRow> {
  const { clock, database } = deps
  for (let waited = 0, next = FirstLookMs; waited <= AdmissionMs && !clock.closed; waited += next, next = Math.min(2 * next, LastLookMs)) {
    const row = await database.device(id)
    if (row === undefined || row.revoked_at !== null) throw new EnvelopeError(Refusal.roster, `device ${id} is not there any more`)
    if (row.admitted_at !== null) return row
    if ((await database.refusedSignatures(id)) > refused) throw new EnvelopeError(Refusal.signature, `the signature for device ${id} was refused`)
    await clock.wait(next)
  }
  throw new SessionError('device_waiting', `no sidecar has admitted device ${id} yet: its history follows once one has`)
}

/** A code as somebody typed it: case, spaces and dashes do not matter, and O, I and L are read as the digits they look like. */
export function readCode(typed: string): string {
  const code = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
  return grouped(code)
}
