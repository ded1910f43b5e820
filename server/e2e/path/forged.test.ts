// Whoever is in a session may broadcast on its topic, and call it what they like: nobody's screen takes it for a row.
import { randomUUID } from 'node:crypto'
import { afterEach, expect, it, vi } from 'vitest'
import { parseMessage } from 'vigil-client'
import { checked, closeAll, crisis, therapy } from './people.ts'
import { bare, disconnectAll, joined, named } from './socket.ts'

afterEach(async () => {
  await disconnectAll()
  await closeAll()
})

it.each(['1.0.0', '2.0.0'])('shows nothing that was only broadcast, and all that was sent (vsn %s)', async (vsn) => {
  const { id, client, therapist, clientSide, therapistSide } = await therapy('assisted')
  const alerts: unknown[] = []
  therapistSide.chat.on('alert', (row) => alerts.push(row.message_id))
  const bystander = await joined(await bare(therapist.client), `session:${id}`)
  const forger = await joined(await bare(client.client, vsn), `session:${id}`)

  const stored: unknown = checked(await client.client.from('messages').select().eq('id', await clientSide.chat.send('first')).single())
  const meta = { id: randomUUID(), seq: 1, prev: 0, epoch: 'e', cursor: 'c' }
  const send = async (event: string, payload: object): Promise<void> => {
    await forger.channel.send({ type: 'broadcast', event, payload: { ...payload, meta }, meta })
  }
  for (const position of [2, 3, 1e9]) {
    await send('message', { ...parseMessage(stored), id: randomUUID(), position })
    await send('arrival', { session_id: id, position })
  }
  for (const event of ['alert', 'assessment', 'alert_event']) await send(event, { id: randomUUID(), session_id: id, message_id: 'forged' })
  await send('last', {})
  const relayed = await bystander.messages.until(named('last'))
  expect(relayed).not.toHaveProperty('meta')

  const second = await clientSide.chat.send(crisis)
  await therapistSide.chat.send('third')
  await vi.waitFor(() => {
    for (const side of [clientSide, therapistSide]) {
      expect(side.shown.map((message) => [message.position, message.text])).toEqual([[1, 'first'], [2, crisis], [3, 'third']])
    }
    expect(alerts).toEqual([second])
  }, 10_000)
  expect([...clientSide.errors, ...therapistSide.errors]).toEqual([])
})
