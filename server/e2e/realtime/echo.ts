// Starts realtime/internal/echoserver, a server of the channels with its log and grants in memory, and writes its tables.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { RealtimeClient, type RealtimeChannel } from '@supabase/realtime-js'
import WebSocket from 'ws'

const root = fileURLToPath(new URL('../../../', import.meta.url))

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

export class Echo {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(): Promise<Echo> {
    const folder = mkdtempSync(join(tmpdir(), 'vigil-echo-'))
    const binary = join(folder, 'echoserver')
    execFileSync('go', ['build', '-o', binary, './realtime/internal/echoserver'], { cwd: root, stdio: 'inherit' })
    const child = spawn(binary, [], { stdio: ['pipe', 'pipe', 'inherit'] })
    const line = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).once('line', resolve)
      child.once('error', reject)
      child.once('exit', (code) => {
        reject(new Error(`the echo server ended with ${code ?? 'a signal'} before it said where it is`))
      })
    })
    const said: unknown = JSON.parse(line)
    const url: unknown = typeof said === 'object' && said !== null ? Reflect.get(said, 'url') : undefined
    if (typeof url !== 'string') throw new Error('the echo server did not say where it is')
    return new Echo(url, child, folder)
  }

  // Ends the server as a stop of the sidecar does, and waits until it has gone.
  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return
    const gone = new Promise<void>((resolve) => {
      this.child.once('exit', () => {
        resolve()
      })
    })
    this.child.stdin?.end()
    await gone
    rmSync(this.folder, { recursive: true, force: true })
  }

  async order(path: 'publish' | 'allow' | 'expire' | 'end' | 'cut' | 'reset', order: Order = {}): Promise<void> {
    const response = await fetch(`${this.url}/${path}`, { method: 'POST', body: JSON.stringify(order) })
    if (response.status !== 204) throw new Error(`${path}: ${response.status}`)
  }

  client(vsn: string, accessToken?: () => Promise<string | null>): RealtimeClient {
    return new RealtimeClient(`${this.url.replace(/^http/, 'ws')}/realtime/v1`, {
      transport: WebSocket as unknown as typeof globalThis.WebSocket, // Node 20 has none of its own
      params: { apikey: 'sb_publishable_echo' },
      vsn,
      ...(accessToken ? { accessToken } : {}),
    })
  }
}

// Queue keeps what callbacks are given until a test asks for it.
export class Queue<T> {
  private readonly kept: T[] = []
  private readonly waiting: ((value: T) => void)[] = []

  push = (value: T): void => {
    const first = this.waiting.shift()
    if (first) first(value)
    else this.kept.push(value)
  }

  get length(): number {
    return this.kept.length
  }

  async next(): Promise<T> {
    const first = this.kept.shift()
    if (first !== undefined) return first
    return new Promise((resolve) => {
      this.waiting.push(resolve)
    })
  }

  // Gives the first that fits, and forgets those before it.
  async until(fits: (value: T) => boolean): Promise<T> {
    for (;;) {
      const value = await this.next()
      if (fits(value)) return value
    }
  }
}

export interface Durable {
  event: string
  payload: { n?: number }
  meta: { id: string; seq: number; prev: number; epoch: string; cursor: string; ts: number; replayed?: boolean }
}

export interface System {
  extension: string
  status: string
  message: string
  code?: string
  recovered?: boolean
  from?: number | null
  to?: number
  missed?: number | null
}

// Heard is a channel with everything that it was told.
export interface Heard {
  channel: RealtimeChannel
  states: Queue<{ status: string; error: string | undefined }>
  messages: Queue<Durable>
  system: Queue<System>
}

// Joins a topic as an app does, and keeps what comes.
export function listen(client: RealtimeClient, topic: string, config: Record<string, unknown> = {}): Heard {
  const channel = client.channel(topic, { config: { private: true, ...config } })
  const heard: Heard = { channel, states: new Queue(), messages: new Queue(), system: new Queue() }
  channel.on('broadcast', { event: '*' }, (message) => {
    heard.messages.push(message as unknown as Durable)
  })
  channel.on('system', {}, (message: unknown) => {
    heard.system.push(message as System)
  })
  channel.subscribe((status, error) => {
    heard.states.push({ status, error: error?.message })
  })
  return heard
}

export const isRecovery = (s: System): boolean => s.extension === 'recovery'
