// Who is called because somebody may be in danger: with the client's leave they read what it is about, visible to all and until it is
// over; without it they are told how to reach the person. And a private session, which alerts by scores of its devices.
import { expect, it } from 'vitest'
import { crisis, signIn, sql, staff, talk, type Clinic } from './people.ts'
import { openDevices, races, thisDevice } from './devices.ts'
import { button, consent, expectConversation, openSession, say, visible } from './screens.ts'
import { consoleURL, withBrowsers, type Seat } from './seats.ts'
import { withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const patient = 120_000

// Olive is called for everything in the practice, and has a device.
async function onCall(people: Clinic): Promise<Seat> {
  const olive = await staff(people.organization, 'supervisor', 'Olive')
  const seat = await seats.sit('on call', 1)
  await signIn(seat, olive)
  await openDevices(seat)
  await visible(thisDevice(seat).getByText('It holds your keys'))
  return seat
}

it('the paged clinician reads what paged them, everybody sees that, and it ends with the alert', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  const olive = await onCall(people)
  await consent(client).getByText('You agreed to be watched over').click()
  await consent(client).getByRole('checkbox', { name: /a clinician who is called/ }).click()
  await visible(consent(client).getByRole('checkbox', { name: /a clinician who is called/, checked: true }))
  await say(client, crisis)
  await visible(clinician.page.getByRole('article', { name: /^Alert:/ }))
  await openSession(olive, id)
  await expectConversation(olive, [crisis])
  for (const seat of [client, clinician]) await visible(seat.page.getByRole('log', { name: 'Messages' }).getByText(/Olive \(let in by an alert\)|a clinician on call \(let in by an alert\)/))

  await clinician.page.getByRole('button', { name: 'Resolve' }).click()
  await visible(clinician.page.getByRole('article', { name: /^Alert:.*, resolved$/ }))
  await say(client, 'This is for Theo again.')
  await expectConversation(clinician, [crisis, 'This is for Theo again.'])
  const [after] = await sql(
    'select count(*)::int as rows from public.epoch_wraps w join public.devices d on d.id = w.device_id join public.profiles p on p.user_id = d.user_id where w.session_id = $1 and p.display_name = $2', [id, 'Olive'],
  )
  expect(after, 'the keys that she was given').toEqual({ rows: 0 })
}, patient)

it('without leave the alert says that the text is not shared, and how the client is reached', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  const olive = await onCall(people)
  await openDevices(client)
  await client.page.getByLabel('Number or address').fill('+44 20 7946 0000')
  await client.page.getByRole('region', { name: 'How to reach you in an emergency' }).getByRole('button', { name: 'Keep', exact: true }).click()
  await visible(client.page.getByText('Phone: +44 20 7946 0000'))
  await openSession(client, id)
  await say(client, crisis)
  await visible(clinician.page.getByRole('article', { name: /^Alert:/ }))
  await olive.page.goto(`${consoleURL}#/alerts`)
  const alert = olive.page.getByRole('article', { name: /^Alert:/ })
  await visible(alert.getByText('The text is not shared with you'))
  await visible(alert.getByRole('link', { name: '+44 20 7946 0000' }))
  expect(await olive.page.locator('body').innerText()).not.toContain('pills')
  await openSession(olive, id)
  await visible(olive.page.getByText('cannot be read here'))
}, patient)

it('a private session alerts by what its devices find: signed scores, and never a word', async () => {
  const { id, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  await consent(client).getByRole('button', { name: 'Withdraw, go on privately' }).click()
  await button(clinician, 'I have seen it').click()
  await say(client, crisis)
  await expectConversation(clinician, [crisis])
  await visible(clinician.page.getByRole('article', { name: /^Alert:/ }))
  const sides = async (): Promise<unknown[]> => sql('select side, disagrees from public.message_scores where session_id = $1 order by side', [id])
  await expect.poll(sides, { timeout: 20_000 }).toEqual([{ side: 'clinician', disagrees: false }, { side: 'sender', disagrees: false }])
  const alerts = await sql('select count(*)::int as rows from public.alerts where session_id = $1', [id])
  expect(alerts, 'one, though two devices found it').toEqual([{ rows: 1 }])
  const wires = [client, clinician].flatMap((seat) => [...seat.asked, ...seat.sentFrames, ...seat.heardFrames]).join('\n')
  expect(wires).not.toContain('pills')
  expect(await clinician.page.getByText(/found different things/).count()).toBe(0)
}, patient)
