import { Role } from './roster.ts'
import type { Epoch } from './epoch.ts'
import type { DeviceRow, ReaderRow } from './rows.ts'

/** A device that holds the key of a message's epoch. */
export interface Reader {
  readonly deviceId: string
  readonly role: 'client' | 'therapist' | 'on_call' | 'recovery' | 'analysis'
  /** null for the sidecar's, and for a device that is not known any more. */
  readonly userId: string | null
  /** How it came by the key: on the signed roster, or let in beside it. */
  readonly via: 'roster' | 'crisis_access' | 'history'
  /** When its access ended; what it read before, it has read. null while it lasts. */
  readonly until: Date | null
  /**
   * Whether the signature of who let it in was verified here: by the epoch's maker for the roster, beside it by a known device of
   * the same person (history) or the analysis key of the roster (crisis_access). If not, it is the server's word alone.
   */
  readonly verified: boolean
}

/** A row of epoch_readers, and whether its signature was verified. */
export interface KnownReader extends ReaderRow {
  readonly verified: boolean
}

/** By the numbers of Role: 4 is the account's recovery key. */
const roleNames: Readonly<Record<number, Reader['role']>> = { 1: 'client', 2: 'therapist', 3: 'on_call', 4: 'recovery', 9: 'analysis' }

/** What is known of the session: devices, and who was let in. */
interface Known {
  readonly devices: readonly DeviceRow[]
  readonly readers: readonly KnownReader[]
}

/** Who can read what is sealed under an epoch: its signed roster, and whoever was let in beside it. */
export function readersOf(epoch: Epoch, known: Known): readonly Reader[] {
  const roster = epoch.roster.map(({ kid, role }): Reader => ({
    deviceId: kid,
    role: roleNames[role] ?? 'analysis',
    userId: role === Role.analysis ? null : (known.devices.find((one) => one.id === kid)?.user_id ?? null),
    via: 'roster',
    until: null,
    verified: true,
  }))
  return [...roster, ...readersBeside(epoch.number, known, epoch)]
}

/**
 * Who holds an epoch's key beside its roster: that there is no other is the database's word. None of them can read what the roster's
 * members cannot. With the epoch itself, a clinician on call must have been let in by the analysis key on its roster.
 */
export function readersBeside(epoch: number, { readers }: Pick<Known, 'readers'>, opened?: Epoch): readonly Reader[] {
  return readers.filter((row) => row.epoch === epoch).map((row) => ({
    deviceId: row.device_id,
    role: roleNames[row.role] ?? 'on_call',
    userId: row.user_id,
    via: row.reason,
    until: row.ended_at === null ? null : new Date(row.ended_at),
    verified: row.verified && (row.role !== Role.onCall || opened === undefined || isAnalysisOf(opened, row.by_device_id)),
  }))
}

function isAnalysisOf(epoch: Epoch, kid: string): boolean {
  return epoch.roster.some((member) => member.kid === kid && member.role === Role.analysis)
}
