// What people do on the screen that their keys are on: Devices and recovery.
import type { Locator } from 'playwright-core'
import { expect } from 'vitest'
import { button, heading, visible } from './screens.ts'
import { consoleURL, type Seat } from './seats.ts'

// What a page may complain of where the epoch that one sends under has just ended, or two make the next one: it is sent again by itself.
export const races = /status of 4(00|09) .*\/rest\/v1\/(messages|session_epochs|rpc\/\w+)/

export const keysChip = (seat: Seat, words: RegExp): Locator => seat.page.getByRole('link', { name: words })
export const thisDevice = (seat: Seat): Locator => seat.page.getByRole('region', { name: 'This device' })
export const devices = (seat: Seat): Locator => seat.page.getByRole('list', { name: 'Your devices' }).getByRole('listitem')
export const strangers = (seat: Seat): Locator => seat.page.getByRole('region', { name: 'New devices' })

export async function openDevices(seat: Seat): Promise<void> {
  await seat.page.goto(`${consoleURL}#/devices`)
  await visible(heading(seat, 'Devices and recovery'))
  await visible(thisDevice(seat))
}

// The code that a new device shows, as its owner reads it.
export async function codeOf(seat: Seat): Promise<string> {
  await openDevices(seat)
  const code = (await seat.page.getByTestId('device-code').innerText()).trim()
  expect(code).toMatch(/^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$/)
  return code
}

// Types a code on a device that is in use.
export async function letIn(seat: Seat, code: string): Promise<void> {
  await openDevices(seat)
  await seat.page.getByLabel('The code that the new device shows').fill(code.toLowerCase())
  await button(seat, 'Let it in').click()
}

// A new device is in use, with its history, by the code that it showed on another.
export async function admit(fresh: Seat, known: Seat): Promise<void> {
  await letIn(known, await codeOf(fresh))
  await visible(known.page.getByText('The device is let in, and is given your history.'))
  await visible(thisDevice(fresh).getByText('It holds your keys'))
}

export async function setPassphrase(seat: Seat, passphrase: string): Promise<void> {
  await openDevices(seat)
  const form = seat.page.getByRole('form', { name: 'Set a recovery passphrase' })
  await form.getByLabel('New passphrase', { exact: true }).fill(passphrase)
  await form.getByLabel('The new one again').fill(passphrase)
  await form.getByRole('button', { name: 'Set a recovery passphrase' }).click()
  await visible(heading(seat, 'Recovery passphrase: set'))
}

export async function recoverWith(seat: Seat, passphrase: string): Promise<void> {
  await openDevices(seat)
  const form = seat.page.getByRole('form', { name: 'Use the recovery passphrase' })
  await form.getByLabel('Recovery passphrase').fill(passphrase)
  await form.getByRole('button', { name: 'Bring my history to this device' }).click()
}

// Somebody says that a new device of the other is right.
export async function trustAll(seat: Seat): Promise<void> {
  const trust = strangers(seat).getByRole('button', { name: 'It is right: trust it' }).first()
  await visible(trust)
  while ((await strangers(seat).count()) > 0) {
    await trust.click().catch(() => undefined) // it may have gone meanwhile
  }
}
