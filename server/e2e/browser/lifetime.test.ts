// A life with the keys: from signing up, over devices that are gained and lost, to the session's end in every place it was. This is what
// the issue on end-to-end encryption calls done.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { expectAbsent } from '../path/canary.ts'
import { checked, schedule } from '../path/people.ts'
import { mailTo, password, project, stranger, type Person } from '../standin/project.ts'
import { admit, codeOf, devices, keysChip, openDevices, races, recoverWith, setPassphrase, strangers, thisDevice, trustAll } from './devices.ts'
import { clinic, signIn, sql } from './people.ts'
import { button, composer, consent, expectConversation, gone, heading, openSession, say, visible } from './screens.ts'
import { withBrowsers, type Seat } from './seats.ts'
import { sidecar, stack, withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const patient = 180_000

// Somebody signs up by themselves, confirms the address with what is mailed, and is taken in by the practice.
async function signUp(organization: string, name: string): Promise<Person> {
  const email = `person-${randomUUID()}@example.test`
  const client = stranger()
  checked(await client.auth.signUp({ email, password }))
  const { token_hash } = await mailTo(email)
  const { user } = checked(await client.auth.verifyOtp({ token_hash, type: 'email' }))
  if (user === null) throw new Error('the address is not confirmed')
  await sql("insert into public.memberships (organization_id, user_id, role) values ($1, $2, 'client')", [organization, user.id])
  await sql('insert into public.profiles (user_id, display_name) values ($1, $2)', [user.id, name])
  return { id: user.id, email, client }
}

// The number of the epoch that was made last, and the roles of the devices that hold its key.
async function newest(id: string): Promise<{ epoch: number; roles: number[] }> {
  const found = await sql(
    'select epoch, array_agg(distinct role::int order by role::int) as roles from public.epoch_wraps where session_id = $1 group by epoch order by epoch desc limit 1', [id],
  )
  return { epoch: Number(found[0]?.['epoch']), roles: (found[0]?.['roles'] ?? []) as number[] }
}

async function signInAt(name: string, who: Person, at: 0 | 1 = 0): Promise<Seat> {
  const seat = await seats.sit(name, at)
  seat.expecting(races)
  await signIn(seat, who)
  return seat
}

interface Story { id: string; client: Person; clinician: Seat; first: Seat; said: string[] }

const word = `canary${randomUUID().replaceAll('-', '')}`
const passphrase = `violet anchor ${word} teapot`

async function begun(): Promise<Story> {
  const people = await clinic()
  const client = await signUp(people.organization, 'Clea')
  const { id } = await schedule({ ...people, client }, 'assisted')
  const [first, clinician] = await Promise.all([signInAt('first device', client), seats.sit('clinician', 1)])
  clinician.expecting(races)
  await signIn(clinician, people.therapist)
  await Promise.all([openSession(first, id), openSession(clinician, id)])
  await button(clinician, 'Start the session').click()
  await consent(first).getByRole('button', { name: 'I agree' }).click()
  await Promise.all([visible(composer(first)), visible(composer(clinician))])
  return { id, client, clinician, first, said: [] }
}

async function speak(story: Story, from: Seat, text: string, seen: readonly Seat[]): Promise<void> {
  await say(from, text)
  story.said.push(text)
  for (const seat of seen) await expectConversation(seat, story.said)
}

// Without the analysis key, as after a withdrawal.
const analysis = 9

it('sign up, device, consent, chat, a second device, the first lost, recovery, withdrawal, rotation, erasure', async () => {
  const story = await begun()
  const { id, client, clinician, first } = story
  await speak(story, first, `I slept badly. ${word}`, [first, clinician])
  await speak(story, clinician, 'I am here. What kept you awake?', [first, clinician])
  await visible(keysChip(first, /history only here/))

  // A second device knows nothing until the first has let it in by its code.
  const second = await signInAt('second device', client)
  await visible(second.page.getByText('This device waits to be let in'))
  await admit(second, first)
  await openSession(second, id)
  await expectConversation(second, story.said)
  await trustAll(clinician)
  await openSession(first, id)
  await speak(story, clinician, 'I see your new device.', [first, second, clinician])
  await speak(story, second, 'This is it.', [first, second, clinician])
  await setPassphrase(second, passphrase)
  await visible(keysChip(second, /history safe/))

  // The first is lost, and removed from the second; what is sent then, it cannot read.
  const before = await newest(id)
  await first.page.context().close()
  await openDevices(second)
  await devices(second).filter({ hasNotText: /this device|Recovery key/i }).getByRole('button', { name: /^Remove/ }).click()
  await button(second, 'Remove it').click()
  await visible(second.page.getByText('1 removed'))
  await openSession(second, id)
  await visible(consent(second).getByText('The device that you agreed with was removed'))
  await consent(second).getByRole('button', { name: 'I agree' }).click()
  await speak(story, second, 'I have lost my telephone.', [second, clinician])
  expect((await newest(id)).epoch, 'a removed device ends the epoch').toBeGreaterThan(before.epoch)

  // The second is lost too: the passphrase brings all of it to a third.
  await second.page.context().close()
  const third = await signInAt('third device', client)
  await visible(keysChip(third, /history locked/))
  await codeOf(third)
  await recoverWith(third, passphrase)
  await visible(thisDevice(third).getByText('It holds your keys'))
  await openSession(third, id)
  await expectConversation(third, story.said)
  await trustAll(clinician)
  await speak(story, third, 'I am back.', [third, clinician])
  const watched = await newest(id)
  expect(watched.roles).toContain(analysis)

  // Consent is withdrawn with one press, and the talk goes on without the detector's key.
  await consent(third).getByRole('button', { name: 'Withdraw, go on privately' }).click()
  await visible(third.page.getByText('Private.', { exact: true }))
  await visible(clinician.page.getByText('This session is private now.'))
  await clinician.page.getByRole('button', { name: 'I have seen it' }).click()
  await speak(story, third, 'Only you read this.', [third, clinician])
  const unwatched = await newest(id)
  expect(unwatched.epoch).toBeGreaterThan(watched.epoch)
  expect(unwatched.roles).not.toContain(analysis)
  const last = clinician.page.getByRole('article').filter({ hasText: 'Only you read this.' })
  await visible(last.getByText('private: Vigil holds no key to it'))
  expect(await last.innerText()).not.toContain('Vigil’s detector')

  await erased(story, third)
}, patient)

const derived = ['messages', 'session_epochs', 'epoch_wraps', 'epoch_readers', 'session_consents', 'assessments', 'alerts', 'suggestions', 'message_scores', 'attachments']

// The client asks, the operator does it, and nobody has anything left: no row, no key, nothing on a screen.
async function erased(story: Story, client: Seat): Promise<void> {
  const { id, clinician } = story
  await client.page.getByText('More', { exact: true }).click()
  await button(client, 'Have it erased').click()
  await button(client, 'Ask for it').click()
  await visible(client.page.getByText('You asked for this session to be erased.'))
  const wires = [client, clinician].flatMap((seat) => [...seat.asked, ...seat.sentFrames, ...seat.heardFrames])
  expectAbsent(word, 'a wire', wires)
  await nothingOf(word) // while all of it is still there
  for (const seat of [client, clinician]) seat.expecting(/status of 40\d/)
  const receipt: unknown = JSON.parse(execFileSync(stack.binary, ['erase', 'session', id], { cwd: stack.folder, env: stack.env, encoding: 'utf8' }))
  expect(receipt).toMatchObject({ kind: 'session', session_id: id, status: 'done' })
  for (const seat of [client, clinician]) {
    await visible(seat.page.getByText('Its keys are gone: nobody can read it any more.'))
    await expectConversation(seat, [])
  }
  for (const table of derived) {
    const [left] = await sql(`select count(*)::int as rows from public.${table} where session_id = $1`, [id])
    expect(left, table).toEqual({ rows: 0 })
  }
  await openDevices(client)
  await visible(client.page.getByRole('list', { name: 'Erasures' }).getByText('done', { exact: true }))
  await clinician.page.reload()
  await gone(clinician.page.getByRole('log', { name: 'Messages' }))
  expectAbsent(word, 'the log', [readFileSync(sidecar.log, 'utf8')])
  await nothingOf(word)
  expect(project.standin).toBeDefined()
  expect(await strangers(clinician).count()).toBe(0)
  await visible(heading(clinician, 'Session'))
}

// No table of the project holds a word, in any column.
async function nothingOf(secret: string): Promise<void> {
  const tables = await sql("select format('%I.%I', table_schema, table_name) as name from information_schema.tables where table_schema in ('public', 'private', 'storage') and table_type = 'BASE TABLE'")
  for (const { name } of tables) {
    const found = await sql(`select count(*)::int as rows from ${String(name)} t where position($1 in to_jsonb(t)::text) > 0`, [secret])
    expect(found, String(name)).toEqual([{ rows: 0 }])
  }
}
