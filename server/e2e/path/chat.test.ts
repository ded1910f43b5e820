// Two people's browsers, through vigil-client: what each sees of what the other sent.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MemoryStore } from 'vigil-client/memory'
import { closeAll, crisis, enter, practice, schedule, sql, start, therapy, type Side } from './people.ts'
import { bare, disconnectAll, joined, named, rowOf } from './socket.ts'

afterEach(async () => {
  await disconnectAll()
  await closeAll()
})

const texts = (side: Side): (string | null)[] => side.shown.map((message) => message.text)

async function shows(side: Side, expected: (string | null)[]): Promise<void> {
  await vi.waitFor(
    () => {
      expect(texts(side)).toEqual(expected)
    },
    { timeout: 10_000, interval: 20 },
  )
}

describe('an assisted session', () => {
  it('shows both the same conversation, verified, in order', async () => {
    const { clientSide, therapistSide, client, therapist } = await therapy('assisted')
    const said: string[] = []
    for (let turn = 0; turn < 4; turn++) {
      for (const [side, who] of [[clientSide, 'client'], [therapistSide, 'therapist']] as const) {
        said.push(`${who} ${turn}`)
        await side.chat.send(`${who} ${turn}`)
      }
    }
    for (const [side, own] of [[clientSide, client], [therapistSide, therapist]] as const) {
      await shows(side, said)
      expect(side.shown.map((message) => message.from.role)).toEqual(said.map((text) => text.split(' ')[0]))
      expect(side.shown.map((message) => message.position)).toEqual(said.map((_, n) => n + 1))
      for (const message of side.shown) {
        expect(message).toMatchObject({ badge: null, watched: true, missing: 0, from: { me: message.from.userId === own.id } })
      }
      expect(side.errors).toEqual([])
    }
    expect(clientSide.chat.readers.map((device) => device.kind).sort()).toEqual(['analysis', 'participant', 'participant'])
  })

  it('keeps the order of what both send at once, the same for both', async () => {
    const { clientSide, therapistSide } = await therapy('assisted')
    const both = [0, 1, 2, 3, 4].flatMap((n) => [clientSide.chat.send(`c${n}`), therapistSide.chat.send(`t${n}`)])
    await Promise.all(both)
    await vi.waitFor(() => {
      expect([clientSide.shown.length, therapistSide.shown.length]).toEqual([10, 10])
    }, 10_000)
    expect(texts(clientSide)).toEqual(texts(therapistSide))
    expect(texts(clientSide).filter((text) => text?.startsWith('c'))).toEqual(['c0', 'c1', 'c2', 'c3', 'c4'])
    expect(texts(clientSide).filter((text) => text?.startsWith('t'))).toEqual(['t0', 't1', 't2', 't3', 't4'])
    expect([...clientSide.shown, ...therapistSide.shown].every((message) => message.badge === null && message.missing === 0)).toBe(true)
  })

  it("lets a person's second device in by its code, with the history, and asks the other person about it", async () => {
    const { id, client, clientSide, therapistSide } = await therapy('assisted')
    await clientSide.chat.send('from the telephone')
    await shows(therapistSide, ['from the telephone'])
    const asked = new Promise<readonly string[]>((resolve) => {
      therapistSide.chat.on('devices', resolve)
    })
    const laptop = await enter(client, id, new MemoryStore())
    await expect(laptop.chat.send('too early')).rejects.toMatchObject({ reason: 'device_waiting' })
    await shows(laptop, [null])
    expect(laptop.shown[0]?.badge).toEqual({ kind: 'unreadable', refusal: 'wrap' })
    expect(await clientSide.v.devices.approve(laptop.v.devices.code)).toBe(laptop.v.deviceId)
    await laptop.chat.send('from the laptop')
    await shows(therapistSide, ['from the telephone', 'from the laptop'])
    expect(therapistSide.shown[1]?.badge).toEqual({ kind: 'new_device', deviceId: laptop.v.deviceId })
    await expect(therapistSide.chat.send('who is it?')).rejects.toMatchObject({ devices: [laptop.v.deviceId] })
    expect(await asked).toEqual([laptop.v.deviceId])
    await therapistSide.chat.acknowledge(laptop.v.deviceId) // the telephone vouches for it
    await therapistSide.chat.send('welcome')
    await laptop.chat.send('thank you')
    const all = ['from the telephone', 'from the laptop', 'welcome', 'thank you']
    await shows(therapistSide, all)
    expect(therapistSide.shown.slice(2).map((message) => message.badge)).toEqual([null, null])
    await vi.waitFor(() => {
      const opened: (string | null)[] = []
      laptop.chat.on('message', (message) => opened.push(message.text))()
      expect(opened).toEqual(all)
    }, 10_000)
  })

  it('shows a device that comes back the history, then what is live', async () => {
    const people = await practice()
    const { id } = await schedule(people, 'assisted')
    const before = await enter(people.client, id)
    const therapistSide = await enter(people.therapist, id)
    await start(people, id)
    await before.chat.consent.give({ text: 'My messages may be analysed.' })
    await before.chat.send('before')
    await before.v.close()
    await therapistSide.chat.send('meanwhile')
    const back = await enter(people.client, id)
    expect(back.v.deviceId).toBe(before.v.deviceId)
    await shows(back, ['before', 'meanwhile'])
    await therapistSide.chat.send('live')
    await shows(back, ['before', 'meanwhile', 'live'])
    expect(back.shown.every((message) => message.badge === null && message.missing === 0)).toBe(true)
  })
})

describe('a strict session', () => {
  it('announces each message without its body, shows it to both, and is watched by nobody', async () => {
    const { id, client, clientSide, therapistSide, ...rest } = await therapy('strict')
    const heard = await joined(await bare(client.client), `session:${id}`)
    const care = await joined(await bare(rest.therapist.client), `care:${id}`)
    const message = await clientSide.chat.send(crisis)
    await therapistSide.chat.send('I am with you')
    await shows(therapistSide, [crisis, 'I am with you'])
    await shows(clientSide, [crisis, 'I am with you'])
    expect([...clientSide.shown, ...therapistSide.shown].every((one) => one.badge === null && !one.watched)).toBe(true)
    expect(clientSide.chat.readers.map((device) => device.kind)).toEqual(['participant', 'participant'])

    const arrival = rowOf(await heard.messages.until(named('arrival')))
    expect(arrival).toMatchObject({ message_id: message, session_id: id, sender_id: client.id, position: 1, seq: 0 })
    expect(arrival).not.toHaveProperty('body')

    // An alert of a later message elsewhere has passed through everything that this one would have passed through.
    const assisted = await therapy('assisted', { client, ...rest })
    const other = await joined(await bare(rest.therapist.client), `care:${assisted.id}`)
    await assisted.clientSide.chat.send(crisis)
    await other.messages.until(named('alert'))
    expect(care.messages.length).toBe(0)
    for (const table of ['assessments', 'alerts']) {
      expect(await sql(`select id from public.${table} where session_id = $1`, [id])).toEqual([])
    }
  })
})
