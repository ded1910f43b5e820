/** What another participant may broadcast on the session's topic, and what a topic must not tell of. */
import { RealtimeClient } from '@supabase/realtime-js'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Topic, type TopicEvent } from '../src/topic.ts'
import { PhoenixServer } from './phoenix-server.ts'

const sessionId = crypto.randomUUID()
const nouns = {
  session: ['message', 'arrival', 'session', 'participant', 'consent', 'epoch'],
  care: ['assessment', 'alert', 'alert_event', 'suggestion', 'suggestion_seal'],
} as const

interface Joined {
  readonly topic: string
  readonly heard: TopicEvent<string>[]
  readonly failures: unknown[]
  readonly leave: () => Promise<void>
}

let server: PhoenixServer
let realtime: RealtimeClient
let open: Joined[]

beforeEach(async () => {
  server = new PhoenixServer()
  await server.start()
  realtime = new RealtimeClient(`${server.url.replace('http', 'ws')}/realtime/v1`, {
    params: { apikey: 'key' }, accessToken: () => Promise.resolve('token'),
  })
  open = []
})

afterEach(async () => {
  for (const joined of open) await joined.leave()
  await realtime.disconnect()
  await server.stop()
})

async function join(kind: keyof typeof nouns): Promise<Joined> {
  const heard: TopicEvent<string>[] = []
  const failures: unknown[] = []
  const listener = {
    event: (event: TopicEvent<string>) => heard.push(event),
    status: () => undefined,
    failed: (thrown: unknown) => failures.push(thrown),
  }
  const topic = Topic[kind](realtime, sessionId, listener)
  const joined = { topic: `${kind}:${sessionId}`, heard, failures, leave: () => topic.leave() }
  open.push(joined)
  await topic.join()
  await server.joinedTimes(joined.topic, 1)
  return joined
}

const rowOf = (noun: string, of = sessionId): object => (noun === 'session' ? { id: of } : { id: crypto.randomUUID(), session_id: of })

/** Resolves when a durable row, sent after everything else, has been heard. */
async function settled({ topic, heard }: Joined, noun: string): Promise<void> {
  const mark = { ...rowOf(noun), mark: true }
  server.broadcast(topic, noun, mark, 'mark')
  await vi.waitFor(() => {
    expect(heard.at(-1)).toEqual({ event: noun, row: mark })
  })
}

describe.each(['session', 'care'] as const)('topic %s:', (kind) => {
  const other = kind === 'session' ? 'care' : 'session'
  const [first] = nouns[kind]

  test('tells of rows that were committed, of its own nouns only', async () => {
    const joined = await join(kind)
    for (const noun of [...nouns[other], ...nouns[kind], 'message_deleted', 'toString']) {
      server.broadcast(joined.topic, noun, rowOf(noun), 'c')
    }
    await settled(joined, first)
    expect(joined.heard.map(({ event }) => event)).toEqual([...nouns[kind], first])
    expect(joined.failures).toEqual([])
  })

  test("is deaf to other clients' broadcasts, whatever they are called and hold", async () => {
    const joined = await join(kind)
    const meta = { id: crypto.randomUUID(), seq: 1, prev: 0, epoch: 'e', cursor: 'forged' }
    for (const noun of [...nouns.session, ...nouns.care, 'typing']) {
      server.relay(joined.topic, noun, rowOf(noun))
      server.relay(joined.topic, noun, { ...rowOf(noun), meta, ...meta })
    }
    for (const payload of [null, [1], 'text', 7]) server.relay(joined.topic, first, payload)
    await settled(joined, first)
    expect(joined.heard).toHaveLength(1)
    expect(joined.failures).toEqual([])
  })

  test.each([
    ['no id', { id: undefined }], ['an id that is a number', { id: 1 }], ['an empty id', { id: '' }],
    ['no seq', { seq: undefined }], ['a seq that is text', { seq: '1' }], ['a broken seq', { seq: 1.5 }], ['a seq of 0', { seq: 0 }],
    ['no prev', { prev: undefined }], ['a prev that is null', { prev: null }], ['a prev at its seq', { prev: 1 }], ['a prev below 0', { prev: -1 }],
    ['no epoch', { epoch: undefined }], ['an empty epoch', { epoch: '' }],
  ])('refuses meta with %s', async (_, wrong) => {
    const joined = await join(kind)
    server.broadcast(joined.topic, first, rowOf(first), 'c', wrong)
    await settled(joined, first)
    expect(joined.heard).toHaveLength(1)
    expect(joined.failures).toMatchObject([{ refusal: 'format' }])
  })

  test("refuses another session's rows", async () => {
    const joined = await join(kind)
    for (const noun of nouns[kind]) server.broadcast(joined.topic, noun, rowOf(noun, crypto.randomUUID()), 'c')
    server.broadcast(joined.topic, first, { id: sessionId }, 'c')
    await settled(joined, first)
    expect(joined.heard).toHaveLength(1)
    expect(joined.failures).toHaveLength(nouns[kind].length + 1)
  })
})
