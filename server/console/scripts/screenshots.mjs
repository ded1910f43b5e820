// Takes the screenshots of README.md anew, of the stack that runs it: go tool task console:screenshots. It plays a client and
// their therapist in two browsers, through the screens alone. CHROMIUM names another browser than /usr/bin/chromium.
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const { chromium } = createRequire(new URL('../../e2e/package.json', import.meta.url))('playwright-core')
const base = `${process.env.VIGIL_URL}/console/`
const folder = fileURLToPath(new URL('../screenshots/', import.meta.url))
const password = 'demo-password' // everybody's in sql/seed/demo.sql
const session = '#/sessions/d0000000-0000-4000-8000-0000000000b1'

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, reducedMotion: 'reduce', locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  page.on('pageerror', (error) => { console.log(`a page threw: ${error.message}`) })
  return page
}

async function signIn(page, who) {
  await page.goto(base)
  await page.getByLabel('E-mail').fill(`${who}@demo.test`)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('heading', { name: 'Sessions', exact: true }).waitFor()
  await page.getByRole('list', { name: 'Your sessions' }).getByRole('link').first().waitFor()
}

async function enter(page) {
  await page.goto(base + session)
  await page.getByRole('heading', { name: /^Session with/ }).waitFor()
  await page.getByRole('status', { name: /^Channel: connected/ }).waitFor()
}

async function say(page, text) {
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.getByRole('button', { name: 'Send', exact: true }).click()
}

const heard = (page, text) => page.getByRole('log', { name: 'Messages' }).getByText(text).waitFor()
const shot = (page, name) => page.screenshot({ path: `${folder}${name}.png`, animations: 'disabled' })

mkdirSync(folder, { recursive: true })

async function takeSession() {
  const [clio, theo, stranger] = await Promise.all([open(), open(), open()])
  await stranger.goto(base)
  await stranger.getByRole('heading', { name: 'Sign in' }).waitFor()
  await shot(stranger, 'sign-in')
  await signIn(clio, 'clio')
  await signIn(theo, 'theo')
  await enter(clio)
  await enter(theo)
  await theo.getByText('Clio (client) is here').waitFor()
  await theo.getByRole('button', { name: 'Start the session' }).click()
  await clio.getByRole('button', { name: 'I agree' }).click()
  await say(clio, 'I have not slept well since we talked about work.')
  await heard(theo, 'I have not slept well')
  await say(theo, 'Thank you for telling me. What keeps you awake?')
  await heard(clio, 'What keeps you awake?')
  await say(clio, 'Everything feels hopeless. I have the pills here and I am going to kill myself tonight.')
  await theo.getByRole('article', { name: /^Alert:/ }).waitFor()
  await theo.getByRole('button', { name: 'Put into the composer' }).first().waitFor()
  await shot(theo, 'clinician')
  await theo.emulateMedia({ colorScheme: 'dark' })
  await theo.getByRole('button', { name: 'Put into the composer' }).first().click()
  await shot(theo, 'clinician-dark')
  await theo.setViewportSize({ width: 375, height: 760 })
  await theo.getByRole('button', { name: /^Care/ }).click()
  await shot(theo, 'clinician-phone')
  await shot(clio, 'client')
  await clio.setViewportSize({ width: 375, height: 760 })
  await shot(clio, 'client-phone')
  await takeDevices(clio)
}

// A second device comes, waits with its code, and is let in by the first.
async function takeDevices(clio) {
  const second = await open({ viewport: { width: 375, height: 760 } })
  await signIn(second, 'clio')
  await second.goto(`${base}#/devices`)
  const code = await second.getByTestId('device-code').innerText()
  await shot(second, 'device-waits-phone')
  await clio.setViewportSize({ width: 1180, height: 760 })
  await clio.goto(`${base}#/devices`)
  await clio.getByLabel('The code that the new device shows').fill(code.trim())
  await clio.getByRole('button', { name: 'Let it in' }).click()
  await clio.getByText('The device is let in, and is given your history.').waitFor()
  await shot(clio, 'devices')
}

async function takeDemo() {
  const { demo } = await (await fetch(`${base}config.json`)).json()
  if (demo === null) throw new Error('there is no demo here: start `go tool task dev` and set VIGIL_URL to its sidecar')
  const page = await open()
  await page.goto(demo.url)
  await page.getByRole('button', { name: /^Start/ }).click()
  await page.getByRole('list', { name: 'Alerts by level' }).waitFor()
  await page.getByRole('button', { name: 'Pull the plug' }).click()
  await page.getByRole('log', { name: 'Story' }).getByText('The sidecar is back').first().waitFor()
  await page.getByRole('region', { name: 'Counters' }).getByText('all level').waitFor({ timeout: 300_000 })
  await shot(page, 'demo')
}

// With the word "demo": of the demo's page, where a development stack serves one.
await (process.argv[2] === 'demo' ? takeDemo() : takeSession())
await browser.close()
