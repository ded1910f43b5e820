// One server, its clients and its topics: what one behaviour of the table runs in, in Node or in a page. Nobody else is there.
import type { RealtimeChannel, RealtimeClient, RealtimeClientOptions } from '@supabase/realtime-js'
import { listen, type Heard } from './heard.ts'
import { fits } from './fits.ts'

export const everything = { BroadcastReceive: true, BroadcastSend: true, PresenceReceive: true, PresenceSend: true }
export const nothing = {}

export interface Order {
  User?: string
  Login?: string
  Topic?: string
  Event?: string
  Token?: string
  Payload?: unknown
  Count?: number
  Milliseconds?: number
  Grant?: Partial<typeof everything>
}

export type Path = 'publish' | 'allow' | 'expire' | 'end' | 'cut' | 'silence' | 'drain' | 'resume' | 'reset'

// The fields of realtime.Limits and realtime.Timing, the latter in milliseconds.
export interface Settings {
  limits?: Record<string, number>
  timing?: Record<string, number>
}

// Which client runs where: a column of the table.
export interface Seat {
  library: 'current' | 'older'
  vsn: '1.0.0' | '2.0.0'
  place: 'Node' | 'Chromium'
}

// What a seat brings to every world.
export interface Outfit {
  seat: Seat
  Client: typeof RealtimeClient
  transport?: typeof WebSocket // where there is none, as in Node 20
  echo: string // address of the echo server
  freeze?: (server: string, orders: [Path, Order][]) => Promise<void> // pages only: sleeps until the server has dropped it and orders are done
}

async function post(url: string, body: unknown): Promise<Response> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) }) // no type: a page need not ask first
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return response
}

export async function order(server: string, path: Path, order: Order = {}): Promise<void> {
  await post(`${server}/${path}`, order)
}

export class World {
  private readonly clients: RealtimeClient[] = []

  private constructor(
    readonly outfit: Outfit,
    readonly server: string,
  ) {}

  static async open(outfit: Outfit, settings: Settings = {}): Promise<World> {
    const timing = Object.fromEntries(Object.entries(settings.timing ?? {}).map(([name, ms]) => [name, ms * 1e6]))
    const response = await post(`${outfit.echo}/serve`, { Limits: settings.limits ?? {}, Timing: timing })
    const said: unknown = await response.json()
    fits(said, { url: /^http:/ })
    return new World(outfit, String(Reflect.get(said as object, 'url')))
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.splice(0).map((client) => client.disconnect()))
  }

  // How its clients stand, for whoever reads that a behaviour failed.
  state(): string {
    const clients = this.clients.map((client) => ({ connection: client.connectionState(), channels: client.channels.map(({ topic, state }) => ({ topic, state })) }))
    const page = this.outfit.seat.place === 'Chromium' ? `the page was ${document.visibilityState} and ` : ''
    return `${page}its clients were ${JSON.stringify(clients)}`
  }

  order(path: Path, what: Order = {}): Promise<void> {
    return order(this.server, path, what)
  }

  allow(user: string, topic: string, grant: Partial<typeof everything> = everything): Promise<void> {
    return this.order('allow', { User: user, Topic: topic, Grant: grant })
  }

  publish(topic: string, n: number): Promise<void> {
    return this.order('publish', { Topic: topic, Event: 'message', Payload: { n } })
  }

  client(options: RealtimeClientOptions = {}): RealtimeClient {
    const { Client, seat, transport } = this.outfit
    const client = new Client(`${this.server.replace(/^http/, 'ws')}/realtime/v1`, {
      ...(transport ? { transport } : {}),
      params: { apikey: 'sb_publishable_echo' },
      vsn: seat.vsn, // which the older client does not know
      ...options,
    })
    this.clients.push(client)
    return client
  }

  async signedIn(token: string, options: RealtimeClientOptions = {}): Promise<RealtimeClient> {
    const client = this.client(options)
    await client.setAuth(token)
    return client
  }

  // Somebody who may do everything, joined.
  async joined(token: string, topic: string, config: Record<string, unknown> = {}): Promise<Heard> {
    await this.allow(token.split('/')[0] ?? '', topic)
    const heard = listen(await this.signedIn(token), topic, config)
    await subscribed(heard)
    return heard
  }
}

export async function subscribed(heard: Heard): Promise<void> {
  fits(await heard.states.next(), { status: 'SUBSCRIBED', error: undefined })
}

export const again = (state: { status: string }): boolean => state.status === 'SUBSCRIBED'

// The older client puts the text between quotes.
export const saying =
  (text: string) =>
  (error: unknown): boolean =>
    error === text || error === JSON.stringify(text)

// What an app passes to join after a cursor, and to move it: the five lines of the client helper.
export function cursorOf(replay: Record<string, unknown>, channel: RealtimeChannel): void {
  channel.updateJoinPayload({ config: { private: true, broadcast: { replay }, presence: { key: '', enabled: false }, postgres_changes: [] } })
}
