// What clients send each other, and the answer to each push.
import type { RealtimeClient } from '@supabase/realtime-js'
import { notOlder, notVsn1, type Behaviour } from '../behaviour.ts'
import { fits } from '../fits.ts'
import { listen, Queue, type Heard } from '../heard.ts'
import { subscribed, type Seat, type World } from '../world.ts'

const topic = 'session:broadcasting'
const rawBytes = (seat: Seat): string | undefined => noRaw(seat) ?? noFrame(seat)
const noRaw = notOlder('this client sends no raw bytes')
const noFrame = notVsn1('vsn 1 has no frame for raw bytes')
const noHttpSend = notOlder('this client has no httpSend')

const word = (n: number): { type: 'broadcast'; event: string; payload: { n: number } } => ({ type: 'broadcast', event: 'word', payload: { n } })

// Ann with acks asked for, and Ben, who hears her.
async function two(world: World, config: Record<string, unknown> = {}): Promise<{ ann: Heard; ben: Heard }> {
  const ann = await world.joined('ann/l1', topic, { broadcast: { ack: true, ...config } })
  const ben = await world.joined('ben/l2', topic, { broadcast: { ack: true } })
  return { ann, ben }
}

interface Reply {
  status: string
  response: { reason?: string }
}

// A client whose log tells what was answered to the pushes that it is told to make.
async function pushing(world: World): Promise<{ client: RealtimeClient; replies: Queue<Reply>; push: (on: string, event: string, ref: string) => void }> {
  const replies = new Queue<Reply>('replies')
  const client = await world.signedIn('ann/l1', {
    logger: (kind: string, text: string, data: unknown) => {
      if (kind === 'receive' && text.includes('(9')) replies.push(data as Reply)
    },
  })
  return {
    client,
    replies,
    push: (on, event, ref) => {
      client.push({ topic: `realtime:${on}`, event, payload: {}, ref })
    },
  }
}

export const broadcasting: Behaviour[] = [
  {
    name: 'broadcasts to others and not to itself, with an ack',
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.send(word(1)), 'ok')
      fits(await ben.messages.next(), { type: 'broadcast', event: 'word', payload: { n: 1 }, meta: undefined })
      fits(await ben.channel.send(word(2)), 'ok')
      fits(await ann.messages.next(), { payload: { n: 2 } })
      fits([ann.messages.length, ben.messages.length], [0, 0])
    },
  },
  {
    name: 'hears itself with self',
    run: async (world) => {
      const { ann, ben } = await two(world, { self: true })
      fits(await ann.channel.send(word(1)), 'ok')
      fits(await ann.messages.next(), { event: 'word', payload: { n: 1 } })
      fits(await ben.messages.next(), { event: 'word', payload: { n: 1 } })
    },
  },
  {
    name: 'broadcasts without an ack, in order',
    run: async (world) => {
      const { ann, ben } = await two(world, { ack: false })
      for (let n = 0; n < 20; n++) fits(await ann.channel.send(word(n)), 'ok')
      for (let n = 0; n < 20; n++) fits(await ben.messages.next(), { payload: { n } })
    },
  },
  {
    name: 'is told that it may not broadcast; nobody hears it, and it hears on',
    run: async (world) => {
      const { ann, ben } = await two(world)
      await world.allow('eve', topic, { BroadcastReceive: true })
      const eve = listen(await world.signedIn('eve/l3'), topic, { broadcast: { ack: true } })
      await subscribed(eve)
      fits(await eve.channel.send(word(1)), 'error')
      fits(await ann.channel.send(word(2)), 'ok')
      fits(await ben.messages.next(), { payload: { n: 2 } })
      fits(await eve.messages.next(), { payload: { n: 2 } })
    },
  },
  {
    name: 'is told that a broadcast is too large, and may send a smaller one',
    settings: { limits: { BroadcastBytes: 1000 } },
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.send({ ...word(1), payload: { n: 1, text: 'x'.repeat(1000) } }), 'error')
      fits(await ann.channel.send(word(2)), 'ok')
      fits(await ben.messages.next(), { payload: { n: 2 } })
    },
  },
  {
    name: 'is told that it sends too often, and loses nothing else',
    settings: { limits: { BroadcastsPerSecond: 1, BroadcastBurst: 3 } },
    run: async (world) => {
      const { ann, ben } = await two(world)
      const sent = Array.from({ length: 20 }, (_, n) => n)
      const answers = await Promise.all(sent.map((n) => ann.channel.send(word(n))))
      fits(answers.slice(0, 3), ['ok', 'ok', 'ok'])
      fits(answers.includes('error'), true)
      for (const n of sent.filter((at) => answers[at] === 'ok')) fits(await ben.messages.next(), { payload: { n } })
      await world.publish(topic, 20)
      for (const who of [ann, ben]) fits(await who.messages.next(), { payload: { n: 20 } })
    },
  },
  {
    name: 'sends raw bytes',
    except: rawBytes,
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.send({ type: 'broadcast', event: 'bytes', payload: new Uint8Array([1, 0, 255]).buffer }), 'ok')
      const { event, payload } = await ben.messages.next()
      fits(event, 'bytes')
      fits([...new Uint8Array(payload as ArrayBuffer)], [1, 0, 255])
    },
  },
  {
    name: 'is told that a broadcast cannot be stored',
    except: (seat) => notOlder('this client does not know persist')(seat) ?? notVsn1('the client itself refuses persist on vsn 1')(seat),
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.send({ ...word(1), persist: true }), (answer: string) => answer !== 'ok' && answer !== 'timed out')
      fits(await ann.channel.send(word(2)), 'ok')
      fits(await ben.messages.next(), { payload: { n: 2 } })
    },
  },
  {
    name: 'sends over HTTP what others hear, with httpSend',
    except: noHttpSend,
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.httpSend('word/ä', { n: 1 }), { success: true })
      fits(await ben.messages.next(), { event: 'word/ä', payload: { n: 1 } })
      const outside = (await world.signedIn('ann/l1')).channel(topic, { config: { private: true } })
      fits(await outside.httpSend('word', { n: 2 }), { success: true })
      fits(await ben.messages.next(), { event: 'word', payload: { n: 2 } })
    },
  },
  {
    name: 'sends raw bytes over HTTP, with httpSend',
    except: (seat) => noHttpSend(seat) ?? noFrame(seat),
    run: async (world) => {
      const { ann, ben } = await two(world)
      fits(await ann.channel.httpSend('bytes', new Uint8Array([1, 0, 255]).buffer), { success: true })
      const { payload } = await ben.messages.next()
      fits([...new Uint8Array(payload as ArrayBuffer)], [1, 0, 255])
    },
  },
  {
    name: 'is told that it may not send over HTTP',
    except: noHttpSend,
    run: async (world) => {
      const { ann, ben } = await two(world)
      const stranger = (await world.signedIn('eve/l3')).channel(topic, { config: { private: true } })
      const refused = await stranger.httpSend('word', { n: 1 }).then(String, (cause: unknown) => (cause instanceof Error ? cause.message : ''))
      fits(refused, /permission/)
      fits(await ann.channel.send(word(2)), 'ok')
      fits(await ben.messages.next(), { payload: { n: 2 } })
    },
  },
  {
    name: 'sends over HTTP by itself while it is not joined, and is told if it may not',
    run: async (world) => {
      const { ann, ben } = await two(world)
      const quiet = { logger: () => undefined } // else the client warns of what is tried here
      const early = (await world.signedIn('ann/l1', quiet)).channel(topic, { config: { private: true } })
      const stranger = (await world.signedIn('eve/l3', quiet)).channel(topic, { config: { private: true } })
      fits(await stranger.send(word(1)), 'error')
      fits(await early.send(word(2)), 'ok')
      fits(await ben.messages.next(), { event: 'word', payload: { n: 2 } })
      fits(await ann.messages.next(), { event: 'word', payload: { n: 2 } })
    },
  },
  {
    name: 'is told that an event is not served, or a topic not joined, and goes on',
    run: async (world) => {
      await world.allow('ann', topic)
      const { client, replies, push } = await pushing(world)
      const heard = listen(client, topic, { broadcast: { ack: true, self: true } })
      await subscribed(heard)
      push(topic, 'nonsense', '9001')
      fits(await replies.next(), { status: 'error', response: { reason: /^UnknownEvent: / } })
      push('session:elsewhere', 'broadcast', '9002')
      fits(await replies.next(), { status: 'error', response: { reason: 'unmatched topic' } })
      fits(await heard.channel.send(word(1)), 'ok')
      fits(await heard.messages.next(), { payload: { n: 1 } })
    },
  },
]
