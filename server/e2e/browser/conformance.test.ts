// What unmodified clients see in Chromium: the behaviours of ../realtime, in pages.
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Behaviour } from '../realtime/behaviour.ts'
import { Echo } from '../realtime/echo.ts'
import { behaviours, nameOf, seatsAt } from '../realtime/table.ts'
import type { Seat } from '../realtime/world.ts'
import { bundle } from './bundle.ts'
import { launch } from './seats.ts'
import { Tabs } from './tabs.ts'

// Chromium makes a process wait that opens more than ten WebSockets at once.
const atOnce = 8

let echo: Echo
let browser: Browser
let tabs: Tabs
let script: string

beforeAll(async () => {
  ;[echo, browser, tabs, script] = await Promise.all([Echo.start(), launch(), Tabs.open(), bundle(fileURLToPath(new URL('../realtime/page.ts', import.meta.url)))])
})
afterAll(async () => {
  await Promise.all([browser.close(), tabs.close()])
  await echo.stop()
})

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
