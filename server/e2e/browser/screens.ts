// What the console's screens are called, and what people do with them. All names of roles and labels that the tests rely on are here.
import type { Locator } from 'playwright-core'
import { expect } from 'vitest'
import { totp } from '../standin/totp.ts'
import { consoleURL, patience, type Seat } from './seats.ts'

export const visible = (locator: Locator): Promise<void> => locator.waitFor({ state: 'visible' })
export const gone = (locator: Locator): Promise<void> => locator.waitFor({ state: 'detached' })

export const button = (seat: Seat, name: string | RegExp): Locator => seat.page.getByRole('button', { name, exact: typeof name === 'string' })
export const heading = (seat: Seat, name: string | RegExp): Locator => seat.page.getByRole('heading', { name, exact: typeof name === 'string' })
export const channel = (seat: Seat, words: RegExp): Locator => seat.page.getByRole('status', { name: words })
export const composer = (seat: Seat): Locator => seat.page.getByRole('textbox', { name: 'Message', exact: true })
export const consent = (seat: Seat): Locator => seat.page.getByRole('region', { name: 'Consent' })
export const refusal = (seat: Seat, words: RegExp): Locator => seat.page.getByRole('alert').filter({ hasText: words })

export async function fillSignIn(seat: Seat, email: string, password: string): Promise<void> {
  await seat.page.getByLabel('E-mail', { exact: true }).fill(email)
  await seat.page.getByLabel('Password', { exact: true }).fill(password)
  await button(seat, 'Sign in').click()
}

// Types the six digits that an authenticator would show now.
export async function prove(seat: Seat, secret: string): Promise<void> {
  await seat.page.getByLabel('Six-digit code').fill(totp(secret))
  await button(seat, 'Go on').click()
}

// Sets the second factor up with what the screen says; gives the secret, as a telephone would keep it.
export async function enrol(seat: Seat): Promise<string> {
  await visible(heading(seat, 'Set up a second factor'))
  const secret = (await seat.page.getByTestId('totp-secret').innerText()).trim()
  expect(secret).toMatch(/^[A-Z2-7]{16,}$/)
  await prove(seat, secret)
  return secret
}

export async function openSession(seat: Seat, id: string): Promise<void> {
  await seat.page.goto(`${consoleURL}#/sessions/${id}`)
  await visible(heading(seat, /^Session with /))
  await visible(channel(seat, /^Channel: connected/))
}

export async function say(seat: Seat, text: string): Promise<void> {
  await composer(seat).fill(text)
  await button(seat, 'Send').click()
}

export interface Shown {
  text: string
  // false while it is on its way.
  stored: boolean
}

// The conversation as it stands on a screen, from the top.
export async function conversation(seat: Seat): Promise<Shown[]> {
  return seat.page.getByRole('log', { name: 'Messages' }).evaluate((log) =>
    [...log.querySelectorAll('article')].map((article) => ({
      text: article.querySelector('.message-text')?.textContent ?? '', stored: article.querySelector('.bubble.pending, .bubble.failed') === null,
    })),
  )
}

// Waits until a screen shows exactly these messages, all of them stored, in this order, each once.
export async function expectConversation(seat: Seat, texts: readonly string[], within = patience): Promise<void> {
  const wanted = texts.map((text) => ({ text, stored: true }))
  const same = (wanted: Shown[]): boolean => {
    const articles = [...document.querySelectorAll('[role=log] article')]
    return articles.length === wanted.length && articles.every((article, at) =>
      article.querySelector('.message-text')?.textContent === wanted[at]?.text && article.querySelector('.bubble.pending, .bubble.failed') === null)
  }
  await seat.page.waitForFunction(same, wanted, { timeout: within }).catch(() => undefined) // what differs is said below
  expect(await conversation(seat), `what ${seat.name} sees`).toEqual(wanted)
}
