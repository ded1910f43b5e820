// Every rule of axe on what is on the screen, in light, dark and on a telephone.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import type { AxeResults } from 'axe-core'
import { expect } from 'vitest'
import type { Seat } from './seats.ts'

// The rules, which come with each page before its own scripts do: its policy lets in nothing later.
export const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Found {
  rule: string
  impact: string
  where: string[]
}

declare global {
  interface Window {
    axe: { run: (context: Document, options: object) => Promise<AxeResults> }
  }
}

// What colours decide: all else is the same in light and dark, and these are the same on a telephone. They are most of axe's work.
const ofColours = ['color-contrast', 'link-in-text-block']
const colours = { runOnly: { type: 'rule', values: ofColours } }
const allElse = { rules: Object.fromEntries(ofColours.map((rule) => [rule, { enabled: false }])) }

export async function violations(seat: Seat, options: object = {}): Promise<Found[]> {
  const found = await seat.page.evaluate((options) => window.axe.run(document, { ...options, resultTypes: ['violations'] }), options)
  if (Object.keys(options).length === 0) expect(found.passes.length, 'axe looked at nothing').toBeGreaterThan(0)
  return found.violations.map((one) => ({
    rule: `${one.id}: ${one.help}`, impact: one.impact ?? '', where: one.nodes.map((node) => `${node.html.slice(0, 200)} ${node.failureSummary ?? ''}`),
  }))
}

// Until the page has turned light or dark as it was told, and no colour is on its way.
async function settled(seat: Seat, colorScheme: 'light' | 'dark'): Promise<void> {
  await seat.page.waitForFunction((scheme) => document.querySelector('.radix-themes')?.classList.contains(scheme), colorScheme)
  await seat.page.evaluate(async () => {
    await new Promise<void>((painted) => { requestAnimationFrame(() => { requestAnimationFrame(() => { painted() }) }) })
    await Promise.allSettled(document.getAnimations().flatMap((one) => (one instanceof CSSTransition ? [one.finished] : [])))
  })
}

const telephone = { width: 375, height: 740 }

// Looks at what the seat shows in light, dark and 375 px; leaves it light and as wide as it was.
export async function expectAccessible(seat: Seat, what: string): Promise<void> {
  const { page } = seat
  const wide = page.viewportSize() ?? { width: 1280, height: 720 }
  const looks = [['in light', 'light', wide, {}], ['in dark', 'dark', wide, colours], ['on a telephone', 'light', telephone, allElse]] as const
  for (const [look, colorScheme, size, options] of looks) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.setViewportSize(size)
    await settled(seat, colorScheme)
    expect(await violations(seat, options), `${what} ${look}`).toEqual([])
    const overhang = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    expect(overhang, `${what} ${look}: wider than the screen`).toBeLessThanOrEqual(0)
  }
  await page.setViewportSize(wide)
}
