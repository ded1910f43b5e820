// The two clients of the table, unmodified. The older is not built on Phoenix' own, and speaks vsn 1.0.0 alone.
import { RealtimeClient } from '@supabase/realtime-js'
import { RealtimeClient as Older } from 'realtime-js-older'
import type { Seat } from './world.ts'

export const clients: Record<Seat['library'], typeof RealtimeClient> = {
  current: RealtimeClient,
  older: Older as unknown as typeof RealtimeClient, // what the behaviours use of it is the same
}
