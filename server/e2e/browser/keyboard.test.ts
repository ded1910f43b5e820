// Everything from the sign-in to the alert in hand, without a pointer: Tab, Enter, and what a person types.
import type { Locator } from 'playwright-core'
import { expect, it } from 'vitest'
import { schedule } from '../path/people.ts'
import { totp } from '../standin/totp.ts'
import { clinic, crisis, password, type Staff } from './people.ts'
import { button, channel, composer, consent, expectConversation, heading, visible } from './screens.ts'
import { withBrowsers, type Seat } from './seats.ts'
import { withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const furthest = 60

// Tabs on until something has the focus, which must show that it has.
async function tabTo(seat: Seat, target: Locator): Promise<void> {
  await visible(target)
  for (let pressed = 0; pressed < furthest; pressed++) {
    await seat.page.keyboard.press('Tab')
    if (!(await target.evaluate((element) => element === document.activeElement))) continue
    const ring = await target.evaluate((element) => {
      const rings = [element, element.parentElement ?? element].flatMap((one) => [getComputedStyle(one), getComputedStyle(one, '::after')])
      return element.matches(':focus-visible') && rings.some((style) => style.outlineStyle !== 'none' || style.boxShadow !== 'none')
    })
    expect(ring, `${seat.name}: the focus on ${String(target)} shows`).toBe(true)
    return
  }
  throw new Error(`${seat.name}: ${String(target)} was not reached with ${furthest} tabs`)
}

async function press(seat: Seat, target: Locator): Promise<void> {
  await tabTo(seat, target)
  await seat.page.keyboard.press('Enter')
}

async function signIn(seat: Seat, who: { email: string } | Staff): Promise<void> {
  await tabTo(seat, seat.page.getByLabel('E-mail', { exact: true }))
  await seat.page.keyboard.type(who.email)
  await tabTo(seat, seat.page.getByLabel('Password', { exact: true }))
  await seat.page.keyboard.type(password)
  await seat.page.keyboard.press('Enter')
  if ('secret' in who) {
    await visible(heading(seat, 'Second factor'))
    await tabTo(seat, seat.page.getByLabel('Six-digit code'))
    await seat.page.keyboard.type(totp(who.secret))
    await seat.page.keyboard.press('Enter')
  }
  await visible(heading(seat, 'Sessions'))
}

async function open(seat: Seat, other: string): Promise<void> {
  await press(seat, seat.page.getByRole('list', { name: 'Your sessions' }).getByRole('link', { name: new RegExp(other) }))
  await visible(channel(seat, /^Channel: connected/))
}

it('works with the keyboard alone: sign in, start, agree, send, take the suggestion, acknowledge, resolve, sign out', async () => {
  const people = await clinic()
  const [client, clinician] = await Promise.all([seats.sit('client', 0), seats.sit('clinician', 1)])
  await schedule(people, 'assisted')
  await Promise.all([signIn(client, people.client), signIn(clinician, people.therapist)])
  await Promise.all([open(client, 'Theo'), open(clinician, 'Cleo')])
  await press(clinician, button(clinician, 'Start the session'))
  await press(client, consent(client).getByRole('button', { name: 'I agree' }))
  await tabTo(client, composer(client))
  await client.page.keyboard.type(crisis)
  await client.page.keyboard.press('Enter')

  const alert = clinician.page.getByRole('article', { name: /^Alert:/ })
  await press(clinician, alert.getByRole('button', { name: 'Acknowledge' }))
  await visible(alert.getByText(/^You have acknowledged it/))
  const suggestion = clinician.page.getByRole('article', { name: 'Suggestion', exact: true })
  const drafted = await suggestion.locator('blockquote').innerText()
  await press(clinician, suggestion.getByRole('button', { name: 'Put into the composer' }))
  await clinician.page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Message')
  await clinician.page.keyboard.press('Enter') // the composer has the focus
  await expectConversation(client, [crisis, drafted])
  await press(clinician, alert.getByRole('button', { name: 'Resolve' }))
  await visible(clinician.page.getByRole('article', { name: /^Alert:.*, resolved$/ }))

  await press(clinician, button(clinician, 'End'))
  const dialog = clinician.page.getByRole('dialog', { name: 'End this session?' })
  await visible(dialog)
  await clinician.page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  expect(await button(clinician, 'End').evaluate((element) => element === document.activeElement), 'the focus came back').toBe(true)
  for (const seat of [client, clinician]) {
    await press(seat, button(seat, 'Sign out'))
    await visible(heading(seat, 'Sign in'))
  }
})
