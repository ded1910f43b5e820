// A row of the table: what a client does, and what it must then see.
import { World, type Outfit, type Seat, type Settings } from './world.ts'

export interface Behaviour {
  name: string
  // Why a client cannot show it, which the table says; undefined if it can.
  except?: (seat: Seat) => string | undefined
  settings?: Settings
  page?: 'own' | 'frozen' // in Chromium: a page that nothing else is in, or one that can be put to sleep
  run: (world: World) => Promise<void>
}

export async function perform(behaviour: Behaviour, outfit: Outfit): Promise<void> {
  const world = await World.open(outfit, behaviour.settings)
  try {
    await behaviour.run(world)
  } catch (cause) {
    throw new Error(`${String(cause)}; then ${world.state()}`, { cause })
  } finally {
    await world.close()
  }
}

export const notOlder = (why: string) => (seat: Seat): string | undefined => (seat.library === 'older' ? why : undefined)
export const notVsn1 = (why: string) => (seat: Seat): string | undefined => (seat.vsn === '1.0.0' ? why : undefined)
export const notNode = (why: string) => (seat: Seat): string | undefined => (seat.place === 'Node' ? why : undefined)
