import { RealtimeClient, type RealtimeClientOptions } from '@supabase/realtime-js'
import { Clock } from './clock.ts'
import { Database, type SessionDatabase, type Supabase } from './database.ts'
import { DeviceState, Devices, type VigilEvents } from './devices.ts'
import { Emitter, call, type Undo } from './events.ts'
import { RequestError, SessionError } from './failure.ts'
import type { HistoryState } from './history.ts'
import { IndexedDbStore } from './indexeddb.ts'
import { Pins } from './pins.ts'
import { Session } from './session.ts'
import type { Store } from './store.ts'

/** Options of vigil(); all have defaults. */
export interface VigilOptions {
  /** Where keys are kept. Default: IndexedDB; where there is none (Node), memory: a new device for each process. */
  readonly store?: Store
  /** What the person calls this device. */
  readonly label?: string
  /** The WebSocket to use. Default: the one that the supabase client was given. */
  readonly transport?: NonNullable<RealtimeClientOptions['transport']>
  /** The project's publishable key. Default: the supabase client's. */
  readonly apiKey?: string
  /**
   * What to do with a device that appears later for someone already known. 'ask' (default) refuses to send until it is
   * acknowledged; 'trust' takes the database's word for it, which gives up the protection against a replaced device.
   */
  readonly newDevices?: 'ask' | 'trust'
}

/** For this package's recovery entry. @internal */
export interface VigilEntry {
  readonly userId: string
  readonly database: SessionDatabase
  readonly pins: Pins
  readonly clock: Clock
  /** Tells of it by the event 'error'. */
  readonly failed: (error: Error) => void
}

export interface VigilParts {
  readonly realtime: RealtimeClient
  readonly userId: string
  readonly database: SessionDatabase
  readonly store: Store
  readonly account: string
  readonly label?: string | null
  readonly trust?: boolean
}

/** The sidecar, as the signed-in person's app sees it. Made by vigil(). */
export class Vigil {
  /** A plain RealtimeClient on the sidecar: every feature of realtime-js is there. */
  readonly realtime: RealtimeClient
  readonly userId: string
  /** This person's devices: this one's code, the others, approval, revocation. */
  readonly devices: Devices
  /** @internal */
  readonly entry: VigilEntry
  readonly #parts: VigilParts
  readonly #events: Emitter<VigilEvents>
  readonly #sessions = new Set<Session>()
  readonly #undo: (() => void)[] = []

  /** Makes this browser's device if there is none, registers it, and reads what there is of the person's devices. */
  static async open(parts: VigilParts): Promise<Vigil> {
    const { account, database, store, userId } = parts
    const events = new Emitter<VigilEvents>()
    const entry: VigilEntry = {
      userId, database, pins: new Pins(store, account), clock: new Clock(),
      failed: (error) => {
        events.emit('error', error)
      },
    }
    let renewed = (): Promise<void> => Promise.resolve()
    let wake = (): void => undefined
    const devices = await Devices.open({
      ...entry, store, account, trust: parts.trust ?? false, label: parts.label ?? null,
      tell: (name, value) => {
        if (name === 'device' || name === 'history') wake()
        events.emit(name, value)
      },
      renewed: () => renewed(),
    })
    const v = new Vigil(parts, entry, events, devices)
    renewed = () => v.#closeSessions()
    wake = () => { // this device may send now, or read what it could not
      for (const session of v.#sessions) session.wake()
    }
    return v
  }

  private constructor(parts: VigilParts, entry: VigilEntry, events: Emitter<VigilEvents>, devices: Devices) {
    this.realtime = parts.realtime
    this.userId = parts.userId
    this.devices = devices
    this.entry = entry
    this.#parts = parts
    this.#events = events
  }

  /** The id of this device in `devices`. */
  get deviceId(): string {
    return this.devices.device.kid
  }

  /** What of the person's history this device can read, and what would be left without it: always to be shown. */
  get history(): HistoryState {
    return this.devices.history
  }

  /** Listens to what becomes of the person's devices; what was said already is told at once. Returns the undo. */
  on<Name extends keyof VigilEvents>(name: Name, listener: (value: VigilEvents[Name]) => void): Undo {
    const undo = this.#events.on(name, listener)
    const replay = <Told extends keyof ReturnType<Devices['last']>>(told: Told, hear: (value: VigilEvents[Told]) => void): void => {
      const value = this.devices.last()[told]
      if (value !== undefined) call(hear, value)
    }
    const listeners: { readonly [Told in keyof VigilEvents]?: (value: VigilEvents[Told]) => void } = { [name]: listener }
    if (listeners.device !== undefined) replay('device', listeners.device)
    if (listeners.history !== undefined) replay('history', listeners.history)
    if (listeners.waiting !== undefined) replay('waiting', listeners.waiting)
    if (listeners.unacknowledged !== undefined) replay('unacknowledged', listeners.unacknowledged)
    return undo
  }

  /**
   * Opens a session of the signed-in person's. Its history is on the way when this resolves. Rejects with SessionError
   * 'device_waiting' if this device was revoked: `devices.renew()` puts a new one in its place.
   */
  async session(id: string): Promise<Session> {
    if (this.devices.state === DeviceState.revoked) {
      throw new SessionError('device_waiting', 'this device was revoked: renew it, and approve the new one')
    }
    const { account, database, realtime, store, trust } = this.#parts
    const device = this.devices.device
    const session = new Session({
      id: id.toLowerCase(),
      userId: this.userId,
      device,
      database, store, account, realtime,
      pins: this.entry.pins,
      trustNewDevices: trust ?? false,
    })
    const ended = { it: false }
    session.on('closed', () => {
      ended.it = true
      this.#sessions.delete(session)
    })
    try {
      await session.start()
      // Meanwhile the login may have ended, or the device have been renewed, which close what they know of.
      if (this.entry.clock.closed || device !== this.devices.device) throw new SessionError('closed', 'the login or the device has ended')
    } catch (thrown) {
      await session.close().catch(() => undefined) // what was not even read has nothing to leave
      throw thrown
    }
    if (!ended.it) this.#sessions.add(session)
    return session
  }

  async #closeSessions(): Promise<void> {
    const open = [...this.#sessions]
    this.#sessions.clear()
    await Promise.all(open.map((session) => session.close()))
  }

  /** Closes every session and the socket. The device stays. */
  async close(): Promise<void> {
    this.entry.clock.close()
    for (const undo of this.#undo.splice(0)) undo()
    await this.#closeSessions()
    await this.realtime.disconnect()
  }

  /** Ends with the login, and tries again what waits when the network is back or the page is seen. Called by vigil(). */
  follow(supabase: Supabase): void {
    const { data } = supabase.auth.onAuthStateChange((event) => {
      if (event === 'SIGNED_OUT') void this.close()
    })
    this.#undo.push(() => {
      data.subscription.unsubscribe()
    })
    void this.devices.run() // until close
    if (typeof window === 'undefined') return
    const seen = (): void => {
      this.entry.clock.wake()
    }
    const wake = (): void => {
      seen()
      for (const session of this.#sessions) session.wake()
    }
    window.addEventListener('online', wake)
    document.addEventListener('visibilitychange', seen)
    this.#undo.push(() => {
      window.removeEventListener('online', wake)
      document.removeEventListener('visibilitychange', seen)
    })
  }
}

/**
 * Puts Vigil beside a signed-in supabase client: makes this browser's device once, registers it, and connects to the sidecar
 * at url. A person's first device is usable at once; a later one waits for another (`devices.code`), or for recovery. Sign-in,
 * tables and policies stay supabase-js' own.
 */
export async function vigil(supabase: Supabase, url: string, options: VigilOptions = {}): Promise<Vigil> {
  const { data, error } = await supabase.auth.getSession()
  if (error !== null) throw new RequestError('read login', error.code ?? '', error.status ?? 0, error.message, '', { cause: error })
  if (data.session === null) throw new SessionError('not_participant', 'sign in first')
  const userId = data.session.user.id
  const database = new Database(supabase)
  const store = options.store ?? (typeof indexedDB === 'undefined' ? new (await import('./memory.ts')).MemoryStore() : new IndexedDbStore())
  const account = `${new URL(url).origin} ${userId}`
  const v = await Vigil.open({
    realtime: connect(supabase, url, options),
    userId, database, store, account,
    label: options.label ?? null,
    trust: options.newDevices === 'trust',
  })
  v.follow(supabase)
  return v
}

function connect(supabase: Supabase, url: string, options: VigilOptions): RealtimeClient {
  const apikey = options.apiKey ?? supabase.realtime.apiKey
  if (apikey === null) throw new SessionError('not_participant', 'no publishable key: pass options.apiKey')
  const endpoint = new URL(url)
  endpoint.protocol = endpoint.protocol.replace('http', 'ws')
  return new RealtimeClient(`${endpoint.href.replace(/\/$/, '')}/realtime/v1`, {
    params: { apikey },
    accessToken: async () => (await supabase.auth.getSession()).data.session?.access_token ?? null,
    transport: options.transport ?? supabase.realtime.transport,
  })
}
