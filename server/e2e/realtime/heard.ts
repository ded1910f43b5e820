// What a channel of realtime-js was told, kept until a test asks. For Node and for a page alike.
import type { RealtimeChannel, RealtimeClient } from '@supabase/realtime-js'

// How long anything may take, on a machine that others share.
const patience = 30_000
const { setTimeout, clearTimeout } = globalThis // before anything slows timers down

// Queue keeps what callbacks are given until a test asks for it.
export class Queue<T> {
  private readonly kept: T[] = []
  private readonly waiting: ((value: T) => void)[] = []

  constructor(private readonly name: string) {}

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
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`nothing came among the ${this.name} in ${patience / 1000} s`))
      }, patience)
      this.waiting.push((value) => {
        clearTimeout(timer)
        resolve(value)
      })
    })
  }

  // Gives the first that fits, and forgets those before it.
  async until(fits: (value: T) => boolean): Promise<T> {
    const passed: T[] = []
    for (;;) {
      const value = await this.next().catch((cause: unknown) => {
        throw new Error(`${String(cause)} that fits; before came ${JSON.stringify(passed)}`)
      })
      if (fits(value)) return value
      passed.push(value)
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
  expires_at?: number
}

export interface State {
  status: string
  error: string | undefined
}

// Heard is a channel with everything that it was told.
export interface Heard {
  channel: RealtimeChannel
  states: Queue<State>
  messages: Queue<Durable>
  system: Queue<System>
}

// Keeps what comes to a channel that nobody has subscribed yet.
export function hear(channel: RealtimeChannel): Heard {
  const heard: Heard = { channel, states: new Queue('states'), messages: new Queue('messages'), system: new Queue('system messages') }
  channel.on('broadcast', { event: '*' }, (message) => {
    heard.messages.push(message as unknown as Durable)
  })
  channel.on('system', {}, (message: unknown) => {
    heard.system.push(message as System)
  })
  return heard
}

export function subscribe(heard: Heard): void {
  heard.channel.subscribe((status, error) => {
    heard.states.push({ status, error: error?.message })
  })
}

// Joins a topic as an app does, and keeps what comes.
export function listen(client: RealtimeClient, topic: string, config: Record<string, unknown> = {}): Heard {
  const heard = hear(client.channel(topic, { config: { private: true, ...config } }))
  subscribe(heard)
  return heard
}

export const isRecovery = (s: System): boolean => s.extension === 'recovery'
