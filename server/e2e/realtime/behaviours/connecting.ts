// Connections that break, fall silent, are restarted, or belong to a tab that nobody looks at.
import { notNode, type Behaviour } from '../behaviour.ts'
import { fits } from '../fits.ts'
import { isRecovery, listen, Queue, type Heard } from '../heard.ts'
import { again, cursorOf, subscribed, type World } from '../world.ts'

const topic = 'session:connecting'
const beat = 2500 // no answer within it counts as a dead connection, on a machine however busy
const pagesOnly = 'only pages are put to sleep'

// A channel that has heard one message and goes on after it.
async function following(world: World, options: Parameters<World['signedIn']>[1] = {}): Promise<Heard> {
  await world.allow('ann', topic)
  const replay = { since: Date.now(), limit: 25 }
  const heard = listen(await world.signedIn('ann/l1', options), topic, { broadcast: { replay } })
  await subscribed(heard)
  await heard.system.until(isRecovery)
  await world.publish(topic, 0)
  const { meta } = await heard.messages.next()
  cursorOf({ ...replay, after: meta.cursor }, heard.channel)
  return heard
}

async function missedNothing(heard: Heard, to: number): Promise<void> {
  for (let n = 1; n <= to; n++) fits(await heard.messages.next(), { payload: { n } })
  fits(await heard.system.until((s) => isRecovery(s) && s.code !== 'CursorMissing'), { status: 'ok', recovered: true, missed: 0 })
  fits(heard.messages.length, 0)
}

// Does to a page's timers what Chromium does to those of a tab that was hidden for five minutes; returns what ends it.
function slowTimers(): () => void {
  const { setInterval, setTimeout } = globalThis
  const minute = 60_000
  Object.assign(globalThis, {
    setInterval: (f: () => void, ms = 0) => setInterval(f, Math.max(ms, minute)),
    setTimeout: (f: () => void, ms = 0) => setTimeout(f, Math.max(ms, minute)),
  })
  return () => Object.assign(globalThis, { setInterval, setTimeout })
}

export const connecting: Behaviour[] = [
  {
    name: 'is answered at every heartbeat',
    run: async (world) => {
      const client = await world.signedIn('ann/l1', { heartbeatIntervalMs: beat })
      const beats = new Queue<string>('heartbeats')
      client.onHeartbeat(beats.push)
      await subscribed(listen(client, 'lobby', { private: false }))
      for (let n = 0; n < 2; n++) {
        fits(await beats.until((status) => status !== 'disconnected'), 'sent')
        fits(await beats.next(), 'ok')
      }
    },
  },
  {
    name: 'notices by its heartbeat that its connection is dead, and misses nothing',
    run: async (world) => {
      const heard = await following(world, { heartbeatIntervalMs: 1000 })
      const beats = new Queue<string>('heartbeats')
      heard.channel.socket.onHeartbeat(beats.push)
      await world.order('silence')
      for (let n = 1; n <= 3; n++) await world.publish(topic, n)
      await beats.until((status) => status === 'timeout')
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await heard.states.until(again)
      await missedNothing(heard, 3)
    },
  },
  {
    name: 'is sent away when the server stops, comes back when it is there again, and has missed nothing',
    run: async (world) => {
      const heard = await following(world)
      await world.order('drain')
      fits(await heard.system.next(), { status: 'error', code: 'RealtimeRestarting' })
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await world.publish(topic, 1)
      await world.order('resume')
      await heard.states.until(again)
      await missedNothing(heard, 1)
    },
  },
  {
    name: 'keeps its connection in a background tab, where timers do not run, with worker: true',
    except: notNode(pagesOnly),
    page: 'own',
    run: async (world) => {
      const wake = slowTimers()
      try {
        const working = new Queue<string>('heartbeats of the worker')
        const sleeping = new Queue<string>('heartbeats without one')
        const heard = await following(world, { worker: true, heartbeatIntervalMs: beat })
        heard.channel.socket.onHeartbeat(working.push)
        const other = await following(world, { heartbeatIntervalMs: beat })
        other.channel.socket.onHeartbeat(sleeping.push)
        for (let n = 0; n < 2; n++) await working.until((status) => status === 'ok')
        fits(sleeping.length, 0)
        await world.publish(topic, 1)
        await heard.messages.until((message) => message.payload.n === 1)
        fits(heard.states.length, 0)
      } finally {
        wake()
      }
    },
  },
  {
    name: 'hears in a tab that was frozen, once it wakes, what came meanwhile, though its connection broke too',
    except: notNode(pagesOnly),
    page: 'frozen',
    run: async (world) => {
      const heard = await following(world)
      const publish = (n: number): ['publish', { Topic: string; Event: string; Payload: unknown }] => ['publish', { Topic: topic, Event: 'message', Payload: { n } }]
      await world.outfit.freeze?.(world.server, [publish(1), ['cut', {}], publish(2), publish(3)])
      await missedNothing(heard, 3)
    },
  },
]
