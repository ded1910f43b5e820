// How clients get in, and what they are told if they do not.
import type { Behaviour } from '../behaviour.ts'
import { fits } from '../fits.ts'
import { hear, isRecovery, listen, subscribe } from '../heard.ts'
import { again, everything, saying, subscribed } from '../world.ts'

const topic = 'session:joining'

export const joining: Behaviour[] = [
  {
    name: 'joins a private channel and hears what is published, with its place in the log',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      fits(await heard.system.next(), { extension: 'recovery', status: 'ok', code: 'CursorMissing', recovered: false, missed: null })
      await world.publish(topic, 1)
      await world.publish(topic, 2)
      const first = await heard.messages.next()
      const second = await heard.messages.next()
      fits(first, { event: 'message', payload: { n: 1 }, meta: { prev: 0, epoch: /./, id: /./, cursor: /./ } })
      fits(second, { payload: { n: 2 }, meta: { prev: first.meta.seq, epoch: first.meta.epoch } })
    },
  },
  {
    name: 'is told why it may not join, asks again by itself, and is let in once it may',
    run: async (world) => {
      const heard = listen(await world.signedIn('ann/l1'), topic)
      const denied = { status: 'CHANNEL_ERROR', error: saying(`Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`) }
      fits(await heard.states.next(), denied)
      fits(await heard.states.next(), denied)
      await world.allow('ann', topic)
      await heard.states.until(again)
    },
  },
  {
    name: 'is told that its token is none',
    run: async (world) => {
      const heard = listen(await world.signedIn('nonsense'), topic)
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR', error: saying('InvalidJWTToken: The token is not valid') })
    },
  },
  {
    name: 'is told to pass private for a topic that has a history',
    run: async (world) => {
      const heard = listen(await world.signedIn('ann/l1'), topic, { private: false })
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR', error: saying('PrivateOnly: pass { config: { private: true } }') })
    },
  },
  {
    name: 'is told that postgres_changes are not served',
    run: async (world) => {
      await world.allow('ann', topic)
      const client = await world.signedIn('ann/l1')
      const heard = hear(client.channel(topic, { config: { private: true } }))
      heard.channel.on('postgres_changes', { event: '*', schema: 'public' }, () => undefined)
      subscribe(heard)
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR', error: /PostgresChangesUnsupported: / })
    },
  },
  {
    name: 'joins a public channel without a token; the private one of that name is another',
    run: async (world) => {
      const inside = await world.joined('ann/l1', 'lobby', { broadcast: { ack: true, self: true } })
      const one = listen(world.client(), 'lobby', { private: false, broadcast: { ack: true } })
      const other = listen(world.client(), 'lobby', { private: false })
      await subscribed(one)
      await subscribed(other)
      fits(await one.channel.send({ type: 'broadcast', event: 'word', payload: { n: 1 } }), 'ok')
      fits(await inside.channel.send({ type: 'broadcast', event: 'word', payload: { n: 2 } }), 'ok')
      fits(await one.channel.send({ type: 'broadcast', event: 'word', payload: { n: 3 } }), 'ok')
      fits(await other.messages.next(), { payload: { n: 1 } })
      fits(await other.messages.next(), { payload: { n: 3 } })
      fits(await inside.messages.next(), { payload: { n: 2 } })
      fits(inside.messages.length, 0)
    },
  },
  {
    name: 'joins bare while its token is fetched, and hears once it is shown, but nothing before',
    run: async (world) => {
      await world.allow('ann', topic)
      let arrive: (token: string) => void = () => undefined
      const token = new Promise<string>((resolve) => {
        arrive = resolve
      })
      const client = world.client({ accessToken: () => token })
      const heard = listen(client, topic)
      await subscribed(heard)
      await world.publish(topic, 1)
      fits(heard.messages.length, 0)
      arrive('ann/l1')
      await client.setAuth()
      fits(await heard.messages.next(), { payload: { n: 1 } })
      await heard.system.until(isRecovery)
    },
  },
  {
    name: 'is told when no token came in time, and comes back',
    settings: { timing: { TokenWithin: 200 } },
    run: async (world) => {
      const heard = listen(world.client(), topic)
      await subscribed(heard)
      fits(await heard.system.next(), { extension: 'system', status: 'error', code: 'TokenMissing' })
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await heard.states.until(again)
    },
  },
  {
    name: 'leaves, and joins again, and hears everything once',
    run: async (world) => {
      await world.allow('ann', topic)
      const client = await world.signedIn('ann/l1')
      const stays = listen(client, 'lobby', { private: false }) // so that the connection does
      await subscribed(stays)
      const first = listen(client, topic)
      await subscribed(first)
      fits(await first.channel.unsubscribe(), 'ok')
      fits(await first.states.next(), { status: 'CLOSED' })
      const second = listen(client, topic)
      await subscribed(second)
      await world.publish(topic, 1)
      await world.publish(topic, 2)
      fits(await second.messages.next(), { payload: { n: 1 } })
      fits(await second.messages.next(), { payload: { n: 2 } })
      fits(second.messages.length, 0)
      fits(first.messages.length, 0)
    },
  },
  {
    name: 'joins the longest topic there can be, and broadcasts on it',
    run: async (world) => {
      const longest = `session:${'ä'.repeat(118)}xx` // 255 bytes with its prefix realtime:
      await world.order('allow', { User: 'ann', Topic: longest, Grant: everything })
      const heard = await world.joined('ann/l1', longest, { broadcast: { ack: true, self: true } })
      await heard.system.until(isRecovery)
      fits(await heard.channel.send({ type: 'broadcast', event: 'word', payload: { n: 1 } }), 'ok')
      fits(await heard.messages.next(), { payload: { n: 1 } })
      await world.publish(longest, 2)
      fits(await heard.messages.next(), { payload: { n: 2 } })
    },
  },
]
