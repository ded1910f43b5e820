import { RealtimeClient, type RealtimeClientOptions } from '@supabase/realtime-js'
import { Database, type Supabase } from './database.ts'
import { makeDevice, type Device } from './device.ts'
import { RequestError, SessionError } from './failure.ts'
import { IndexedDbStore } from './indexeddb.ts'
import { Pins } from './pins.ts'
import { Session } from './session.ts'
import { MemoryStore, type Store } from './store.ts'

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

/** The sidecar, as the signed-in person's app sees it. Made by vigil(). */
export class Vigil {
  /** A plain RealtimeClient on the sidecar: every feature of realtime-js is there. */
  readonly realtime: RealtimeClient
  readonly userId: string
  readonly #database: Database
  readonly #store: Store
  readonly #account: string
  readonly #pins: Pins
  readonly #device: Device
  readonly #trust: boolean
  readonly #sessions = new Set<Session>()
  readonly #undo: (() => void)[] = []

  constructor(parts: {
    readonly realtime: RealtimeClient
    readonly userId: string
    readonly database: Database
    readonly store: Store
    readonly account: string
    readonly pins: Pins
    readonly device: Device
    readonly trust: boolean
  }) {
    this.realtime = parts.realtime
    this.userId = parts.userId
    this.#database = parts.database
    this.#store = parts.store
    this.#account = parts.account
    this.#pins = parts.pins
    this.#device = parts.device
    this.#trust = parts.trust
  }

  /** The id of this device in `devices`. */
  get deviceId(): string {
    return this.#device.kid
  }

  /** Opens a session of the signed-in person's. Its history is on the way when this resolves. */
  async session(id: string): Promise<Session> {
    const session = new Session({
      id: id.toLowerCase(),
      userId: this.userId,
      device: this.#device,
      database: this.#database,
      store: this.#store,
      account: this.#account,
      pins: this.#pins,
      realtime: this.realtime,
      trustNewDevices: this.#trust,
    })
    await session.start()
    this.#sessions.add(session)
    return session
  }

  /** Closes every session and the socket. The device stays. */
  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0)) undo()
    await Promise.all([...this.#sessions].map((session) => session.close()))
    this.#sessions.clear()
    await this.realtime.disconnect()
  }

  /** Ends with the login, and tries again what waits when the network is back. Called by vigil(). */
  follow(supabase: Supabase): void {
    const { data } = supabase.auth.onAuthStateChange((event) => {
      if (event === 'SIGNED_OUT') void this.close()
    })
    this.#undo.push(() => {
      data.subscription.unsubscribe()
    })
    if (typeof window === 'undefined') return
    const wake = (): void => {
      for (const session of this.#sessions) session.wake()
    }
    window.addEventListener('online', wake)
    this.#undo.push(() => {
      window.removeEventListener('online', wake)
    })
  }
}

/**
 * Puts Vigil beside a signed-in supabase client: makes this browser's device once, registers it, and connects to the sidecar
 * at url. Sign-in, tables and policies stay supabase-js' own.
 */
export async function vigil(supabase: Supabase, url: string, options: VigilOptions = {}): Promise<Vigil> {
  const { data, error } = await supabase.auth.getSession()
  if (error !== null) throw new RequestError('read login', error.code ?? '', error.status ?? 0, error.message, '', { cause: error })
  if (data.session === null) throw new SessionError('not_participant', 'sign in first')
  const userId = data.session.user.id
  const database = new Database(supabase)
  const store = options.store ?? (typeof indexedDB === 'undefined' ? new MemoryStore() : new IndexedDbStore())
  const account = `${new URL(url).origin} ${userId}`
  const device = await registeredDevice(database, store, account, userId, options.label ?? null)
  const v = new Vigil({
    realtime: connect(supabase, url, options),
    userId, database, device, store, account,
    pins: new Pins(store, account),
    trust: options.newDevices === 'trust',
  })
  v.follow(supabase)
  return v
}

/** The device of the account: kept, or made now; its row is there, or is made now. A revoked one is replaced. */
async function registeredDevice(
  database: Database,
  store: Store,
  account: string,
  userId: string,
  label: string | null,
): Promise<Device> {
  const device = (await store.device(account)) ?? (await store.keepDevice(account, await makeDevice()))
  const row = await database.device(device.kid)
  if (row !== undefined && row.revoked_at !== null) {
    await store.dropDevice(account)
    return registeredDevice(database, store, account, userId, label)
  }
  if (row === undefined) {
    try {
      await database.insertDevice({ id: device.kid, user_id: userId, enc_pub: device.encPub, sig_pub: device.sigPub, label })
    } catch (thrown) {
      const another = thrown instanceof RequestError && thrown.code === '23505' // a second tab was quicker
      if (!another) throw thrown
    }
  }
  return device
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
