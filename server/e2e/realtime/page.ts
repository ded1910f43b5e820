// The behaviours in a page: what browser/conformance.test.ts bundles, and calls.
import { perform } from './behaviour.ts'
import { clients } from './clients.ts'
import { behaviours } from './table.ts'
import type { Order, Path, Seat } from './world.ts'

declare global {
  interface Window {
    freeze: (server: string, orders: [Path, Order][]) => Promise<void> // the test's
    perform: (name: string, seat: Seat, echo: string) => Promise<void>
  }
}

window.perform = async (name, seat, echo) => {
  const behaviour = behaviours.find((one) => one.name === name)
  if (behaviour === undefined) throw new Error(`there is no behaviour "${name}"`)
  await perform(behaviour, { seat, Client: clients[seat.library], echo, freeze: window.freeze })
}
