// What a newcomer does first: the real `dev` command on free ports, its page, "Start the demo", "Pull the plug"; and in the end the
// counters are level, with nothing missing and nothing doubled.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { axe, expectAccessible } from './axe.ts'
import { button, heading, visible } from './screens.ts'
import { withBrowsers, type Seat } from './seats.ts'
import { stack } from './stack.ts'

const seats = withBrowsers()

// A quarter of a minute of talk, which the plug is pulled in the midst of.
const played = { speed: 25, conversations: 10 }
const playedWithin = 60_000

let dev: ChildProcess
let page: string

// The variables of this run's own stack are none of the demo's business.
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VIGIL|SUPABASE|DATABASE|NODE_ENV|NATS)/.test(name)))
}

beforeAll(async () => {
  const binary = join(stack.folder, 'dev')
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './server/standin/dev'], { cwd: stack.root, stdio: 'inherit' })
  dev = spawn(binary, ['-throwaway'], { cwd: stack.root, env: plainEnvironment(), stdio: ['ignore', 'pipe', 'inherit'] })
  const child = dev
  process.once('exit', () => child.kill('SIGKILL'))
  const said: string[] = []
  page = await new Promise<string>((resolve, reject) => {
    if (child.stdout === null) throw new Error('dev has no output')
    createInterface(child.stdout).on('line', (line) => {
      said.push(line)
      const found = /^\s*the demo\s+(http:\S+)/.exec(line)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', (code) => { reject(new Error(`dev ended with ${code ?? 'a signal'}:\n${said.join('\n')}`)) })
  })
}, 120_000)

afterAll(async () => {
  if (dev.exitCode !== null || dev.signalCode !== null) return
  const ended = new Promise<number | null>((resolve) => dev.once('exit', resolve))
  dev.kill('SIGINT')
  expect(await ended, 'Ctrl-C ends it well').toBe(0)
})

async function counter(seat: Seat, name: string): Promise<number> {
  const value = seat.page.getByRole('region', { name: 'Counters' }).getByRole('term').filter({ hasText: new RegExp(`^${name}`) }).locator('xpath=following-sibling::dd')
  return Number(await value.innerText())
}

it('starts, has its plug pulled in the middle, and ends level', async () => {
  const seat = await seats.sit('newcomer', 0, { url: page, script: axe })
  await seat.page.route('**/api/start', (route) => route.continue({ postData: JSON.stringify(played) }))
  await visible(seat.page.getByText('The sidecar is up'))
  await expectAccessible(seat, 'the demo, before it starts')
  await button(seat, 'Start the demo').click()
  await visible(button(seat, 'The demo runs'))
  await seat.page.waitForFunction(() => {
    const progress = document.querySelector('progress')
    return progress !== null && progress.max > 1 && progress.value > progress.max / 4
  }, undefined, { timeout: playedWithin })
  await button(seat, 'Pull the plug').click()
  await visible(seat.page.getByText('The sidecar is dead'))
  await visible(seat.page.getByText('killed once'))
  await visible(seat.page.getByText('The sidecar is up'))
  await button(seat, 'Start it again').waitFor({ timeout: playedWithin })
  await seat.page.getByText('all level').waitFor({ timeout: playedWithin })

  const [written, assessed, relayed, missing, doubled] = await Promise.all(['written', 'assessed', 'relayed', 'missing', 'doubled'].map((name) => counter(seat, name)))
  expect(written).toBeGreaterThan(20)
  expect({ assessed, relayed, missing, doubled }).toEqual({ assessed: written, relayed: written, missing: 0, doubled: 0 })
  const progress = await seat.page.locator('progress').evaluate((bar) => (bar instanceof HTMLProgressElement ? [bar.value, bar.max] : []))
  expect(progress).toEqual([written, written])
  expect(await seat.page.getByRole('list', { name: 'Alerts by level' }).getByRole('listitem').count()).toBeGreaterThan(0)
  await expectAccessible(seat, 'the demo, when it is over')
}, 2 * playedWithin)

it('lets one be Clio with two presses', async () => {
  const seat = await seats.sit('newcomer', 0, { url: page, script: axe })
  const link = await seat.page.getByRole('link', { name: /^Open as Clio/ }).getAttribute('href')
  const clio = await seats.sit('Clio', 0, { url: link ?? '' })
  await button(clio, 'Sign in').click()
  await visible(heading(clio, 'Sessions'))
  await visible(clio.page.getByRole('list', { name: 'Your sessions' }).getByRole('link', { name: /Theo/ }).first())
  expect(clio.page.url()).not.toContain('demo-password')
})
