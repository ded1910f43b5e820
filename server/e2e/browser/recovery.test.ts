// A recovery passphrase over its whole life; what somebody keeps who has nothing left but the password; and a browser that was removed
// and comes back.
import { expect, it } from 'vitest'
import { codeOf, devices, keysChip, letIn, openDevices, races, recoverWith, setPassphrase, strangers, thisDevice, trustAll } from './devices.ts'
import { signIn, sql, talk, type Talk } from './people.ts'
import { button, consent, conversation, expectConversation, gone, heading, openSession, refusal, say, visible } from './screens.ts'
import { consoleURL, patience, withBrowsers, type Seat } from './seats.ts'
import { withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const patient = 180_000

// Another device of the client's, signed in.
async function another(of: Talk, name: string): Promise<Seat> {
  const seat = await seats.sit(name, 1)
  seat.expecting(races)
  await signIn(seat, of.clinic.client)
  return seat
}

async function begun(): Promise<Talk> {
  const all = await talk(seats)
  for (const seat of [all.client, all.clinician]) seat.expecting(races)
  return all
}

async function changePassphrase(seat: Seat, old: string, next: string): Promise<void> {
  const form = seat.page.getByRole('form', { name: 'Change the passphrase' })
  if (!(await form.isVisible())) await seat.page.getByText('Change or remove it', { exact: true }).click()
  await form.getByLabel('The passphrase as it is').fill(old)
  await form.getByLabel('New passphrase', { exact: true }).fill(next)
  await form.getByLabel('The new one again').fill(next)
  await form.getByRole('button', { name: 'Change the passphrase' }).click()
}

const said = 'Said before there was a passphrase.'

it('a passphrase is set, changed and removed: the old one opens nothing; a browser removed meanwhile makes new keys and reads again', async () => {
  const all = await begun()
  const { client, clinician } = all
  await say(client, said)
  await expectConversation(clinician, [said])
  const [first, second] = ['amber ladder seven herons', 'quiet marble under a kettle']
  await openDevices(client)
  await visible(heading(client, 'Recovery passphrase: not set'))
  await visible(keysChip(client, /history only here/))
  await setPassphrase(client, first)
  await visible(client.page.getByText('The recovery passphrase is set.'))
  await visible(keysChip(client, /history safe/))

  await changePassphrase(client, 'amber ladder seven storks', second)
  await visible(refusal(client, /That is not the passphrase/))
  await changePassphrase(client, first, second)
  await client.page.getByText('The passphrase is changed.').waitFor({ timeout: 2 * patience }) // it is stretched twice
  await visible(heading(client, 'Recovery passphrase: set'))

  const fresh = await another(all, 'a new device')
  await visible(keysChip(fresh, /history locked/))
  await recoverWith(fresh, first)
  await visible(refusal(fresh, /That is not the passphrase/))
  await visible(thisDevice(fresh).getByText('It is new.'))
  await recoverWith(fresh, second)
  await visible(thisDevice(fresh).getByText('It holds your keys'))
  await openSession(fresh, all.id)
  await expectConversation(fresh, [said])
  await removePassphrase(fresh, all)
  await renewed(fresh, all)
}, patient)

// By the new device; the other one still holds everything.
async function removePassphrase(fresh: Seat, { clinic }: Talk): Promise<void> {
  await openDevices(fresh)
  await fresh.page.getByText('Change or remove it', { exact: true }).click()
  await button(fresh, 'Remove the recovery key').click()
  await button(fresh, 'Remove it').click()
  await visible(fresh.page.getByText('The recovery key is removed.'))
  await visible(heading(fresh, 'Recovery passphrase: not set'))
  await visible(keysChip(fresh, /history safe/))
  expect(await sql('select 1 from public.recovery_keys where user_id = $1', [clinic.client.id])).toEqual([])
}

// The client's first browser is removed on the other device: it says so, makes new keys, and reads again once it is let in.
async function renewed(other: Seat, { client, clinician, id }: Talk): Promise<void> {
  await devices(other).filter({ hasNotText: /this device|Recovery key/i }).getByRole('button', { name: /^Remove/ }).click()
  await button(other, 'Remove it').click()
  await visible(other.page.getByText('2 removed')) // with the recovery key

  await client.page.goto(`${consoleURL}#/sessions/${id}`)
  await client.page.reload()
  await visible(client.page.getByText('by you on another one or by your practice', { exact: false }))
  await visible(refusal(client, /This device was removed.*make new keys/))
  await openDevices(client)
  await visible(thisDevice(client).getByText('It was removed'))
  await button(client, 'Make new keys for this browser').click()
  const dialog = client.page.getByRole('dialog', { name: 'Make new keys, and drop the old ones?' })
  expect(await dialog.getByText('may be opened by this browser alone').count(), 'the other device holds all of it').toBe(0)
  await dialog.getByRole('button', { name: 'Make new keys' }).click()
  await visible(thisDevice(client).getByText('It is new.'))
  await visible(heading(client, 'Recovery passphrase: not set'))
  expect(await client.page.getByRole('form', { name: 'Use the recovery passphrase' }).count(), 'nothing is left that a passphrase could open').toBe(0)
  await openSession(client, id)
  await visible(client.page.getByText('cannot be read here'))
  await letIn(other, await codeOf(client))
  await visible(thisDevice(client).getByText('It holds your keys'))
  await openSession(client, id)
  await expectConversation(client, [said])
  await visible(consent(client).getByText('The device that you agreed with was removed'))
  await consent(client).getByRole('button', { name: 'I agree' }).click()
  await trustAll(client) // the other device, which came in by the passphrase alone
  await trustAll(clinician)
  await say(client, 'Here again.')
  await expectConversation(clinician, [said, 'Here again.'])
  await say(clinician, 'I see you.')
  await expectConversation(client, [said, 'Here again.', 'I see you.'])
}

const number = /^\d{5}( \d{5}){5}$/

// The number that somebody finds in the session, to be read to the other.
async function safetyOf(seat: Seat): Promise<string> {
  await seat.page.getByText('More', { exact: true }).click()
  await button(seat, 'Safety numbers').click()
  const dialog = seat.page.getByRole('dialog', { name: 'Safety numbers' })
  const digits = dialog.getByRole('definition')
  await expect.poll(() => digits.innerText()).toMatch(number)
  const found = await digits.innerText()
  await dialog.getByRole('button', { name: 'Close' }).click()
  await gone(dialog)
  return found
}

async function startAnew(seat: Seat): Promise<void> {
  await openDevices(seat)
  await seat.page.getByText('I have neither another device nor a recovery passphrase').click()
  await button(seat, 'Start anew on this device').click()
  const dialog = seat.page.getByRole('dialog', { name: 'Start anew, without your history?' })
  const go = dialog.getByRole('button', { name: 'Start anew' })
  expect(await go.isDisabled(), 'a press alone is too little').toBe(true)
  await dialog.getByLabel('To go on, type: history will be lost').fill('history will be lost')
  await go.click()
  await visible(thisDevice(seat).getByText('It holds your keys'))
}

it('who has lost everything starts anew: it says what is lost, the other is asked and compares a number, and the talk goes on', async () => {
  const all = await begun()
  const { client, clinician, id } = all
  await say(client, 'Said on the telephone that is lost.')
  await expectConversation(clinician, ['Said on the telephone that is lost.'])
  await client.page.context().close()

  const fresh = await another(all, 'a device that starts anew')
  await visible(keysChip(fresh, /history locked/))
  await startAnew(fresh)
  await visible(keysChip(fresh, /history lost/))
  await visible(fresh.page.getByText('Your earlier messages are lost'))
  await visible(fresh.page.getByText('1 removed'))
  await openSession(fresh, id)
  await visible(fresh.page.getByText('cannot be read here'))
  expect(await fresh.page.locator('body').innerText()).not.toContain('Said on the telephone')

  await visible(strangers(clinician).getByText('They say that they lost all their devices: none has confirmed it.', { exact: false }))
  await visible(consent(fresh).getByText('The device that you agreed with was removed'))
  await consent(fresh).getByRole('button', { name: 'I agree' }).click()
  await say(clinician, 'Is it you?')
  await visible(clinician.page.getByText('not sent yet; it goes by itself once this is settled'))
  const digits = strangers(clinician).locator('.digits')
  await expect.poll(() => digits.innerText()).toMatch(number)
  expect(await safetyOf(fresh), 'the same number at both ends').toBe(await digits.innerText())
  expect(await sql('select 1 from public.messages where session_id = $1', [id]), 'nothing is sent to somebody unchecked').toHaveLength(1)
  await strangers(clinician).getByRole('button', { name: 'It is right: trust it' }).click()
  await visible(strangers(clinician).getByRole('alert').filter({ hasText: 'Nothing confirms it.' }))
  const unsigned = strangers(clinician).getByRole('button', { name: 'I compared the number: trust it all the same' })
  await clinician.page.setViewportSize({ width: 375, height: 740 })
  const box = await unsigned.boundingBox()
  expect((box?.x ?? 0) + (box?.width ?? Infinity), 'all of it is on a telephone’s screen').toBeLessThanOrEqual(375)
  await clinician.page.setViewportSize({ width: 1280, height: 720 })
  await unsigned.click()
  await gone(strangers(clinician))

  await expectConversation(clinician, ['Said on the telephone that is lost.', 'Is it you?'])
  await say(fresh, 'It is. My telephone is gone.')
  await expectConversation(clinician, ['Said on the telephone that is lost.', 'Is it you?', 'It is. My telephone is gone.'])
  await expect.poll(async () => (await conversation(fresh)).map((one) => one.text).slice(1)).toEqual(['Is it you?', 'It is. My telephone is gone.'])
}, patient)
