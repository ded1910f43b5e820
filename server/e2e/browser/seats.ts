// People at their browsers: each browser a process of its own, each seat a context of its own. Whatever a page complains of (an
// error on its console, an exception, a breach of its policy) fails the test, unless the test said that it would come.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterEach, beforeAll, expect } from 'vitest'
import { sidecar, stack } from './stack.ts'

export const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

// How long anything on a screen may take, on a machine that others share.
export const patience = 15_000

export interface Seat {
  readonly name: string
  readonly page: Page
  // What went over its wires: each request with its body, each frame of a socket, both ways.
  readonly asked: string[]
  readonly sentFrames: string[]
  readonly heardFrames: string[]
  // Complaints that match are expected from now on. The undo makes them faults again.
  expecting(pattern: RegExp): () => void
}

export interface Seats {
  // Somebody sits down before a page of the console (hash) or of any other address. `at` numbers the browser; `script` runs in each
  // page before its own do.
  sit(name: string, at?: 0 | 1, options?: BrowserContextOptions & { url?: string; script?: string }): Promise<Seat>
}

interface Kept extends Seat {
  readonly told: string[]
  readonly faults: string[]
}

export const consoleURL = `${sidecar.url}/console/`

export async function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: stack.chromium, args: flags, headless: true })
}

// What one page says and does, from its beginning.
async function watched(name: string, page: Page): Promise<Kept> {
  const expected = new Set<RegExp>()
  const kept: Kept = {
    name, page,
    told: [], faults: [], asked: [], sentFrames: [], heardFrames: [],
    expecting: (pattern) => {
      expected.add(pattern)
      return () => expected.delete(pattern)
    },
  }
  const fault = (text: string): void => {
    kept.told.push(text)
    if (![...expected].some((pattern) => pattern.test(text))) kept.faults.push(`${name}: ${text}`)
  }
  page.setDefaultTimeout(patience)
  page.on('console', (message) => {
    const text = `${message.type()}: ${message.text()} (${message.location().url})`
    if (message.type() === 'error') fault(text)
    else kept.told.push(text)
  })
  page.on('pageerror', (error) => { fault(`exception: ${error.stack ?? error.message}`) })
  page.on('crash', () => { fault('the page crashed') })
  page.on('request', (request) => { kept.asked.push(`${request.method()} ${request.url()} ${request.postData() ?? ''}`) })
  page.on('websocket', (socket) => {
    socket.on('framesent', (frame) => kept.sentFrames.push(String(frame.payload)))
    socket.on('framereceived', (frame) => kept.heardFrames.push(String(frame.payload)))
  })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`the policy was breached: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  return kept
}

// Leaves what a person would want to see of a failure, and says where.
async function evidence(test: string, seats: readonly Kept[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'vigil-browser-failure-'))
  for (const [at, seat] of seats.entries()) {
    const own = join(folder, `${at}-${seat.name}`)
    mkdirSync(own)
    writeFileSync(join(own, 'console.txt'), [seat.page.url(), ...seat.told].join('\n'))
    writeFileSync(join(own, 'frames.txt'), seat.heardFrames.join('\n'))
    try {
      await seat.page.screenshot({ path: join(own, 'screen.png'), fullPage: true, timeout: 5000 })
      writeFileSync(join(own, 'screen.yaml'), await seat.page.locator('body').ariaSnapshot({ timeout: 5000 }))
    } catch (cause) {
      writeFileSync(join(own, 'no-screen.txt'), String(cause))
    }
  }
  if (existsSync(sidecar.log)) copyFileSync(sidecar.log, join(folder, 'sidecar.log'))
  console.error(`what was on the screens when "${test}" failed: ${folder}`)
}

// The two browsers of all files, which run in one process: a context is as good as new, and a browser is long to start. They end with
// the process.
const shared: Browser[] = []

async function browsers(): Promise<void> {
  await Promise.all([0, 1].map(async (at) => {
    if (shared[at]?.isConnected() !== true) shared[at] = await launch()
  }))
}

export function withBrowsers(): Seats {
  const seats: Kept[] = []

  beforeAll(browsers)
  afterEach(async ({ task }) => {
    const used = seats.splice(0)
    const faults = used.flatMap((seat) => seat.faults)
    if (task.result?.state === 'fail' || faults.length > 0) await evidence(task.name, used)
    await Promise.all(used.map((seat) => seat.page.context().close()))
    expect(faults).toEqual([])
  })

  return {
    sit: async (name, at = 0, { url = consoleURL, script, ...options } = {}) => {
      const browser = shared[at]
      if (browser === undefined) throw new Error(`browser ${at} was not started`)
      const context = await browser.newContext({ reducedMotion: 'reduce', locale: 'en-GB', ...options })
      const seat = await watched(name, await context.newPage())
      seats.push(seat)
      if (script !== undefined) await seat.page.addInitScript({ content: script })
      await seat.page.goto(url)
      return seat
    },
  }
}
