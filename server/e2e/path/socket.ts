// A bare RealtimeClient on the sidecar, as an app uses it without vigil-client.
import { RealtimeClient } from '@supabase/realtime-js'
import { listen, type Durable, type Heard } from '../realtime/heard.ts'
import { project, tokenOf, type Client } from '../standin/project.ts'
import { sidecar } from './people.ts'
import { transport, Wire } from './wire.ts'

const clients: RealtimeClient[] = []

export interface Bare {
  realtime: RealtimeClient
  // Breaks the connection, as a train in a tunnel does.
  cut(): void
}

// Somebody's plain realtime-js, with a token in place.
export async function bare(of: Client, vsn = '2.0.0'): Promise<Bare> {
  const own: Wire[] = []
  const realtime = new RealtimeClient(`${sidecar.url.replace(/^http/, 'ws')}/realtime/v1`, {
    transport: transport(
      class extends Wire {
        constructor(address: string | URL, protocols?: string | string[]) {
          super(address, protocols)
          own.push(this)
        }
      },
    ),
    params: { apikey: project.publishableKey },
    vsn,
    accessToken: () => tokenOf(of),
  })
  clients.push(realtime)
  await realtime.setAuth()
  return {
    realtime,
    cut: () => {
      for (const socket of own) socket.terminate()
    },
  }
}

export async function disconnectAll(): Promise<void> {
  await Promise.all(clients.splice(0).map((client) => client.disconnect()))
  for (const socket of Wire.open) socket.terminate()
}

// A channel that was joined: the server has said what it recovered, so whatever is committed now is heard.
export async function joined(bare: Bare, topic: string, config: Record<string, unknown> = {}): Promise<Heard> {
  const heard = listen(bare.realtime, topic, config)
  await heard.states.until((state) => state.status === 'SUBSCRIBED')
  await heard.system.until((message) => message.extension === 'recovery')
  return heard
}

// The row of a broadcast.
export function rowOf(message: Durable): Record<string, unknown> {
  return Object.fromEntries(Object.entries(message.payload))
}

export const named =
  (event: string, row: Record<string, unknown> = {}) =>
  (message: Durable): boolean =>
    message.event === event && Object.entries(row).every(([name, value]) => rowOf(message)[name] === value)
