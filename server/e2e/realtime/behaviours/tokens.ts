// Tokens that are refreshed, expire or change hands, and rights that are withdrawn.
import type { Behaviour } from '../behaviour.ts'
import { fits } from '../fits.ts'
import { isRecovery, listen, type Heard, type System } from '../heard.ts'
import { again, everything, nothing, saying, subscribed, type World } from '../world.ts'

const topic = 'session:tokens'
const isNotice = (s: System): boolean => s.extension === 'token'
const isEnd = (s: System): boolean => s.extension === 'system'

// A channel whose token is never refreshed: its end says that the token has expired.
async function untilExpired(clock: Heard): Promise<void> {
  fits(await clock.system.until(isEnd), { status: 'error', code: 'InvalidJWTToken', message: /^Token has expired/ })
}

// Shows a token that will expire, and waits until the channel has it: the notice says so.
async function expiring(world: World, ms: number, shown: [Heard, () => Promise<void>][]): Promise<void> {
  await world.order('expire', { Token: 'ann/l1/1', Milliseconds: ms })
  await Promise.all(shown.map(([, show]) => show()))
  for (const [heard] of shown) fits(await heard.system.until(isNotice), { status: 'ok', code: 'TokenExpiring' })
}

const show = (heard: Heard): [Heard, () => Promise<void>] => [heard, () => heard.channel.socket.setAuth('ann/l1/1')]

export const tokens: Behaviour[] = [
  {
    name: 'keeps its channel when its token is refreshed',
    run: async (world) => {
      const clock = await world.joined('ann/l1', topic)
      const heard = await world.joined('ann/l1', topic)
      await expiring(world, 4000, [show(clock), show(heard)])
      await heard.channel.socket.setAuth('ann/l1/2')
      await untilExpired(clock)
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
      fits(heard.states.length, 0)
    },
  },
  {
    name: 'refreshes its token by itself with its heartbeats',
    run: async (world) => {
      const clock = await world.joined('ann/l1', topic)
      let token = 'ann/l1'
      const client = world.client({ accessToken: () => Promise.resolve(token), heartbeatIntervalMs: 1500 })
      await client.setAuth()
      const heard = listen(client, topic)
      await subscribed(heard)
      const change = (): Promise<void> => {
        token = 'ann/l1/1'
        return Promise.resolve()
      }
      await expiring(world, 6000, [show(clock), [heard, change]])
      token = 'ann/l1/2'
      await untilExpired(clock)
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
      fits(heard.states.length, 0)
    },
  },
  {
    name: 'is told in time that its token will expire, once',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      const before = Math.floor(Date.now() / 1000)
      await world.order('expire', { Token: 'ann/l1/1', Milliseconds: 3000 })
      await heard.channel.socket.setAuth('ann/l1/1')
      fits(await heard.system.until(isNotice), { status: 'ok', code: 'TokenExpiring', expires_at: (at: number) => at >= before + 2 && at <= before + 60 })
      fits(await heard.system.until((s) => isNotice(s) || isEnd(s)), { extension: 'system', code: 'InvalidJWTToken' })
    },
  },
  {
    name: 'comes back by itself with a fresh token when the old one has expired, and has missed nothing',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      await expiring(world, 3000, [show(heard)])
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
      await untilExpired(heard)
      await heard.channel.socket.setAuth('ann/l1/2')
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await world.publish(topic, 2)
      await heard.states.until(again)
      fits(await heard.messages.next(), { payload: { n: 2 }, meta: { replayed: true } })
      fits(await heard.system.until((s) => isRecovery(s) && s.recovered === true), { missed: 0 })
    },
  },
  {
    name: 'is closed for good when it shows the token of another person',
    run: async (world) => {
      await world.allow('ben', topic)
      const heard = await world.joined('ann/l1', topic)
      await heard.channel.socket.setAuth('ben/l2')
      fits(await heard.system.until(isEnd), { code: 'IdentityChanged' })
      fits(await heard.states.next(), { status: 'CLOSED' })
      fits(heard.channel.socket.getChannels().length, 0)
    },
  },
  {
    name: 'joins anew when the same person signed in again',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      await heard.channel.socket.setAuth('ann/l2')
      fits(await heard.system.until(isEnd), { code: 'IdentityChanged' })
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await heard.states.until(again)
      await world.order('end', { Login: 'l1' })
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
      await world.order('end', { Login: 'l2' })
      fits(await heard.states.next(), { status: 'CLOSED' })
    },
  },
  {
    name: 'is closed for good by a revocation, hears nothing after it, and may not come back until it is granted again',
    run: async (world) => {
      const ann = await world.joined('ann/l1', topic)
      const ben = await world.joined('ben/l2', topic)
      await world.allow('ann', topic, nothing)
      await world.publish(topic, 1)
      fits(await ann.states.next(), { status: 'CLOSED' })
      fits(await ann.system.until(isEnd), {
        status: 'error', code: 'Unauthorized',
        message: `You no longer have permission to read from this Channel topic: ${topic}`,
      })
      fits(await ben.messages.next(), { payload: { n: 1 } })
      const client = ann.channel.socket
      fits(client.getChannels().length, 0)
      const back = listen(client, topic)
      fits(await back.states.next(), { status: 'CHANNEL_ERROR', error: saying(`Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`) })
      await world.allow('ann', topic)
      await back.states.until(again)
      await world.publish(topic, 2)
      fits(await back.messages.next(), { payload: { n: 2 } })
      fits([ann.messages.length, ann.states.length], [0, 0])
    },
  },
  {
    name: 'hears on, and may not send any more, when only that is withdrawn',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic, { broadcast: { ack: true } })
      fits(await heard.channel.send({ type: 'broadcast', event: 'word', payload: {} }), 'ok')
      await world.allow('ann', topic, { ...everything, BroadcastSend: false })
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } }) // the grant has been read
      fits(await heard.channel.send({ type: 'broadcast', event: 'word', payload: {} }), 'error')
      await world.publish(topic, 2)
      fits(await heard.messages.next(), { payload: { n: 2 } })
      fits(heard.states.length, 0)
    },
  },
  {
    name: 'is closed for good when its login ends',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      const other = await world.joined('ann/l2', topic)
      await world.order('end', { Login: 'l1' })
      fits(await heard.system.until(isEnd), { status: 'error', code: 'LoginEnded' })
      fits(await heard.states.next(), { status: 'CLOSED' })
      await world.publish(topic, 1)
      fits(await other.messages.next(), { payload: { n: 1 } })
      fits(heard.messages.length, 0)
    },
  },
]
