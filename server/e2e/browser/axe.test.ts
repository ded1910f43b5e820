// Every screen and state of the console, looked at by axe in light, in dark and on a telephone of 375 pixels: no violation of any
// rule, and nothing wider than the screen.
import { expect, it } from 'vitest'
import { schedule } from '../path/people.ts'
import { person } from '../standin/project.ts'
import { axe, expectAccessible, violations } from './axe.ts'
import { codeOf, letIn, thisDevice } from './devices.ts'
import { clinic, crisis, join, password, signIn, sql, staff, talk, type Talk } from './people.ts'
import { button, channel, composer, consent, expectConversation, fillSignIn, heading, openSession, prove, refusal, say, visible } from './screens.ts'
import { consoleURL, withBrowsers, type Seat, type Seats } from './seats.ts'
import { sidecar, withSidecar } from './stack.ts'

withSidecar()
const browsers = withBrowsers()

// Seats that bring the rules along.
// They look at much, on a machine that others share.
const patient = 150_000

const seats: Seats = {
  sit: (name, at, options) => browsers.sit(name, at, { ...options, script: axe }),
}

async function goTo(seat: Seat, hash: string): Promise<void> {
  await seat.page.goto(`${consoleURL}${hash}`)
}

it('the way in: signing in, refused, the second factor set up and asked for, a start that fails', async () => {
  const { organization, therapist } = await clinic()
  const fresh = await join(organization, 'therapist', 'Thea')
  const seat = await seats.sit('anybody')
  seat.expecting(/status of (4\d\d|500)/)
  await visible(heading(seat, 'Sign in'))
  await expectAccessible(seat, 'signing in')
  await fillSignIn(seat, 'nobody@example.test', 'wrong')
  await visible(refusal(seat, /do not fit together/))
  await expectAccessible(seat, 'refused')
  await fillSignIn(seat, fresh.email, password)
  await visible(seat.page.getByTestId('totp-secret'))
  await expectAccessible(seat, 'setting the second factor up')
  await button(seat, 'Sign in as somebody else').click()
  await fillSignIn(seat, therapist.email, password)
  await seat.page.getByLabel('Six-digit code').fill('000000')
  await button(seat, 'Go on').click()
  await visible(refusal(seat, /code is not right/))
  await expectAccessible(seat, 'a wrong code')

  await seat.page.route('**/config.json', (route) => route.fulfill({ status: 500 }))
  await seat.page.reload()
  await visible(heading(seat, 'Vigil cannot start'))
  await expectAccessible(seat, 'a start that fails')
}, patient)

// Holds back every answer to a request until the seat has been looked at.
async function whileLoading(seat: Seat, pattern: RegExp, what: string, go: () => Promise<unknown>): Promise<void> {
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => { release = resolve })
  await seat.page.route(pattern, async (route) => {
    await held
    await route.fallback()
  })
  await go()
  await visible(seat.page.getByRole('status').filter({ hasText: `Loading ${what}` }))
  await expectAccessible(seat, what)
  release()
  await seat.page.unroute(pattern)
}

it('the lists: empty, loading, failed, filled; a new session; the practice; who belongs nowhere', async () => {
  const people = await clinic()
  const [client, therapist] = await Promise.all([seats.sit('client', 0), seats.sit('therapist', 1)])
  await Promise.all([signIn(client, people.client), signIn(therapist, people.therapist)])
  await visible(client.page.getByText('No sessions yet'))
  await expectAccessible(client, 'a client without a session')
  await button(therapist, 'New session').click()
  await visible(therapist.page.getByRole('combobox', { name: 'Client' }))
  await expectAccessible(therapist, 'a new session')

  const { id } = await schedule(people, 'strict')
  await whileLoading(client, /\/rest\/v1\/memberships/, 'your login', () => client.page.reload())
  await whileLoading(client, /\/rest\/v1\/sessions/, 'your sessions', () => client.page.reload())
  await visible(client.page.getByRole('list', { name: 'Your sessions' }).getByRole('link'))
  await expectAccessible(client, 'a client with a session')
  client.expecting(/status of (500|404|406)/)
  await client.page.route(/\/rest\/v1\/sessions/, (route) => route.fulfill({ status: 500, body: '{"message":"it is down"}' }))
  await client.page.reload()
  await visible(refusal(client, /./).first())
  await expectAccessible(client, 'sessions, failed')
  await client.page.unroute(/\/rest\/v1\/sessions/)
  await goTo(client, '#/sessions/00000000-0000-4000-8000-000000000000')
  await visible(client.page.getByRole('link', { name: 'Back to your sessions' }))
  await visible(refusal(client, /./).first())
  await expectAccessible(client, 'a session that is not there')
  await openSession(client, id)
  await expectAccessible(client, 'a session that has not started, unwatched')
}, patient)

it('the practice, a supervisor without alerts, and who belongs to no practice', async () => {
  const { organization } = await clinic()
  const [admin, supervisor, nobody] = await Promise.all([staff(organization, 'admin', 'Ada'), staff(organization, 'supervisor', 'Sue'), person()])
  const [first, second] = await Promise.all([seats.sit('admin', 0), seats.sit('supervisor', 1)])
  await fillSignIn(first, admin.email, password)
  await visible(heading(first, 'Second factor'))
  await expectAccessible(first, 'the second factor')
  await prove(first, admin.secret)
  await visible(heading(first, 'Practice'))
  await visible(first.page.getByRole('combobox').first())
  await expectAccessible(first, 'the practice')
  const third = await seats.sit('nobody', 0)
  await fillSignIn(third, nobody.email, password)
  await visible(third.page.getByText('You belong to no practice'))
  await expectAccessible(third, 'who belongs nowhere')
  await signIn(second, supervisor)
  await goTo(second, '#/alerts')
  await visible(second.page.getByText('Nothing waits'))
  await expectAccessible(second, 'no alerts')
}, patient)

// A session with an alert in each state, assessments, and a suggestion that waits.
async function grave(): Promise<Talk> {
  const all = await talk(seats)
  await say(all.client, crisis)
  await visible(all.clinician.page.getByRole('article', { name: /^Alert:/ }))
  await visible(all.clinician.page.getByRole('article', { name: 'Suggestion', exact: true }))
  return all
}

it('a session: before, agreed to, alerted, suggested, answered, asked to end, ended', async () => {
  const people = await clinic()
  const { id } = await schedule(people, 'assisted')
  const [client, clinician] = await Promise.all([seats.sit('client', 0), seats.sit('clinician', 1)])
  await Promise.all([signIn(client, people.client), signIn(clinician, people.therapist)])
  await Promise.all([openSession(client, id), openSession(clinician, id)])
  await expectAccessible(clinician, 'the therapist, before the start')
  await button(clinician, 'Start the session').click()
  await visible(client.page.getByText('Agree above, and you can write'))
  await expectAccessible(client, 'the client, asked to agree')
  await consent(client).getByRole('button', { name: 'I agree' }).click()
  await visible(composer(client))
  await expectAccessible(client, 'the client, agreed, nothing said')
  await say(client, 'I could not sleep.')
  await say(client, crisis)
  const alert = clinician.page.getByRole('article', { name: /^Alert:/ })
  await visible(alert)
  const suggestion = clinician.page.getByRole('article', { name: 'Suggestion', exact: true })
  await visible(suggestion)
  await expectAccessible(clinician, 'an alert and a suggestion')
  await clinician.page.setViewportSize({ width: 375, height: 740 })
  await clinician.page.getByRole('group', { name: 'Show' }).getByRole('button', { name: /^Care/ }).click()
  await expectAccessible(clinician, 'the care pane of a telephone')
  await clinician.page.setViewportSize({ width: 1280, height: 720 })
  await suggestion.getByRole('button', { name: 'Put into the composer' }).click()
  await alert.getByRole('button', { name: 'Acknowledge' }).click()
  await visible(alert.getByText(/^You have acknowledged it/))
  await expectAccessible(clinician, 'acknowledged, the suggestion in the composer')
  await composer(clinician).fill('I am with you. Are you safe now?')
  await button(clinician, 'Send').click()
  await expectConversation(client, ['I could not sleep.', crisis, 'I am with you. Are you safe now?'])
  await alert.getByRole('button', { name: 'Resolve' }).click()
  await visible(clinician.page.getByRole('article', { name: /^Alert:.*, resolved$/ }))
  await button(clinician, 'End').click()
  await visible(clinician.page.getByRole('dialog', { name: 'End this session?' }))
  await expectAccessible(clinician, 'asked whether to end')
  await button(clinician, 'End the session').click()
  await visible(clinician.page.getByText('The session has ended.'))
  await expectAccessible(clinician, 'ended, for the clinician')
  await visible(client.page.getByText('The session has ended.'))
  await expectAccessible(client, 'ended, for the client')
}, patient)

it('what goes wrong: a new device, a message that was not sent, the channel away, access that ended', async () => {
  const { client, clinician, clinic: people, id } = await grave()
  const supervisor = await seats.sit('supervisor', 1)
  await signIn(supervisor, await staff(people.organization, 'supervisor', 'Sue'))
  await goTo(supervisor, '#/alerts')
  await visible(supervisor.page.getByRole('article', { name: /^Alert:/ }))
  await expectAccessible(supervisor, 'an alert of the practice')
  await goTo(supervisor, '#/sessions')
  await visible(supervisor.page.getByRole('list', { name: 'Your sessions' }).getByText('1 alert'))
  await expectAccessible(supervisor, 'sessions with an alert')

  const second = await seats.sit('the client on another device', 0)
  await signIn(second, people.client)
  const code = await codeOf(second)
  await expectAccessible(second, 'a device that waits')
  await letIn(client, code)
  await visible(thisDevice(second).getByText('It holds your keys'))
  await visible(client.page.getByText('The device is let in, and is given your history.'))
  await expectAccessible(client, 'devices, recovery, contact, erasure')
  await openSession(client, id)
  await openSession(second, id)
  await say(second, 'This is my other device.')
  await visible(clinician.page.getByText('sealed, from a new device that you have not checked'))
  await visible(clinician.page.getByRole('region', { name: 'New devices' }))
  await expectAccessible(clinician, 'a device that nobody has checked')
  await expectAccessible(second, 'a history on another device')
  await button(clinician, 'It is right: trust it').click()
  await visible(composer(clinician))

  for (const seat of [client, clinician, second, supervisor]) seat.expecting(/ERR_CONNECTION|WebSocket connection|status of 50\d|ERR_FAILED|status of 40\d/)
  await sidecar.kill()
  await visible(channel(clinician, /^Channel: recovering/))
  await say(clinician, 'Can you read me?')
  await visible(clinician.page.getByText('sent; it shows here when the channel is back'))
  await expectAccessible(clinician, 'recovering, with a message that waits')
  await sidecar.start()
  await visible(channel(clinician, /^Channel: connected, (recovered|nothing was missed)/)) // what was sent meanwhile may be relayed after the join
  await expectAccessible(clinician, 'recovered')
  await clinician.page.route(/\/rest\/v1\/messages/, (route) => {
    const sends = route.request().method() === 'POST'
    return sends ? route.fulfill({ status: 400, contentType: 'application/json', body: '{"code":"22023","message":"no"}' }) : route.fallback()
  })
  await say(clinician, 'This one is refused.')
  await visible(button(clinician, 'Send again'))
  await expectAccessible(clinician, 'a message that was not sent')

  await sql('update public.memberships set ended_at = now() where organization_id = $1 and user_id = $2', [people.organization, people.therapist.id])
  await visible(channel(clinician, /^Channel: closed by the server/))
  await expectAccessible(clinician, 'access that ended')
}, patient)

it('would fail: a rule that is broken is found', async () => {
  const seat = await seats.sit('anybody')
  await visible(heading(seat, 'Sign in'))
  await seat.page.evaluate(() => { document.querySelectorAll('label > *:first-child').forEach((words) => { words.remove() }) })
  expect((await violations(seat)).map((one) => one.rule)).toContain('label: Form elements must have labels')
  await expect(expectAccessible(seat, 'a field without a name')).rejects.toThrow('a field without a name in light')
})
