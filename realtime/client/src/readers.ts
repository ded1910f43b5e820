import { Role, type Roster } from './roster.ts'
import type { DeviceRow } from './rows.ts'

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
}

/** By the numbers of Role: 4 is the account's recovery key. */
const roleNames: Readonly<Record<number, Reader['role']>> = { 1: 'client', 2: 'therapist', 3: 'on_call', 4: 'recovery', 9: 'analysis' }

/** The readers that an epoch's signed roster names. */
export function rosterReaders(roster: Roster, devices: readonly DeviceRow[]): readonly Reader[] {
  return roster.map(({ kid, role }) => ({
    deviceId: kid,
    role: roleNames[role] ?? 'analysis',
    userId: role === Role.analysis ? null : (devices.find((one) => one.id === kid)?.user_id ?? null),
    via: 'roster',
    until: null,
  }))
}
