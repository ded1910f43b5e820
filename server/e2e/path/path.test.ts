// The path, with the real supabase-js and unmodified realtime-js on both versions of the wire: sign-in, second factor, device,
// consent, start, epoch, seal, insert; and the alert on the therapist's socket.
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isRecovery, listen, type Durable, type Heard } from '../realtime/heard.ts'
import { person, type Person } from '../standin/project.ts'
import { checked, closeAll, crisis, enter, practice, schedule, signIn, start, therapy, type Practice } from './people.ts'
import { bare, disconnectAll, joined, named, rowOf } from './socket.ts'

// From the call of send, which makes the epoch on its way, to the frame: half a second on two cores that others share.
const soon = 3000

const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/) as string

let people: Practice
let outsider: Person

beforeAll(async () => {
  people = await practice()
  outsider = await person()
})
afterEach(async () => {
  await disconnectAll()
  await closeAll()
})

// The next messages of a channel, which must follow on each other.
async function chain(heard: Heard, count: number, after?: Durable): Promise<Durable[]> {
  const messages: Durable[] = []
  let last = after
  while (messages.length < count) {
    const message = await heard.messages.next()
    if (last !== undefined) expect(message.meta.prev).toBe(last.meta.seq)
    last = message
    if (message.event === 'message') messages.push(message)
  }
  return messages
}

async function refused(heard: Heard, reason: string): Promise<void> {
  expect(await heard.states.next()).toEqual({ status: 'CHANNEL_ERROR', error: reason })
}

const unauthorized = (topic: string): string => `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`

describe.each(['1.0.0', '2.0.0'])('on vsn %s', (vsn) => {
  it("carries a crisis from the client's device to the therapist's socket", async () => {
    const { id } = await schedule(people, 'assisted')
    const clientSide = await enter(people.client, id)
    await enter(people.therapist, id)
    const care = await joined(await bare(people.therapist.client, vsn), `care:${id}`)
    const session = await joined(await bare(people.client.client, vsn), `session:${id}`)

    await start(people, id)
    const consent = await clientSide.chat.consent.give({ text: 'My messages may be analysed.' })
    expect(rowOf(await session.messages.until(named('session', { status: 'active' })))).toMatchObject({ id, mode: 'assisted' })
    expect(rowOf(await session.messages.until(named('consent')))).toMatchObject({ id: consent, scope: ['analysis'], withdrawn_at: null })
    const sent = Date.now()
    const message = await clientSide.chat.send(crisis)

    expect(rowOf(await session.messages.until(named('epoch')))).toMatchObject({ epoch: 1, assisted: true, consent_id: consent })
    const own = await session.messages.next()
    expect(own).toMatchObject({ event: 'message', meta: { seq: expect.any(Number) as number, prev: expect.any(Number) as number } })
    expect(own.meta.prev).toBeLessThan(own.meta.seq)
    expect(Object.keys(own.meta).sort()).toEqual(['cursor', 'epoch', 'id', 'prev', 'seq', 'ts'])
    expect(rowOf(own)).toMatchObject({ id: message, sender_id: people.client.id, epoch: 1, seq: 0, position: 1, assisted: true })

    const assessment = await care.messages.until(named('assessment'))
    const alert = await care.messages.until(named('alert'))
    expect(Date.now() - sent).toBeLessThan(soon)
    expect(rowOf(assessment)).toMatchObject({ message_id: message, session_id: id, status: 'assessed', alert: true })
    expect(rowOf(assessment)['level']).toBeGreaterThanOrEqual(4)
    expect(rowOf(alert)).toMatchObject({ id: uuid, message_id: message, status: 'open', version: 1, level: rowOf(assessment)['level'] })
    expect(assessment.meta.epoch).toBe(own.meta.epoch)
    expect(JSON.stringify([own, assessment, alert])).not.toContain('pills')

    await acknowledge(rowOf(alert)['id'])
    expect(rowOf(await care.messages.until(named('alert_event', { kind: 'acknowledged' })))).toMatchObject({
      alert_id: rowOf(alert)['id'], actor_id: people.therapist.id, version: 2,
    })
    expect(rowOf(await care.messages.until(named('alert')))).toMatchObject({ status: 'acknowledged', version: 2 })
  })

  async function acknowledge(alert: unknown): Promise<void> {
    const { client } = people.therapist
    const answer: unknown = checked(await client.rpc('acknowledge_alert', { alert_id: alert, version: 1 }))
    expect(answer).toMatchObject({ id: alert, status: 'acknowledged', version: 2 })
    const again = await client.rpc('acknowledge_alert', { alert_id: alert, version: 1 })
    expect(again).toMatchObject({ status: 409, error: { message: 'the alert is acknowledged at version 2' } })
  }

  it('lets in nobody who may not be there, and says why', async () => {
    const { id } = await schedule(people, 'assisted')
    const stranger = await bare(outsider.client, vsn)
    for (const kind of ['care', 'session']) await refused(listen(stranger.realtime, `${kind}:${id}`), unauthorized(`${kind}:${id}`))
    const client = await bare(people.client.client, vsn)
    await refused(listen(client.realtime, `care:${id}`), unauthorized(`care:${id}`))
    const therapist = await bare(people.therapist.client, vsn)
    await refused(listen(therapist.realtime, `care:${id}`, { private: false }), 'PrivateOnly: pass { config: { private: true } }')
  })

  it('ends the channel for good when the therapist signs out', async () => {
    const own = await practice()
    const { id } = await schedule(own, 'strict')
    const { client } = own.therapist
    const care = await joined(await bare(client, vsn), `care:${id}`)
    const signedOut = await client.auth.signOut()
    expect(signedOut.error).toBeNull()
    expect(await care.states.next()).toMatchObject({ status: 'CLOSED' })
    // A grant that is asked for again just then finds the login gone before its end is on the log.
    expect((await care.system.next())['code']).toMatch(/^(LoginEnded|Unauthorized)$/)
  })

  it('misses nothing when the connection is cut, nor when the app is away', async () => {
    const { id, clientSide, client, therapist } = await therapy('assisted', people)
    const watcher = await joined(await bare(therapist.client, vsn), `session:${id}`)
    const config = { broadcast: { replay: { since: Date.now(), limit: 25 } } }
    const wire = await bare(client.client, vsn)
    const heard = await joined(wire, `session:${id}`, config)
    const follow = (message: Durable): void => {
      heard.channel.updateJoinPayload({
        config: { private: true, broadcast: { replay: { after: message.meta.cursor } }, presence: { key: '', enabled: false } },
      })
    }
    await clientSide.chat.send('before')
    const before = await heard.messages.until(named('message'))
    follow(before)

    wire.cut()
    for (let n = 0; n < 5; n++) await clientSide.chat.send(`cut ${n}`)
    const afterCut = await chain(heard, 5, before)
    expect(afterCut.map((message) => rowOf(message)['position'])).toEqual([2, 3, 4, 5, 6])
    expect(await heard.system.until(isRecovery)).toMatchObject({ status: 'ok', recovered: true, from: before.meta.seq, missed: 0 })
    const last = afterCut[4] ?? before
    follow(last)

    await wire.realtime.disconnect()
    for (let n = 0; n < 5; n++) await clientSide.chat.send(`away ${n}`)
    await watcher.messages.until(named('message', { position: 11 })) // by now all of it is history
    wire.realtime.connect()
    const afterAway = await chain(heard, 5, last)
    expect(afterAway.every((message) => message.meta.replayed)).toBe(true)
    expect(await heard.system.until(isRecovery)).toMatchObject({
      status: 'ok', recovered: true, from: last.meta.seq, to: afterAway[4]?.meta.seq, missed: 0,
    })
    await clientSide.chat.send('live again')
    const [live] = await chain(heard, 1, afterAway[4])
    expect(rowOf(live ?? last)['position']).toBe(12)
    expect(live?.meta.replayed).toBeUndefined()
    expect(heard.messages.length).toBe(0)
  })
})

it('asks the therapist for the second factor', async () => {
  const { id } = await schedule(people, 'assisted')
  const half = await signIn(people.therapist.email)
  const care = listen((await bare(half)).realtime, `care:${id}`)
  await refused(care, unauthorized(`care:${id}`))
  expect((await half.from('sessions').select().eq('id', id)).data).toEqual([])
})
