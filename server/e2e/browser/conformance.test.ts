// What unmodified clients see in Chromium: the behaviours of ../realtime, in pages.
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import { freeAddress } from '../path/process.ts'
import type { Behaviour } from '../realtime/behaviour.ts'
import { Echo } from '../realtime/echo.ts'
import { behaviours, nameOf, seatsAt } from '../realtime/table.ts'
import { order, type Order, type Path, type Seat } from '../realtime/world.ts'
import { launch } from './seats.ts'

// Chromium makes a process wait that opens more than ten WebSockets at once.
const atOnce = 8

let echo: Echo
let browser: Browser
let tabs: Tabs
let script: string

beforeAll(async () => {
  const address = await freeAddress()
  ;[echo, browser, script] = await Promise.all([Echo.start(), launch(`--remote-debugging-port=${address.replace(/^.*:/, '')}`), bundle()])
  tabs = await Tabs.find(`http://${address}`)
})
afterAll(async () => {
  await browser.close()
  await echo.stop()
})

// Playwright has every page believe that it is looked at, but for those of a browser that it found running: these, one at a time,
// are tabs of its only window.
class Tabs {
  private last: Promise<unknown> = Promise.resolve()

  private constructor(
    private readonly context: BrowserContext,
    private readonly other: Page,
  ) {}

  static async find(address: string): Promise<Tabs> {
    const found = await chromium.connectOverCDP(address, { noDefaults: true })
    const [context] = found.contexts()
    if (context === undefined) throw new Error('the browser has no context of its own')
    return new Tabs(context, await context.newPage())
  }

  // Runs something with a tab that can be frozen.
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
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
    await vi.waitUntil(async () => (await page.title()) === 'asleep', { timeout: 10_000, interval: 10 })
    for (const [path, what] of orders) await order(server, path, what)
    await devtools.send('Page.setWebLifecycleState', { state: 'active' })
    await page.bringToFront() // the client does not connect again before somebody looks
  }
}

async function bundle(): Promise<string> {
  const input = fileURLToPath(new URL('../realtime/page.ts', import.meta.url))
  const built = await rolldown({ input, platform: 'browser', logLevel: 'silent' })
  const { output } = await built.generate({ format: 'iife', codeSplitting: false })
  await built.close()
  return output[0].code
}

async function prepare(page: Page): Promise<Page> {
  await page.goto(echo.url)
  await page.addScriptTag({ content: script })
  return page
}

// A page for the behaviours of one client: a process of Chromium's.
class Desk {
  private shared: Promise<Page> | undefined
  private busy = 0
  private readonly waiting: (() => void)[] = []

  constructor(private readonly seat: Seat) {}

  async perform(behaviour: Behaviour): Promise<void> {
    if (this.busy >= atOnce) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.busy++
    try {
      await this.seated(behaviour, async (page) => {
        await page.evaluate(([name, seat, url]) => window.perform(name, seat, url), [behaviour.name, this.seat, echo.url] as const)
      })
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.busy--
    }
  }

  private async seated(behaviour: Behaviour, run: (page: Page) => Promise<void>): Promise<void> {
    if (behaviour.page === 'frozen') {
      await tabs.with(async (page) => { await run(await prepare(page)) })
      return
    }
    if (behaviour.page === 'own') {
      const page = await browser.newPage().then(prepare)
      await run(page)
      await page.close()
      return
    }
    await run(await (this.shared ??= browser.newPage().then(prepare)))
  }
}

const desks = seatsAt('Chromium').map((seat) => ({ seat, desk: new Desk(seat) }))

// What has a page of its own takes longest.
const longestFirst = [...behaviours].sort((one, other) => Number(other.page !== undefined) - Number(one.page !== undefined))

for (const behaviour of longestFirst) {
  describe.concurrent(`a client ${behaviour.name}`, () => {
    for (const { seat, desk } of desks.filter((one) => behaviour.except?.(one.seat) === undefined)) {
      it(nameOf(seat), () => desk.perform(behaviour))
    }
  })
}
