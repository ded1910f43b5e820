// The tabs of one window, which can be looked away from and put to sleep. Playwright has every page believe that it is looked at, but
// for those of a browser that it found running; and a browser that it started as well would have two masters, who close each other's
// tabs. So this one is nobody else's.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { vi } from 'vitest'
import { order, type Order, type Path } from '../realtime/world.ts'
import { flags } from './seats.ts'
import { stack } from './stack.ts'

export class Tabs {
  private last: Promise<unknown> = Promise.resolve()

  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    private readonly browser: Browser,
    private readonly context: BrowserContext,
    private readonly other: Page,
  ) {}

  static async open(): Promise<Tabs> {
    const folder = mkdtempSync(join(tmpdir(), 'vigil-tabs-'))
    const process = spawn(stack.chromium, [...flags, '--remote-debugging-port=0', `--user-data-dir=${folder}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] })
    const browser = await chromium.connectOverCDP(await address(process), { noDefaults: true })
    const [context] = browser.contexts()
    if (context === undefined) throw new Error('the browser has no context of its own')
    return new Tabs(process, folder, browser, context, context.pages()[0] ?? (await context.newPage()))
  }

  async close(): Promise<void> {
    await this.browser.close() // the connection: the browser is ours to end
    if (this.process.kill()) await new Promise((resolve) => this.process.once('close', resolve))
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  // Runs something with a tab that can be frozen, one at a time.
  with(run: (page: Page) => Promise<void>): Promise<void> {
    const done = this.last.then(async () => {
      const page = await this.context.newPage()
      await page.exposeFunction('freeze', (server: string, orders: [Path, Order][]) => this.freeze(page, server, orders))
      await run(page)
      await page.close()
    })
    this.last = done.catch(() => undefined)
    return done
  }

  // Has its person look at another tab, puts it to sleep as Chromium does then, has the orders carried out, and wakes it.
  private async freeze(page: Page, server: string, orders: [Path, Order][]): Promise<void> {
    await page.evaluate(() => {
      document.addEventListener('freeze', () => { document.title = 'asleep' })
    })
    const devtools = await this.context.newCDPSession(page)
    await this.other.bringToFront()
    await seen(page, 'hidden')
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
    await vi.waitUntil(async () => (await page.title()) === 'asleep', { timeout: 10_000, interval: 10 })
    for (const [path, what] of orders) await order(server, path, what)
    await devtools.send('Page.setWebLifecycleState', { state: 'active' })
    await page.bringToFront() // the client does not connect again before somebody looks
    await seen(page, 'visible')
  }
}

async function seen(page: Page, how: DocumentVisibilityState): Promise<void> {
  await vi.waitUntil(async () => (await page.evaluate(() => document.visibilityState)) === how, { timeout: 10_000, interval: 10 })
}

async function address(process: ChildProcess): Promise<string> {
  if (process.stderr === null) throw new Error('the browser has no standard error')
  for await (const line of createInterface(process.stderr)) {
    const found = /^DevTools listening on (ws:.*)$/.exec(line)?.[1]
    if (found !== undefined) {
      process.stderr.resume() // what it says later is nobody's to read
      return found
    }
  }
  throw new Error('the browser ended before it said where it listens')
}
