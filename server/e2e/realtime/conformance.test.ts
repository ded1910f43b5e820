// What unmodified clients see, in Node; browser/conformance.test.ts runs the same behaviours in Chromium.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { perform } from './behaviour.ts'
import { Echo } from './echo.ts'
import { clients } from './clients.ts'
import { behaviours, markdown, nameOf, seatsAt } from './table.ts'

let echo: Echo

beforeAll(async () => {
  echo = await Echo.start()
})
afterAll(() => echo.stop())

for (const behaviour of behaviours) {
  const seats = seatsAt('Node').filter((seat) => behaviour.except?.(seat) === undefined)
  if (seats.length === 0) continue
  describe.concurrent(`a client ${behaviour.name}`, () => {
    for (const seat of seats) {
      it(nameOf(seat), () =>
        perform(behaviour, { seat, Client: clients[seat.library], transport: WebSocket as unknown as typeof globalThis.WebSocket, echo: echo.url }),
      )
    }
  })
}

// The file's own words, up to the first heading of the table.
it('stands in realtime/CONFORMANCE.md (UPDATE=1 writes it)', () => {
  const path = fileURLToPath(new URL('../../../realtime/CONFORMANCE.md', import.meta.url))
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { devDependencies: Record<string, string> }
  const version = (name: string): string => (manifest.devDependencies[name] ?? '').replace(/^.*@/, '')
  const text = readFileSync(path, 'utf8')
  const table = markdown({ current: version('@supabase/realtime-js'), older: version('realtime-js-older') })
  const whole = text.slice(0, text.indexOf('\n## ') + 1) + table
  if (process.env['UPDATE'] === '1') writeFileSync(path, whole)
  else expect(text).toBe(whole)
})
