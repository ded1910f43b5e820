// How long it takes from one screen to another, by the clock of the machine that both browsers run on.
import type { Seat } from './seats.ts'

declare global {
  interface Window {
    pressedAt: number
  }
}

// Remembers when Send was last pressed, before anything else hears of it.
export async function timePresses(seat: Seat): Promise<void> {
  await seat.page.evaluate(() => {
    document.addEventListener('click', (event) => {
      if (event.target instanceof Element && event.target.closest('button[type=submit]') !== null) window.pressedAt = Date.now()
    }, { capture: true })
  })
}

export async function pressedAt(seat: Seat): Promise<number> {
  return seat.page.evaluate(() => window.pressedAt)
}

// When an alert that quotes the text was on the screen: in the page, visible, and painted.
export async function alertShown(seat: Seat, text: string): Promise<number> {
  return seat.page.evaluate(async (text) => {
    const shown = (): boolean => [...document.querySelectorAll('article[aria-label^="Alert:"]')].some(
      (card) => card.textContent.includes(text) && card.checkVisibility(),
    )
    if (!shown()) {
      await new Promise<void>((resolve) => {
        const observer = new MutationObserver(() => {
          if (!shown()) return
          observer.disconnect()
          resolve()
        })
        observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true })
      })
    }
    await new Promise<void>((painted) => { requestAnimationFrame(() => { setTimeout(painted) }) })
    return Date.now()
  }, text)
}
