/** A browser on which vigil() has run, over the database in memory; and what it can make and read. */
import { Clock } from '../src/clock.ts'
import { Devices, type VigilEvents } from '../src/devices.ts'
import { makeEpoch, openEpoch } from '../src/epoch.ts'
import { Pins } from '../src/pins.ts'
import { Role, parseRoster, type Roster } from '../src/roster.ts'
import { MemoryStore } from '../src/memory.ts'
import type { VigilEntry } from '../src/vigil.ts'
import { MemoryDatabase, type Tables } from './memory-database.ts'

type Told = { readonly [Name in keyof VigilEvents]: VigilEvents[Name][] }

export interface Browser {
  readonly devices: Devices
  readonly pins: Pins
  readonly clock: Clock
  readonly store: MemoryStore
  readonly database: MemoryDatabase
  /** As Vigil's. */
  readonly entry: VigilEntry
  readonly told: Told
  /** How often the device was replaced. */
  readonly renewals: () => number
}

/** A browser of the person's, on which vigil() has run. */
export async function browser(tables: Tables, userId: string, store = new MemoryStore()): Promise<Browser> {
  const told: Told = { device: [], history: [], waiting: [], unacknowledged: [], error: [] }
  const database = new MemoryDatabase(tables, userId)
  const pins = new Pins(store, 'test')
  const clock = new Clock()
  let renewals = 0
  const devices = await Devices.open({
    database, store, pins, clock, userId, account: 'test', trust: false, label: null,
    tell: (name, value) => {
      const heard: (typeof value)[] = told[name]
      heard.push(value)
    },
    renewed: () => {
      renewals++
      return Promise.resolve()
    },
  })
  return { devices, pins, clock, store, database, entry: { userId, database, pins, clock, failed: (error) => told.error.push(error) }, told, renewals: () => renewals }
}

export async function rosterOf(tables: Tables): Promise<Roster> {
  const live = tables.devices.filter((row) => row.admitted_at !== null && row.revoked_at === null)
  return parseRoster(live.map((row) => ({
    kid: row.id, role: row.kind === 'recovery' ? Role.recovery : Role.client, enc_pub: row.enc_pub, sig_pub: row.sig_pub,
  })))
}

/** Makes the next epoch of the session, as a message by this browser would. */
export async function write(tables: Tables, by: Browser): Promise<number> {
  const number = tables.epochs.length + 1
  const { row } = await makeEpoch(by.devices.device, { sessionId: tables.session.id, number, roster: await rosterOf(tables), consentId: null })
  await by.database.createEpoch(row)
  return number
}

export async function reads(tables: Tables, by: Browser, epoch: number): Promise<boolean> {
  const row = tables.epochs.find((one) => one.epoch === epoch)
  if (row === undefined) throw new Error('the epoch is there')
  const wrap = (await by.database.wraps(tables.session.id, by.devices.device.kid)).get(epoch)
  return openEpoch(row, wrap, undefined, by.devices.device).then(() => true, () => false)
}
