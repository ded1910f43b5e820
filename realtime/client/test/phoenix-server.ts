/** A Phoenix server of a few lines, for the client's own tests: joins, heartbeats, broadcasts. The real one is Go's. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { WebSocketServer, type WebSocket } from 'ws'
import { fields, json, list, text, type Fields } from '../src/parse.ts'

interface Joined {
  readonly socket: WebSocket
  readonly joinRef: unknown
}

export class PhoenixServer {
  readonly joins: { topic: string; payload: Fields }[] = []
  readonly #http: Server
  readonly #sockets = new Set<WebSocket>()
  readonly #joined = new Map<string, Joined[]>()
  readonly #waiting: (() => void)[] = []
  url = ''

  constructor() {
    this.#http = createServer()
    new WebSocketServer({ server: this.#http, path: '/realtime/v1/websocket' }).on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('message', (data: Buffer) => {
        this.#receive(socket, data.toString('utf8'))
      })
    })
  }

  async start(): Promise<void> {
    this.#http.listen(0, '127.0.0.1')
    await once(this.#http, 'listening')
    const address = this.#http.address()
    this.url = `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`
  }

  async stop(): Promise<void> {
    this.drop()
    this.#http.close()
    await once(this.#http, 'close')
  }

  /** Ends every connection, as a restart does. */
  drop(): void {
    for (const socket of this.#sockets) socket.terminate()
    this.#sockets.clear()
    this.#joined.clear()
  }

  /** Resolves once a topic was joined that often. */
  async joinedTimes(topic: string, times: number): Promise<Fields> {
    for (;;) {
      const joins = this.joins.filter((one) => one.topic === topic)
      const last = joins.at(times - 1)
      if (last !== undefined) return last.payload
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** A durable broadcast; more goes into its meta. */
  broadcast(topic: string, event: string, payload: unknown, cursor: string, more: object = {}): void {
    const meta = { id: crypto.randomUUID(), seq: 1, prev: 0, epoch: 'e', cursor, ts: 0, ...more }
    this.#send(topic, false, 'broadcast', { type: 'broadcast', event, payload, meta })
  }

  /** A broadcast of another client, as the server passes it on: without meta. */
  relay(topic: string, event: string, payload: unknown): void {
    this.#send(topic, false, 'broadcast', { type: 'broadcast', event, payload })
  }

  /** What follows a re-join. */
  system(topic: string, payload: unknown): void {
    this.#send(topic, false, 'system', payload)
  }

  /** Who is there, by key. */
  presence(topic: string, keys: readonly string[]): void {
    this.#send(topic, false, 'presence_state', Object.fromEntries(keys.map((key) => [key, { metas: [{ phx_ref: key }] }])))
  }

  /** Ends a channel for good, as a revocation does. */
  end(topic: string): void {
    this.#send(topic, true, 'phx_close', {})
  }

  #send(topic: string, withRef: boolean, event: string, payload: unknown): void {
    for (const { socket, joinRef } of this.#joined.get(topic) ?? []) {
      socket.send(JSON.stringify([joinRef, withRef ? joinRef : null, `realtime:${topic}`, event, payload]))
    }
  }

  #receive(socket: WebSocket, frame: string): void {
    const [joinRef, ref, wire, event, payload] = list(json(frame, 'frame'), 'frame')
    const topic = text({ wire }, 'wire').replace('realtime:', '')
    if (event === 'phx_join') {
      this.joins.push({ topic, payload: fields(payload, 'join') })
      this.#joined.set(topic, [...(this.#joined.get(topic) ?? []), { socket, joinRef }])
    }
    const response = event === 'phx_join' ? { postgres_changes: [] } : {}
    socket.send(JSON.stringify([joinRef, ref, wire, 'phx_reply', { status: 'ok', response }]))
    if (event === 'phx_join') for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
