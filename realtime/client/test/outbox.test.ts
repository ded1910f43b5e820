import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Clock } from '../src/clock.ts'
import { RequestError } from '../src/failure.ts'
import { Outbox } from '../src/outbox.ts'
import type { SealedMessage } from '../src/rows.ts'

interface Bench {
  readonly outbox: Outbox
  readonly clock: Clock
  readonly table: Map<string, SealedMessage>
  readonly faults: ((row: SealedMessage) => void)[]
  readonly sealFaults: Error[]
  readonly counts: { seals: number; refreshes: number; sent: number[] }
}

/** An outbox over a table; each insert meets the next fault first, which may store the row and throw nonetheless. */
function setup(): Bench {
  const clock = new Clock()
  const table = new Map<string, SealedMessage>()
  const faults: ((row: SealedMessage) => void)[] = []
  const sealFaults: Error[] = []
  const counts: Bench['counts'] = { seals: 0, refreshes: 0, sent: [] }
  const outbox = new Outbox({
    seal: (id, text) => {
      const fault = sealFaults.shift()
      if (fault !== undefined) return Promise.reject(fault)
      counts.seals++
      const at = { session_id: id, sender_device_id: id, epoch: 1 }
      return Promise.resolve({ id, ...at, seq: counts.sent.length, body: `${text} ${counts.seals}` })
    },
    insert: (row) => {
      faults.shift()?.(row)
      if (table.has(row.id)) throw new RequestError('send', '23505', 409, 'doubled')
      table.set(row.id, row)
      return Promise.resolve()
    },
    stored: (id) => Promise.resolve(table.get(id)),
    sent: (row) => {
      counts.sent.push(row.seq)
    },
    refresh: () => {
      counts.refreshes++
      return Promise.resolve()
    },
    clock,
  })
  return { outbox, clock, table, faults, sealFaults, counts }
}

const noAnswer = new RequestError('send', '', 0, 'fetch failed')
const bodies = (bench: Bench): string[] => [...bench.table.values()].map((row) => row.body)

describe('outbox', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('keeps the order while the network is away', async () => {
    const bench = setup()
    for (let i = 0; i < 5; i++) {
      bench.faults.push(() => {
        throw noAnswer
      })
    }
    const sent = Promise.all(['a', 'b', 'c'].map((text) => bench.outbox.send(text)))
    expect(bench.outbox.waiting).toBe(3)
    await vi.advanceTimersByTimeAsync(120_000)
    await sent
    expect(bodies(bench)).toEqual(['a 1', 'b 2', 'c 3'])
    expect(bench.counts.sent).toEqual([0, 1, 2])
  })

  test('a network that is away while sealing only delays', async () => {
    const bench = setup()
    for (let i = 0; i < 40; i++) bench.sealFaults.push(noAnswer)
    const sent = bench.outbox.send('a')
    await vi.advanceTimersByTimeAsync(3_600_000)
    await sent
    expect(bodies(bench)).toEqual(['a 1'])
  })

  test('a message whose answer was lost is stored once, sealed once', async () => {
    const bench = setup()
    bench.faults.push((row) => {
      bench.table.set(row.id, row)
      throw noAnswer
    })
    const sent = bench.outbox.send('a')
    await vi.advanceTimersByTimeAsync(60_000)
    await sent
    expect(bodies(bench)).toEqual(['a 1'])
    expect(bench.counts).toMatchObject({ seals: 1, sent: [0] })
  })

  test('a lost answer followed by a refusal still counts as stored', async () => {
    const bench = setup()
    bench.faults.push(
      (row) => {
        bench.table.set(row.id, row)
        throw noAnswer
      },
      () => {
        throw new RequestError('send', 'VG002', 400, 'paused meanwhile')
      },
    )
    const sent = bench.outbox.send('a')
    await vi.advanceTimersByTimeAsync(60_000)
    await expect(sent).resolves.toBeTypeOf('string')
  })

  test.each(['VG010', 'VG012', 'VG008', '23505'])('is sealed anew after %s, under the same id', async (code) => {
    const bench = setup()
    bench.faults.push(() => {
      throw new RequestError('send', code, 409, 'refused')
    })
    const id = await bench.outbox.send('a')
    expect(bodies(bench)).toEqual(['a 2'])
    expect([...bench.table.keys()]).toEqual([id])
    expect(bench.counts).toMatchObject({ seals: 2, refreshes: 1 })
  })

  test('what is refused for good is rejected, leaves no seq unused, and does not hold the next', async () => {
    const bench = setup()
    bench.faults.push(() => {
      throw new RequestError('send', 'VG002', 400, 'paused')
    })
    const refused = bench.outbox.send('a')
    const next = bench.outbox.send('b')
    await expect(refused).rejects.toMatchObject({ name: 'SessionError', reason: 'not_active' })
    await next
    expect([...bench.table.values()].map((row) => row.seq)).toEqual([0])
  })

  test('a message of the same id and another body is not taken for its own', async () => {
    const bench = setup()
    bench.faults.push((row) => {
      bench.table.set(row.id, { ...row, body: 'another' })
    })
    await expect(bench.outbox.send('a')).rejects.toMatchObject({ name: 'EnvelopeError' })
  })

  test('gives up sealing anew when the session never stands still', async () => {
    const bench = setup()
    for (let i = 0; i < 50; i++) {
      bench.faults.push(() => {
        throw new RequestError('send', 'VG010', 400, 'again')
      })
    }
    await expect(bench.outbox.send('a')).rejects.toMatchObject({ name: 'SessionError' })
    expect(bench.counts.seals).toBe(8)
  })

  test('waking tries at once, and closing rejects what waits', async () => {
    const bench = setup()
    for (let i = 0; i < 2; i++) {
      bench.faults.push(() => {
        throw noAnswer
      })
    }
    const sent = bench.outbox.send('a')
    await vi.advanceTimersByTimeAsync(0)
    expect(bench.faults).toHaveLength(1)
    bench.clock.wake()
    await vi.advanceTimersByTimeAsync(0)
    expect(bench.faults).toHaveLength(0)
    bench.clock.close()
    await expect(sent).rejects.toMatchObject({ reason: 'closed' })
    await expect(bench.outbox.send('b')).rejects.toMatchObject({ reason: 'closed' })
    expect(bench.table.size).toBe(0)
  })
})
