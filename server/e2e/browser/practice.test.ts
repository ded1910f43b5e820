// What a practice decides and does: the words that its clients agree to, and the end of all that it keeps of somebody.
import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { expectAbsent } from '../path/canary.ts'
import { schedule } from '../path/people.ts'
import { openDevices, setPassphrase } from './devices.ts'
import { clinic, password, signIn, sql, staff, talk } from './people.ts'
import { button, consent, expectConversation, fillSignIn, heading, openSession, prove, say, visible } from './screens.ts'
import { withBrowsers, type Seat } from './seats.ts'
import { sidecar, stack, withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const patient = 120_000

const texts = (seat: Seat) => seat.page.getByRole('list', { name: 'Texts that clients agree to' }).getByRole('listitem')

async function publish(seat: Seat, text: string): Promise<void> {
  await seat.page.getByLabel('They agree').selectOption({ label: 'to be watched over' })
  await seat.page.getByLabel('In these words').fill(text)
  await button(seat, 'Publish').click()
  await visible(texts(seat).filter({ hasText: text.split('\n')[0] ?? text }))
}

it('an administrator publishes a text, and another version: clients are shown the newest word for word, and sign its hash', async () => {
  const people = await clinic()
  const ada = await staff(people.organization, 'admin', 'Ada')
  const [admin, client] = await Promise.all([seats.sit('admin', 1), seats.sit('client', 0)])
  await fillSignIn(admin, ada.email, password)
  await visible(heading(admin, 'Second factor'))
  await prove(admin, ada.secret)
  await visible(heading(admin, 'Practice'))
  await visible(admin.page.getByText('The console’s own words are used.'))
  const former = 'I agree that a machine of the practice reads along. It was said so to me.'
  const text = `I agree that a machine reads along – “Wächter” is its name – as I write.\nI can take this back; case ${randomUUID()}.`
  await publish(admin, former)
  await visible(admin.page.getByText('to be watched over (version 1, shown to clients)'))
  await publish(admin, text)
  await visible(admin.page.getByText('to be watched over (version 2, shown to clients)'))
  await visible(admin.page.getByText('to be watched over (version 1, a newer one is shown)'))
  const { id } = await schedule(people, 'assisted')
  const clinician = await seats.sit('clinician', 1)
  await Promise.all([signIn(client, people.client), signIn(clinician, people.therapist)])
  await Promise.all([openSession(client, id), openSession(clinician, id)])
  await button(clinician, 'Start the session').click()

  await visible(consent(client).getByRole('button', { name: 'I agree' }))
  expect(await consent(client).locator('q').textContent()).toBe(text)
  expect(await consent(client).locator('q').innerText(), 'with its lines').toBe(text)
  await consent(client).getByRole('button', { name: 'I agree' }).click()
  await visible(client.page.getByText('You agreed to be watched over'))
  const hash = createHash('sha256').update(text, 'utf8').digest('base64url')
  expect(await sql('select text_hash from public.session_consents where session_id = $1', [id])).toEqual([{ text_hash: hash }])
  expect(await sql('select text_hash, version from public.consent_texts where organization_id = $1 order by version desc limit 1', [people.organization]))
    .toEqual([{ text_hash: hash, version: 2 }])
}, patient)

const erasures = (seat: Seat) => seat.page.getByRole('list', { name: 'Erasures' }).getByRole('listitem')

// Of all that was a person's, and of the session that was a part of it.
async function receipts(seat: Seat): Promise<void> {
  const whole = erasures(seat).filter({ hasText: 'All of a person' })
  await visible(whole.getByText('done', { exact: true }))
  await visible(whole.getByText(/^Receipt [0-9a-f-]{36}; audit entry \d+, hash [\w-]{43}$/))
  await visible(whole.getByText(/ 1 message,/))
  await visible(erasures(seat).filter({ hasText: 'A session' }).getByText('done', { exact: true }))
}

it('somebody has all of theirs erased: asked for on screen, carried out, with a receipt; and nothing opens at the other end', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  const word = `canary${randomUUID().replaceAll('-', '')}`
  await say(client, `This is mine. ${word}`)
  await expectConversation(clinician, [`This is mine. ${word}`])
  await setPassphrase(client, `seven kettles ${word}`)
  await client.page.getByLabel('Number or address').fill('+00 000 000 000')
  await button(client, 'Keep').click()
  await visible(client.page.getByText('Phone: +00 000 000 000'))

  await button(client, 'Have all of mine erased').click()
  const dialog = client.page.getByRole('dialog', { name: 'Have everything erased?' })
  await dialog.getByRole('button', { name: 'Ask for it' }).click()
  await visible(erasures(client).getByText('asked for', { exact: true }))
  await openDevices(clinician)
  const command = (await erasures(clinician).locator('.code').innerText()).split(' ') // what the staff hands to the operator
  expect(command).toEqual(['vigil', 'erase', 'person', people.organization, people.client.id])
  await openSession(clinician, id)
  await expectConversation(clinician, [`This is mine. ${word}`]) // nothing is gone before somebody does it

  for (const seat of [client, clinician]) seat.expecting(/status of 40\d|WebSocket/)
  const receipt: unknown = JSON.parse(execFileSync(stack.binary, command.slice(1), { cwd: stack.folder, env: stack.env, encoding: 'utf8' }))
  expect(receipt).toMatchObject({ kind: 'person', status: 'done' })
  await visible(clinician.page.getByText('Its keys are gone: nobody can read it any more.'))
  await expectConversation(clinician, [])
  expect(await clinician.page.content(), 'nor in what was read out').not.toContain(word)
  await client.page.evaluate(() => window.dispatchEvent(new Event('online'))) // as when one comes back to the page: not after its next look
  await receipts(client)
  await visible(client.page.getByText('You belong to no practice: no keys of yours are in use here.'))
  for (const table of ['devices', 'recovery_keys', 'profiles', 'contact_points']) {
    expect(await sql(`select 1 from public.${table} where user_id = $1`, [people.client.id]), table).toEqual([])
  }
  for (const table of ['messages', 'session_epochs', 'epoch_wraps', 'session_consents', 'assessments']) {
    expect(await sql(`select 1 from public.${table} where session_id = $1`, [id]), table).toEqual([])
  }

  await client.page.reload()
  await receipts(client)
  await openDevices(clinician)
  await receipts(clinician)
  expectAbsent(word, 'the log', [readFileSync(sidecar.log, 'utf8')])
}, patient)
