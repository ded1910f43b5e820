// The sidecar is killed between two people who write to each other, and comes back: nothing is lost, nothing is doubled, and both
// screens say what goes on.
import { expect, it } from 'vitest'
import { crisis, sql, talk, type Talk } from './people.ts'
import { channel, expectConversation, say, visible } from './screens.ts'
import { withBrowsers } from './seats.ts'
import { sidecar, withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

// While nobody listens, a browser says that it could not connect: that is no fault of the page's.
const unreachable = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED|WebSocket connection to .* failed|status of 50[23]/

async function interrupted(): Promise<Talk> {
  const all = await talk(seats)
  for (const seat of [all.client, all.clinician]) seat.expecting(unreachable)
  return all
}

const both = (all: Talk, words: RegExp): Promise<unknown> => Promise.all([visible(channel(all.client, words)), visible(channel(all.clinician, words))])

// Positions without a hole, and one assessment for each message of the session.
async function expectAllAssessed(id: string, count: number): Promise<void> {
  const found = await sql(
    `select m.position::int, count(a.*)::int as assessed from public.messages m left join public.assessments a on a.message_id = m.id
      where m.session_id = $1 group by m.position order by m.position`,
    [id],
  )
  expect(found).toEqual(Array.from({ length: count }, (_, at) => ({ position: at + 1, assessed: 1 })))
}

it('says recovering and then recovered, and shows what was sent meanwhile, once, with its alert', async () => {
  const all = await interrupted()
  const { id, client, clinician } = all
  await say(client, 'before')
  await Promise.all([expectConversation(client, ['before']), expectConversation(clinician, ['before'])])

  await sidecar.kill()
  await both(all, /^Channel: recovering/)
  await visible(client.page.getByText('Theo (therapist) may be here'))
  await say(client, 'are you there?')
  await say(client, crisis)
  await say(clinician, 'the line is bad')
  await visible(client.page.getByText('sent; it shows here when the channel is back').nth(1)) // stored: the project is up
  await visible(clinician.page.getByText('sent; it shows here when the channel is back'))

  await sidecar.start()
  await both(all, /^Channel: connected, recovered [1-9]/)
  const texts = ['before', 'are you there?', crisis, 'the line is bad']
  const order = await sql('select sender_id from public.messages where session_id = $1 order by position', [id])
  const said = [['are you there?', crisis], ['the line is bad']]
  const stored = order.map((row, at) => (at === 0 ? 'before' : said[row['sender_id'] === all.clinic.client.id ? 0 : 1]?.shift() ?? ''))
  expect([...stored].sort()).toEqual([...texts].sort())
  await Promise.all([expectConversation(client, stored), expectConversation(clinician, stored)])
  await visible(clinician.page.getByRole('article', { name: /^Alert:/ }).getByText(crisis))
  await say(clinician, 'I am back')
  await Promise.all([expectConversation(client, [...stored, 'I am back']), expectConversation(clinician, [...stored, 'I am back'])])
  await expect.poll(() => expectAllAssessed(id, 5).then(() => 'all', () => 'not yet'), { timeout: 10_000, interval: 50 }).toBe('all')
  await expectAllAssessed(id, 5)
  expect(await clinician.page.getByRole('article', { name: /^Alert:/ }).count()).toBe(1)
})

it('loses and doubles nothing of a burst that is being sent when it is killed, twice', async () => {
  const all = await interrupted()
  const { id, client, clinician } = all
  const texts: string[] = []
  for (let kills = 0; kills < 2; kills++) {
    for (let n = 0; n < 4; n++) {
      texts.push(`burst ${kills + 1}, word ${n + 1}`)
      await say(client, texts.at(-1) ?? '')
      if (n === 1) await sidecar.kill()
    }
    await sidecar.start()
    await both(all, /^Channel: connected, (recovered [1-9]|nothing was missed)/)
    await Promise.all([expectConversation(client, texts), expectConversation(clinician, texts)])
  }
  await expect.poll(() => expectAllAssessed(id, 8).then(() => 'all', () => 'not yet'), { timeout: 10_000, interval: 50 }).toBe('all')
})
