/** People in one session, each with a device, a store that outlives a reload, and a database that may lie to them. */
import { RealtimeClient } from '@supabase/realtime-js'
import { vi } from 'vitest'
import type { ChatMessage } from '../src/chat.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { RequestError } from '../src/failure.ts'
import { Pins } from '../src/pins.ts'
import type { DeviceRow, EpochRow, MessageRow, ParticipantRole, ParticipantRow, SealedMessage, SessionMode, SessionRow } from '../src/rows.ts'
import { Session } from '../src/session.ts'
import { MemoryStore } from '../src/memory.ts'
import type { Store } from '../src/store.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'
import { PhoenixServer } from './phoenix-server.ts'

/** What a database tells one person instead of what is in its tables. */
export interface Lies {
  session?: (row: SessionRow) => SessionRow | undefined
  messages?: (rows: readonly MessageRow[]) => readonly MessageRow[]
  epochs?: (rows: readonly EpochRow[]) => readonly EpochRow[]
  devices?: (rows: readonly DeviceRow[]) => readonly DeviceRow[]
  participants?: (rows: readonly ParticipantRow[]) => readonly ParticipantRow[]
}

export class SeatDatabase extends MemoryDatabase {
  lies: Lies = {}
  /** An epoch takes so many messages, of all senders; the refusal raises no min_epoch, since it is rolled back. */
  mostMessages = Infinity
  readonly #rows: Tables

  constructor(tables: Tables, userId: string) {
    super(tables, userId)
    this.#rows = tables
  }

  override async session(): Promise<SessionRow | undefined> {
    const row = await super.session()
    return row === undefined || this.lies.session === undefined ? row : this.lies.session(row)
  }

  override async messagesAfter(id: string, position: number): Promise<readonly MessageRow[]> {
    const rows = await super.messagesAfter(id, position)
    return this.lies.messages?.(rows) ?? rows
  }

  override async epochs(): Promise<readonly EpochRow[]> {
    const rows = await super.epochs()
    return this.lies.epochs?.(rows) ?? rows
  }

  override async devices(): Promise<readonly DeviceRow[]> {
    const rows = await super.devices()
    return this.lies.devices?.(rows) ?? rows
  }

  override async participants(): Promise<readonly ParticipantRow[]> {
    const rows = await super.participants()
    return this.lies.participants?.(rows) ?? rows
  }

  override insertMessage(m: SealedMessage): Promise<void> {
    const { epochs, messages } = this.#rows
    if (messages.filter((row) => row.epoch === m.epoch).length >= this.mostMessages && !messages.some((row) => row.id === m.id)) {
      const next = { min_epoch: m.epoch + 1, next_epoch: epochs.length + 1 }
      return Promise.reject(new RequestError('send', 'VG010', 400, `epoch ${m.epoch} may not be used`, JSON.stringify(next)))
    }
    return super.insertMessage(m)
  }
}

export interface Seat {
  readonly userId: string
  readonly device: Device
  readonly store: Store
  readonly database: SeatDatabase
  readonly session: Session
  readonly heard: ChatMessage[]
  readonly changed: ChatMessage[]
  readonly errors: Error[]
}

export class World {
  readonly tables: Tables
  readonly server = new PhoenixServer()
  readonly #cleanUps: (() => Promise<unknown>)[] = []
  #cursor = 0

  private constructor(mode: SessionMode) {
    this.tables = newTables(mode)
  }

  static async open(mode: SessionMode = 'strict'): Promise<World> {
    const world = new World(mode)
    await world.server.start()
    world.#cleanUps.push(() => world.server.stop())
    return world
  }

  get topic(): string {
    return `session:${this.tables.session.id}`
  }

  /** A client and a therapist, who have met. */
  async pair(): Promise<{ client: Seat; therapist: Seat; analysis: Device }> {
    const [one, two, analysis] = [await makeDevice(), await makeDevice(), await makeDevice()]
    addDevice(this.tables, null, analysis)
    const users = [this.#join('client', one), this.#join('therapist', two)] as const
    return { client: await this.seat(users[0], one), therapist: await this.seat(users[1], two), analysis }
  }

  #join(role: ParticipantRole, device: Device): string {
    const userId = join(this.tables, role)
    addDevice(this.tables, userId, device)
    return userId
  }

  /** Opens the session as a person; with the store of an earlier seat it is a reload, or another tab. */
  async seat(
    userId: string, device: Device, store: Store = new MemoryStore(), prepare?: (database: SeatDatabase) => void, account = userId,
  ): Promise<Seat> {
    const database = new SeatDatabase(this.tables, userId)
    prepare?.(database)
    const realtime = new RealtimeClient(`${this.server.url.replace('http', 'ws')}/realtime/v1`, {
      params: { apikey: 'key' }, accessToken: () => Promise.resolve(`token of ${userId}`), reconnectAfterMs: () => 1,
    })
    const session = new Session({
      id: this.tables.session.id, userId, device, database, store, account, pins: new Pins(store, account), realtime,
      trustNewDevices: false,
    })
    this.#cleanUps.push(() => realtime.disconnect())
    const seat: Seat = { userId, device, store, database, session, heard: [], changed: [], errors: [] }
    session.on('error', (error) => seat.errors.push(error))
    session.on('changed', (message) => seat.changed.push(message))
    await session.start()
    this.#cleanUps.push(() => session.close())
    session.on('message', (message) => seat.heard.push(message))
    return seat
  }

  /** Leaves, and comes back to the same browser. */
  async reload(seat: Seat, prepare?: (database: SeatDatabase) => void): Promise<Seat> {
    await seat.session.close()
    return this.seat(seat.userId, seat.device, seat.store, prepare)
  }

  /** Tells a broadcast of the session's topic to everybody who is on it. */
  tell(event: string, row: object): void {
    this.server.broadcast(this.topic, event, { session_id: this.tables.session.id, ...row }, `c${++this.#cursor}`)
  }

  /** Tells that there are messages, as the relay does, until the seats have heard so many. */
  async arrive(count: number, ...seats: readonly Seat[]): Promise<void> {
    await this.server.joinedTimes(this.topic, seats.length)
    await vi.waitFor(() => {
      this.tell('arrival', { position: Math.max(0, ...this.tables.messages.map((row) => row.position)) })
      if (seats.some((seat) => seat.heard.length < count)) throw new Error('not all have heard')
    }, { timeout: 4000, interval: 20 })
  }

  /** Tells that the session's row, or who takes part, has changed; resolves when the seat has read it. */
  async stir(seat: Seat): Promise<void> {
    await this.server.joinedTimes(this.topic, 1)
    const before = seat.database.calls.filter((call) => call === 'signatures').length
    await vi.waitFor(() => {
      this.tell('session', this.tables.session)
      // One may have begun before, and one is only begun: the one between them is whole.
      if (seat.database.calls.filter((call) => call === 'signatures').length < before + 3) throw new Error('not read')
    }, { timeout: 4000, interval: 20 })
  }

  /** What a person's devices reported. */
  reports(seat: Seat): readonly string[] {
    return this.tables.refusals.filter((row) => row.user_id === seat.userId).map((row) => `${row.subject_table} ${row.reason}`)
  }

  async close(): Promise<void> {
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp()
  }
}

export const texts = (seat: Seat): readonly (string | null)[] => seat.heard.map((message) => message.text)
