/** How one of a person's devices lets another read what it can read. Loaded when there is something to share. */
import { PointBytes, decodeSized } from './bytes.ts'
import type { SessionDatabase } from './database.ts'
import { importEncPub, type Device } from './device.ts'
import { check, sealKey, unwrapKey, wrapInfo, type OpenOptions } from './epoch.ts'
import { DeviceChangedError, EnvelopeError, SessionError } from './failure.ts'
import { signGrant } from './grant.ts'
import { lacking, readHeld } from './held.ts'
import { place } from './history.ts'
import type { Pins } from './pins.ts'
import { Role } from './roster.ts'
import { DeviceKind, ParticipantRole, type ConsentRow, type DeviceRow, type EpochRow, type EpochShare } from './rows.ts'

/**
 * Verifies an epoch as openEpoch does, and wraps its key for a device beside its roster.
 */
export async function rewrapEpoch(
  row: EpochRow,
  wrap: string | undefined,
  consent: ConsentRow | undefined,
  device: Device,
  to: { readonly kid: string; readonly encKey: CryptoKey },
  options: OpenOptions = {},
): Promise<string> {
  const checked = await check(row, consent, options)
  const { bytes } = await unwrapKey(checked, wrap, device)
  try {
    return await sealKey(bytes, wrapInfo(row.session_id, row.epoch, to.kid, checked.hash), to.encKey)
  } finally {
    bytes.fill(0)
  }
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

/** shareHistory to one of the person's own devices, which must be admitted and trusted here. */
export async function shareWith(deps: ShareDeps, id: string): ReturnType<typeof shareHistory> {
  const row = (await deps.database.ownDevices(deps.userId)).find((one) => one.id === id)
  if (row?.admitted_at == null || row.revoked_at !== null) throw new SessionError('device_waiting', `device ${id} is not admitted`)
  if (!(await deps.pins.holds(row))) throw new DeviceChangedError([id])
  return shareHistory(deps, row)
}

/** share_epochs takes so many at once. */
const MaxShares = 500

/**
 * Lets a device of the same person read what `by` can read, newest first; what is refused on opening is left out. Whether that
 * device is to be trusted is the caller's to check. What was shared and does not count, see readHeld, is shared again. `missing` is what the person's devices hold and that one still does not.
 */
export async function shareHistory(deps: ShareDeps, to: DeviceRow): Promise<{ readonly shared: number; readonly missing: number }> {
  const { batch = MaxShares } = deps
  const held = await readHeld(deps)
  const encKey = await importEncPub(decodeSized('enc_pub', to.enc_pub, PointBytes))
  let shared = 0
  for (const [sessionId, numbers] of lacking(held, deps.by.kid, to.id)) {
    const shares = await sharesOf(deps, sessionId, numbers, { row: to, encKey })
    for (let from = 0; from < shares.length; from += batch) {
      shared += await deps.database.shareEpochs(to.id, deps.by.kid, shares.slice(from, from + batch))
    }
  }
  const all = new Set(held.map(place))
  const known = held.filter((one) => one.verified && one.device_id === to.id)
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
    const terms = { session_id: sessionId, epoch: row.epoch, wrap }
    return { ...terms, signature: await signGrant(by, { ...terms, by_device_id: by.kid, device_id: to.row.id, role, alert_id: null }) }
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
