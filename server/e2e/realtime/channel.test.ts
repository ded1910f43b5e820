// What an unmodified @supabase/realtime-js sees, on both versions of the serializer.
import { REALTIME_SUBSCRIBE_STATES, type RealtimeClient } from '@supabase/realtime-js'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Echo, everything, isRecovery, listen, nothing, Queue, type Heard } from './echo.ts'

let echo: Echo
const clients: RealtimeClient[] = []

function connect(vsn: string, token?: string): RealtimeClient {
  const client = echo.client(vsn, token === undefined ? undefined : () => Promise.resolve(token))
  clients.push(client)
  return client
}

async function signedIn(vsn: string, token: string): Promise<RealtimeClient> {
  const client = connect(vsn)
  await client.setAuth(token)
  return client
}

async function subscribed(heard: Heard): Promise<void> {
  expect(await heard.states.next()).toEqual({ status: 'SUBSCRIBED', error: undefined })
}

beforeAll(async () => {
  echo = await Echo.start()
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map((c) => c.disconnect()))
})
afterAll(async () => {
  await echo.stop()
})

describe.each(['1.0.0', '2.0.0'])('realtime-js with vsn %s', (vsn) => {
  const version = vsn.slice(0, 1)
  const topicOf = (name: string): string => `session:${name}-${version}`

  it('joins a private channel and hears what is published, with its place in the log', async () => {
    const topic = topicOf('join')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    const heard = listen(await signedIn(vsn, 'ann/l1'), topic)
    await subscribed(heard)
    expect(await heard.system.next()).toMatchObject({ extension: 'recovery', status: 'ok', code: 'CursorMissing', recovered: false, missed: null })
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 1 } })
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 2 } })
    const first = await heard.messages.next()
    const second = await heard.messages.next()
    expect(first).toMatchObject({ event: 'message', payload: { n: 1 }, meta: { prev: 0, epoch: expect.any(String) as string } })
    expect(second.meta.prev).toBe(first.meta.seq)
    await heard.channel.unsubscribe()
    expect(await heard.states.next()).toMatchObject({ status: 'CLOSED' })
  })

  it('is told why it may not join, and joins by itself once it may', async () => {
    const topic = topicOf('denied')
    const heard = listen(await signedIn(vsn, 'ann/l1'), topic)
    expect(await heard.states.next()).toEqual({
      status: 'CHANNEL_ERROR',
      error: `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`,
    })
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await heard.states.until((s) => s.status === 'SUBSCRIBED')
  })

  it('is told to pass private for a durable topic', async () => {
    const heard = listen(await signedIn(vsn, 'ann/l1'), topicOf('public'), { private: false })
    expect(await heard.states.next()).toEqual({ status: 'CHANNEL_ERROR', error: 'PrivateOnly: pass { config: { private: true } }' })
  })

  it('loses nothing when the connection breaks, with a cursor that the app moves', async () => {
    const topic = topicOf('reconnect')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    const config = { private: true, broadcast: { replay: { since: Date.now(), limit: 25 } } }
    const heard = listen(await signedIn(vsn, 'ann/l1'), topic, config)
    await subscribed(heard)
    await heard.system.until(isRecovery)
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: -1 } })
    const { meta } = await heard.messages.next()
    // the five lines of the client helper
    heard.channel.updateJoinPayload({
      config: { ...config, broadcast: { replay: { ...config.broadcast.replay, after: meta.cursor } }, presence: { key: '', enabled: false } },
    })
    await echo.order('cut')
    await echo.order('publish', { Topic: topic, Event: 'message', Count: 60 })
    let last = meta.seq
    for (let n = 0; n < 60; n++) {
      const message = await heard.messages.next()
      expect(message).toMatchObject({ payload: { n }, meta: { prev: last, replayed: true } })
      last = message.meta.seq
    }
    expect(await heard.system.until(isRecovery)).toMatchObject({ recovered: true, from: meta.seq, to: last, missed: 0 })
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 60 } })
    expect((await heard.messages.next()).meta).toMatchObject({ prev: last })
    expect(heard.messages.length).toBe(0)
  })

  it('gets the newest since a time, as documented, and hears how much is missing', async () => {
    const topic = topicOf('since')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await echo.order('publish', { Topic: topic, Event: 'message', Count: 30 })
    const heard = listen(await signedIn(vsn, 'ann/l1'), topic, { broadcast: { replay: { since: Date.now() - 60_000, limit: 10 } } })
    await subscribed(heard)
    for (let n = 20; n < 30; n++) expect(await heard.messages.next()).toMatchObject({ payload: { n }, meta: { replayed: true } })
    expect(await heard.system.until(isRecovery)).toMatchObject({ recovered: false, code: 'ReplayTruncated', missed: 20 })
  })

  it('is told that a log made anew cannot be recovered', async () => {
    const topic = topicOf('reset')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    const heard = listen(await signedIn(vsn, 'ann/l1'), topic)
    await subscribed(heard)
    await heard.system.until(isRecovery)
    await echo.order('reset')
    expect(await heard.system.next()).toMatchObject({ code: 'LogEpochChanged' })
    expect(await heard.states.next()).toMatchObject({ status: 'CHANNEL_ERROR' })
    await heard.states.until((s) => s.status === 'SUBSCRIBED')
    expect(await heard.system.until(isRecovery)).toMatchObject({ recovered: false, code: 'LogEpochChanged', missed: null })
  })

  it('joins bare while its token is fetched, and hears once it is shown', async () => {
    const topic = topicOf('bare')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    let arrive: (token: string) => void = () => undefined
    const token = new Promise<string>((resolve) => {
      arrive = resolve
    })
    const client = echo.client(vsn, () => token)
    clients.push(client)
    const heard = listen(client, topic)
    await subscribed(heard)
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 1 } })
    expect(heard.messages.length).toBe(0)
    arrive('ann/l1')
    await client.setAuth()
    expect(await heard.messages.next()).toMatchObject({ payload: { n: 1 } })
    await heard.system.until(isRecovery)
  })

  it('keeps its channel when its token is refreshed, and comes back with a fresh one when it expired', async () => {
    const topic = topicOf('token')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await echo.order('expire', { Token: `ann/t${version}`, Milliseconds: 1500 })
    const client = await signedIn(vsn, `ann/t${version}`)
    const heard = listen(client, topic)
    await subscribed(heard)
    await echo.order('expire', { Token: `ann/t${version}/2`, Milliseconds: 3000 })
    await client.setAuth(`ann/t${version}/2`)
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 1 } })
    expect(await heard.messages.next()).toMatchObject({ payload: { n: 1 } })
    expect(await heard.system.until((s) => s.extension === 'token')).toMatchObject({ status: 'ok', code: 'TokenExpiring' })
    expect(await heard.system.until((s) => s.extension === 'system')).toMatchObject({ message: 'Token has expired 0 seconds ago' })
    await client.setAuth(`ann/t${version}/3`)
    expect(await heard.states.next()).toMatchObject({ status: 'CHANNEL_ERROR' })
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 2 } })
    await heard.states.until((s) => s.status === 'SUBSCRIBED')
    expect(await heard.messages.next()).toMatchObject({ payload: { n: 2 }, meta: { replayed: true } })
  })

  it('is closed for good by a revocation, and hears nothing after it', async () => {
    const topic = topicOf('revoked')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await echo.order('allow', { User: 'ben', Topic: topic, Grant: everything })
    const ann = listen(await signedIn(vsn, 'ann/l1'), topic)
    const ben = listen(await signedIn(vsn, 'ben/l2'), topic)
    await subscribed(ann)
    await subscribed(ben)
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: nothing })
    await echo.order('publish', { Topic: topic, Event: 'message', Payload: { n: 1 } })
    expect(await ann.states.next()).toMatchObject({ status: 'CLOSED' })
    expect(await ann.system.until((s) => !isRecovery(s))).toMatchObject({
      code: 'Unauthorized',
      message: `You no longer have permission to read from this Channel topic: ${topic}`,
    })
    expect(await ben.messages.next()).toMatchObject({ payload: { n: 1 } })
    expect(ann.messages.length).toBe(0)
  })

  it('is closed for good when its login ends', async () => {
    const topic = topicOf('login')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    const heard = listen(await signedIn(vsn, `ann/ends${version}`), topic)
    await subscribed(heard)
    await echo.order('end', { Login: `ends${version}` })
    expect(await heard.states.next()).toMatchObject({ status: 'CLOSED' })
  })

  it('broadcasts to others, gets acks and its own, and is told of a refusal', async () => {
    const topic = topicOf('broadcast')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await echo.order('allow', { User: 'eve', Topic: topic, Grant: { BroadcastReceive: true } })
    const ann = listen(await signedIn(vsn, 'ann/l1'), topic, { broadcast: { ack: true, self: true } })
    const eve = listen(await signedIn(vsn, 'eve/l2'), topic, { broadcast: { ack: true } })
    await subscribed(ann)
    await subscribed(eve)
    expect(await ann.channel.send({ type: 'broadcast', event: 'typing', payload: { n: 5 } })).toBe('ok')
    expect(await ann.messages.next()).toMatchObject({ event: 'typing', payload: { n: 5 } })
    expect(await eve.messages.next()).toMatchObject({ event: 'typing', payload: { n: 5 } })
    expect(await eve.channel.send({ type: 'broadcast', event: 'typing', payload: {} })).toBe('error')
  })

  it('sees who is there', async () => {
    const topic = topicOf('presence')
    await echo.order('allow', { User: 'ann', Topic: topic, Grant: everything })
    await echo.order('allow', { User: 'ben', Topic: topic, Grant: everything })
    const joins = new Queue<string>()
    const leaves = new Queue<string>()
    const channels = await Promise.all(
      ['ann/l1', 'ben/l2'].map(async (token) => {
        const client = await signedIn(vsn, token)
        const channel = client.channel(topic, { config: { private: true, presence: { key: token } } })
        if (token.startsWith('ann')) {
          channel.on('presence', { event: 'join' }, ({ key }) => {
            joins.push(key)
          })
          channel.on('presence', { event: 'leave' }, ({ key }) => {
            leaves.push(key)
          })
        }
        await new Promise<void>((resolve) => {
          channel.subscribe((status) => {
            if (status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED) resolve()
          })
        })
        return channel
      }),
    )
    const [ann, ben] = channels
    if (!ann || !ben) throw new Error('two channels were made')
    expect(await ann.track({ at: 'desk' })).toBe('ok')
    expect(await joins.next()).toBe('ann/l1')
    expect(await ben.track({ at: 'door' })).toBe('ok')
    expect(await joins.next()).toBe('ben/l2')
    expect(ann.presenceState()).toMatchObject({ 'ann/l1': [{ at: 'desk' }], 'ben/l2': [{ at: 'door' }] })
    await ben.unsubscribe()
    expect(await leaves.next()).toBe('ben/l2')
    expect(Object.keys(ann.presenceState())).toEqual(['ann/l1'])
  })
})

it('is sent back when the server stops', async () => {
  const own = await Echo.start()
  try {
    await own.order('allow', { User: 'ann', Topic: 'session:stop', Grant: everything })
    const client = own.client('2.0.0')
    clients.push(client)
    await client.setAuth('ann/l1')
    const heard = listen(client, 'session:stop')
    await subscribed(heard)
    await heard.system.until(isRecovery)
    await own.stop()
    expect(await heard.system.next()).toMatchObject({ code: 'RealtimeRestarting' })
    expect(await heard.states.next()).toMatchObject({ status: 'CHANNEL_ERROR' })
  } finally {
    await own.stop()
  }
})
