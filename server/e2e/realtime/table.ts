// The table of behaviours, as realtime/CONFORMANCE.md shows it. Each cell without a note is a test.
import type { Behaviour } from './behaviour.ts'
import { broadcasting } from './behaviours/broadcasting.ts'
import { connecting } from './behaviours/connecting.ts'
import { joining } from './behaviours/joining.ts'
import { presence } from './behaviours/presence.ts'
import { recovering } from './behaviours/recovering.ts'
import { tokens } from './behaviours/tokens.ts'
import type { Seat } from './world.ts'

export const sections: [title: string, behaviours: Behaviour[]][] = [
  ['Joining and leaving', joining],
  ['Broadcasting', broadcasting],
  ['Recovering', recovering],
  ['Presence', presence],
  ['Tokens and rights', tokens],
  ['Connections', connecting],
]

export const behaviours: Behaviour[] = sections.flatMap(([, all]) => all)

// The older client speaks vsn 1.0.0 alone.
export const seatsAt = (place: Seat['place']): Seat[] => [
  { library: 'current', vsn: '1.0.0', place },
  { library: 'current', vsn: '2.0.0', place },
  { library: 'older', vsn: '1.0.0', place },
]

export const nameOf = (seat: Seat): string => `${seat.library} client, vsn ${seat.vsn}, ${seat.place}`

const proven = '●'

function row(behaviour: Behaviour, seats: Seat[], note: (why: string) => number): string {
  const cells = seats.map((seat) => {
    const why = behaviour.except?.(seat)
    return why === undefined ? proven : `–${note(why)}`
  })
  return `| ${behaviour.name} | ${cells.join(' | ')} |`
}

// The table in Markdown. versions are what package.json names.
export function markdown(versions: Record<Seat['library'], string>): string {
  const seats = [...seatsAt('Node'), ...seatsAt('Chromium')]
  const notes: string[] = []
  const note = (why: string): number => {
    if (!notes.includes(why)) notes.push(why)
    return notes.indexOf(why) + 1
  }
  const head = seats.map((seat) => `${versions[seat.library]}<br>vsn ${seat.vsn}<br>${seat.place}`)
  const tables = sections.map(([title, all]) => {
    const rows = all.map((behaviour) => row(behaviour, seats, note))
    return [`## ${title}`, '', `| the client | ${head.join(' | ')} |`, `|---|${':-:|'.repeat(seats.length)}`, ...rows, ''].join('\n')
  })
  return [...tables, '## Notes', '', ...notes.map((why, at) => `${at + 1}. ${why}`), ''].join('\n')
}
