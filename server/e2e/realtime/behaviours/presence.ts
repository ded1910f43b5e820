// Who is there, as everybody sees it.
import type { RealtimeClient } from '@supabase/realtime-js'
import type { Behaviour } from '../behaviour.ts'
import { fits, matches } from '../fits.ts'
import { hear, Queue, subscribe, type Heard } from '../heard.ts'
import { again, subscribed, type World } from '../world.ts'

const topic = 'session:presence'

interface Change {
  event: 'join' | 'leave'
  key: string
  now: unknown[]
}

interface Watching extends Heard {
  client: RealtimeClient
  changes: Queue<Change>
  synced: Queue<unknown> // the state after each sync
}

// Joins under a key, as an app that shows who is there. With here it tracks that whenever it is joined, as Supabase advises.
async function watching(world: World, token: string, key: string, here?: Record<string, unknown>): Promise<Watching> {
  await world.allow(token.split('/')[0] ?? '', topic)
  const client = await world.signedIn(token)
  const changes = new Queue<Change>('changes of presence')
  const synced = new Queue<unknown>('states of presence')
  const heard = hear(client.channel(topic, { config: { private: true, presence: { key } } }))
  heard.channel.on('presence', { event: 'join' }, (change) => {
    changes.push({ event: 'join', key: change.key, now: change.newPresences })
  })
  heard.channel.on('presence', { event: 'leave' }, (change) => {
    changes.push({ event: 'leave', key: change.key, now: change.leftPresences })
  })
  heard.channel.on('presence', { event: 'sync' }, () => {
    synced.push(structuredClone(heard.channel.presenceState()))
  })
  if (here === undefined) {
    subscribe(heard)
  } else {
    heard.channel.subscribe((status, error) => {
      heard.states.push({ status, error: error?.message })
      if (again({ status })) void heard.channel.track(here)
    })
  }
  await subscribed(heard)
  return { ...heard, client, changes, synced }
}

const has =
  (key: string, at?: string) =>
  (state: unknown): boolean => {
    const metas: unknown = Reflect.get(state as object, key)
    return Array.isArray(metas) && metas.some((meta) => at === undefined || Reflect.get(meta as object, 'at') === at)
  }

export const presence: Behaviour[] = [
  {
    name: 'sees who comes, who is there, and who goes',
    run: async (world) => {
      const ann = await watching(world, 'ann/l1', 'ann')
      const ben = await watching(world, 'ben/l2', 'ben')
      fits(await ann.channel.track({ at: 'desk' }), 'ok')
      fits(await ann.changes.next(), { event: 'join', key: 'ann', now: [{ at: 'desk', presence_ref: /./ }] })
      fits(await ben.channel.track({ at: 'door' }), 'ok')
      fits(await ann.changes.next(), { event: 'join', key: 'ben', now: [{ at: 'door' }] })
      await ben.synced.until(has('ben'))
      for (const who of [ann, ben]) fits(who.channel.presenceState(), { ann: [{ at: 'desk' }], ben: [{ at: 'door' }] })
      const eve = await watching(world, 'eve/l3', 'eve')
      fits(await eve.synced.until(has('ben')), { ann: [{ at: 'desk' }], ben: [{ at: 'door' }] })
      fits(await ben.channel.untrack(), 'ok')
      fits(await ann.changes.next(), { event: 'leave', key: 'ben', now: [{ at: 'door' }] })
      fits(Object.keys(ann.channel.presenceState()), ['ann'])
    },
  },
  {
    name: 'changes what it says of itself, in one change',
    run: async (world) => {
      const ann = await watching(world, 'ann/l1', 'ann')
      const ben = await watching(world, 'ben/l2', 'ben')
      await ben.channel.track({ at: 'door' })
      await ann.synced.until(has('ben', 'door'))
      await ben.channel.track({ at: 'window' })
      fits(await ann.synced.next(), { ben: [{ at: 'window' }] })
      await ben.channel.track({ at: 'window' }) // which changes nothing
      await ben.channel.untrack()
      fits(await ann.synced.next(), (state: object) => Object.keys(state).length === 0)
    },
  },
  {
    name: 'is there twice under one key from two tabs, and stays there when one is closed',
    run: async (world) => {
      const ann = await watching(world, 'ann/l1', 'ann')
      const one = await watching(world, 'ben/l2', 'ben', { at: 'one' })
      await ann.synced.until(has('ben', 'one'))
      await watching(world, 'ben/l2', 'ben', { at: 'two' })
      fits(await ann.synced.until(has('ben', 'two')), { ben: [{ at: 'one' }, { at: 'two' }] })
      await one.client.disconnect()
      fits(await ann.changes.until((change) => change.event === 'leave'), { key: 'ben', now: [{ at: 'one' }] })
      fits(ann.channel.presenceState(), { ben: [{ at: 'two' }] })
    },
  },
  {
    name: 'sees after a break who is there, and is seen again',
    run: async (world) => {
      const ann = await watching(world, 'ann/l1', 'ann', { at: 'desk' })
      const ben = await watching(world, 'ben/l2', 'ben', { at: 'door' })
      await ann.synced.until(has('ben'))
      await ben.synced.until(has('ann'))
      const before = Object.values(ann.channel.presenceState()).flatMap((metas) => metas.map((meta) => meta.presence_ref))
      fits(before.length, 2)
      await world.order('cut')
      for (const who of [ann, ben]) {
        fits(await who.states.next(), { status: 'CHANNEL_ERROR' })
        await who.states.until(again)
      }
      for (const who of [ann, ben]) {
        const anew = (ref: string): boolean => !before.includes(ref)
        await who.synced.until((state) => matches(state, { ann: [{ at: 'desk', presence_ref: anew }], ben: [{ at: 'door', presence_ref: anew }] }))
      }
    },
  },
  {
    name: 'sees nobody without the right to, and is told that it may not be seen',
    run: async (world) => {
      const ann = await watching(world, 'ann/l1', 'ann', { at: 'desk' })
      await ann.synced.until(has('ann'))
      const client = await world.signedIn('eve/l3')
      await world.allow('eve', topic, { BroadcastReceive: true })
      const eve = hear(client.channel(topic, { config: { private: true, presence: { key: 'eve' } } }))
      let told = 0
      eve.channel.on('presence', { event: 'sync' }, () => {
        told++
      })
      subscribe(eve)
      await subscribed(eve)
      fits(await eve.channel.track({ at: 'keyhole' }), 'error')
      await ann.channel.track({ at: 'sofa' })
      await world.publish(topic, 1)
      fits(await eve.messages.next(), { payload: { n: 1 } })
      fits(told, 0)
      fits(Object.keys(ann.channel.presenceState()), ['ann'])
    },
  },
]
