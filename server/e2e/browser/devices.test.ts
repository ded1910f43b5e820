// Devices that come, wait, are let in and are removed; and what somebody with only a password, or only a passphrase, can do.
import { chromium, type BrowserContext } from 'playwright-core'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { checked } from '../path/people.ts'
import { mailTo, password, project, stranger } from '../standin/project.ts'
import { codeOf, devices, keysChip, letIn, openDevices, races, recoverWith, setPassphrase, strangers, thisDevice, trustAll } from './devices.ts'
import { clinic, signIn, sql, talk } from './people.ts'
import { button, composer, expectConversation, fillSignIn, heading, openSession, refusal, say, visible } from './screens.ts'
import { consoleURL, flags, patience, withBrowsers } from './seats.ts'
import { stack, withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const patient = 120_000

it('somebody who has only the password gets nothing: the device waits, a wrong code is refused, and it can be removed', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  await say(client, 'This is for Theo.')
  await expectConversation(clinician, ['This is for Theo.'])
  const thief = await seats.sit('somebody with the password', 0)
  await signIn(thief, people.client)
  await visible(thief.page.getByText('This device waits to be let in'))
  await openSession(thief, id)
  await visible(thief.page.getByText('cannot be read here'))
  expect(await thief.page.locator('body').innerText()).not.toContain('This is for Theo')
  await composer(thief).fill('It is me, truly.')
  await button(thief, 'Send').click()
  await visible(thief.page.getByText('This device waits to be let in', { exact: false }).nth(1))
  expect(await sql('select 1 from public.messages where session_id = $1 and sender_device_id in (select id from public.devices where admitted_at is null)', [id])).toEqual([])
  const code = await codeOf(thief)

  await letIn(client, 'AAAA-BBBB-CCCC')
  await visible(refusal(client, /./).first())
  expect(code).not.toBe('AAAA-BBBB-CCCC')
  await visible(client.page.getByText('A device of yours waits.'))
  await devices(client).filter({ hasText: 'waits to be let in' }).getByRole('button', { name: /^Remove/ }).click()
  await button(client, 'Remove it').click()
  await visible(client.page.getByText('1 removed'))
  await openDevices(thief)
  await visible(thisDevice(thief).getByText('It was removed'))
  expect(await strangers(clinician).count(), 'nobody is asked about a device that never came in').toBe(0)
  await openSession(client, id)
  await say(client, 'Still here.')
  await expectConversation(clinician, ['This is for Theo.', 'Still here.'])
}, patient)

it('the password is reset by mail, which changes nothing of the keys; the passphrase brings the history, a wrong one nothing', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  await say(client, 'Before the reset.')
  await expectConversation(clinician, ['Before the reset.'])
  const passphrase = 'copper lantern under seven bridges'
  await setPassphrase(client, passphrase)

  const anybody = stranger()
  const { error } = await anybody.auth.resetPasswordForEmail(people.client.email)
  expect(error).toBeNull()
  const { token_hash } = await mailTo(people.client.email)
  checked(await anybody.auth.verifyOtp({ token_hash, type: 'recovery' }))
  const another = `${password} and more`
  expect((await anybody.auth.updateUser({ password: another })).error).toBeNull()
  await client.page.context().close()

  const fresh = await seats.sit('a new telephone', 0, { viewport: { width: 375, height: 740 } })
  fresh.expecting(races)
  await fillSignIn(fresh, people.client.email, another)
  await visible(heading(fresh, 'Sessions'))
  await visible(keysChip(fresh, /history locked/))
  await recoverWith(fresh, 'copper lantern under six bridges')
  await visible(refusal(fresh, /./).first())
  await visible(thisDevice(fresh).getByText('It is new.'))
  await recoverWith(fresh, passphrase)
  await visible(thisDevice(fresh).getByText('It holds your keys'))
  await openSession(fresh, id)
  await expectConversation(fresh, ['Before the reset.'])
  await trustAll(clinician)
  await say(fresh, 'From the new telephone.')
  await expectConversation(clinician, ['Before the reset.', 'From the new telephone.'])
  const typed = [...fresh.asked, ...fresh.sentFrames, ...client.asked].join('\n')
  expect(typed).not.toContain('copper lantern')
}, patient)

let persistent: BrowserContext | undefined
let profile: string | undefined
afterEach(async () => {
  await persistent?.close()
  if (profile !== undefined) rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  persistent = profile = undefined
})

async function started(folder: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(folder, { executablePath: stack.chromium, args: flags, headless: true, locale: 'en-GB', reducedMotion: 'reduce' })
}

// What a script of the page would try, to take the device's private keys out.
async function takeOut(): Promise<string[]> {
  const asked = <T>(request: IDBRequest<T>): Promise<T> => new Promise((resolve, reject) => {
    request.onsuccess = () => { resolve(request.result) }
    request.onerror = () => { reject(request.error ?? new Error('IndexedDB did not answer')) }
  })
  const keys: CryptoKey[] = []
  const find = (value: unknown): void => {
    if (value instanceof CryptoKey) {
      if (value.type !== 'public') keys.push(value)
    } else if (Array.isArray(value)) value.forEach(find)
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(find)
  }
  for (const { name = '' } of await indexedDB.databases()) {
    const database = await asked(indexedDB.open(name))
    for (const store of database.objectStoreNames) find(await asked(database.transaction(store).objectStore(store).getAll()))
    database.close()
  }
  const wrapping = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['wrapKey', 'encrypt'])
  const outcomes = [`${keys.length} keys`]
  const attempt = async (how: string, work: () => unknown): Promise<void> => {
    try {
      const got = await work()
      outcomes.push(`${how}: ${JSON.stringify(got)}`)
    } catch (thrown) {
      outcomes.push(`${how}: ${thrown instanceof DOMException ? thrown.name : String(thrown)}`)
    }
  }
  for (const key of keys) {
    for (const format of ['pkcs8', 'jwk', 'raw'] as const) await attempt(`export ${format}`, () => crypto.subtle.exportKey(format as 'jwk', key))
    await attempt('wrap', () => crypto.subtle.wrapKey('pkcs8', key, wrapping, { name: 'AES-GCM', iv: new Uint8Array(12) }))
    await attempt('text', () => JSON.stringify(structuredClone(key)))
    await attempt('blob', async () => (await new Blob([Object.prototype.toString.call(structuredClone(key))]).text()))
  }
  return outcomes
}

it('keys survive a restart of the browser, and no script can take them out', async () => {
  const people = await clinic()
  profile = mkdtempSync(join(tmpdir(), 'vigil-profile-'))
  const own = async (): Promise<string> => {
    persistent = await started(profile ?? '')
    const page = persistent.pages()[0] ?? (await persistent.newPage())
    page.setDefaultTimeout(patience)
    await page.goto(consoleURL)
    const seat = { name: 'client', page, asked: [], sentFrames: [], heardFrames: [], expecting: () => () => undefined }
    await signIn(seat, people.client)
    await openDevices(seat)
    await visible(thisDevice(seat).getByText('It holds your keys'))
    return (await thisDevice(seat).locator('.digits').innerText()).trim()
  }
  const first = await own()
  const page = persistent?.pages()[0]
  const outcomes = (await page?.evaluate(takeOut)) ?? []
  expect(outcomes[0]).toBe('2 keys')
  for (const outcome of outcomes.slice(1)) expect(outcome).toMatch(/^(export \w+|wrap): (InvalidAccessError|NotSupportedError|OperationError)$|^text: "\{\}"$|^blob: "\[object CryptoKey\]"$/)
  expect(outcomes).toHaveLength(1 + 2 * 6)
  await persistent?.close()
  expect(await own(), 'the number of the device').toBe(first)
  const [{ rows } = { rows: 0 }] = await sql('select count(*)::int as rows from public.devices where user_id = $1', [people.client.id])
  expect(rows).toBe(1)
  expect(project.url).toBeTruthy()
}, patient)

it('a third seat, as wide as a telephone, talks with the other two', async () => {
  const { id, clinic: people, client, clinician } = await talk(seats)
  for (const seat of [client, clinician]) seat.expecting(races)
  await say(client, 'From my desk.')
  await expectConversation(clinician, ['From my desk.'])
  const phone = await seats.sit('telephone', 1, { viewport: { width: 375, height: 740 }, hasTouch: true, isMobile: true })
  phone.expecting(races)
  await signIn(phone, people.client)
  await letIn(client, await codeOf(phone))
  await visible(thisDevice(phone).getByText('It holds your keys'))
  await openSession(phone, id)
  await openSession(client, id)
  await trustAll(clinician)
  await say(phone, 'From the tram.')
  await expectConversation(clinician, ['From my desk.', 'From the tram.'])
  await say(clinician, 'Get home safely.')
  for (const seat of [client, clinician, phone]) await expectConversation(seat, ['From my desk.', 'From the tram.', 'Get home safely.'])
  const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth)
  expect(wide, 'nothing is wider than the screen').toBeLessThanOrEqual(375)
}, patient)
