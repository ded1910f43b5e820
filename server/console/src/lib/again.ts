import type { Undo } from './store.ts'

/** How often what no topic tells of is read again, while the page is looked at. */
const AgainMs = 15_000

/** Calls `read` when the page comes back into view or the network returns, and now and then while it is in view. */
export function whileLookedAt(read: () => void, everyMs = AgainMs): Undo {
  const look = (): void => {
    if (document.visibilityState === 'visible') read()
  }
  const timer = setInterval(look, everyMs)
  document.addEventListener('visibilitychange', look)
  window.addEventListener('online', look)
  return () => {
    clearInterval(timer)
    document.removeEventListener('visibilitychange', look)
    window.removeEventListener('online', look)
  }
}
