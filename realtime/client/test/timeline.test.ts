import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Clock } from '../src/clock.ts'
import { PageRows } from '../src/answer.ts'
import { Timeline } from '../src/timeline.ts'
import type { MessageRow } from '../src/rows.ts'

function message(position: number): MessageRow {
  const id = crypto.randomUUID()
  return {
    id, session_id: id, sender_device_id: id, sender_id: id, epoch: 1, seq: position, body: '', position,
    assisted: true, created_at: '2026-01-01T00:00:00Z',
  }
}

interface Bench {
  readonly timeline: Timeline
  readonly clock: Clock
  readonly table: Map<number, MessageRow>
  readonly heard: number[]
  readonly seqs: number[]
  readonly faults: string[]
  readonly failures: unknown[]
  reads: number
}

function setup(positions: readonly number[] = []): Bench {
  const clock = new Clock()
  const table = new Map(positions.map((position) => [position, message(position)]))
  const heard: number[] = []
  const seqs: number[] = []
  const faults: string[] = []
  const failures: unknown[] = []
  const timeline = new Timeline({
    read: (after) => {
      bench.reads++
      if (faults[0] === 'read') return Promise.reject(new Error(faults.shift()))
      const rows = [...table.values()].filter((row) => row.position > after)
      return Promise.resolve(rows.sort((a, b) => a.position - b.position).slice(0, PageRows))
    },
    deliver: (row) => {
      if (faults[0] === 'deliver') return Promise.reject(new Error(faults.shift()))
      heard.push(row.position)
      seqs.push(row.seq)
      return Promise.resolve()
    },
    failed: (thrown) => failures.push(thrown),
    clock,
  })
  const bench = { timeline, clock, table, heard, seqs, faults, failures, reads: 0 }
  return bench
}

const upTo = (n: number, from = 1): number[] => Array.from({ length: n - from + 1 }, (_, i) => from + i)

describe('timeline', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('reads a history of several pages in order', async () => {
    const all = upTo(2 * PageRows)
    const bench = setup(all)
    await bench.timeline.catchUp()
    expect(bench.heard).toEqual(all)
  })

  test('live rows follow the history, each once, whatever comes twice', async () => {
    const bench = setup(upTo(3))
    bench.timeline.offer(message(2))
    await bench.timeline.catchUp()
    for (const position of [3, 4, 4, 5, 1]) bench.timeline.offer(message(position))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 2, 3, 4, 5])
  })

  test('a live row above a gap waits for the table', async () => {
    const bench = setup(upTo(2))
    await bench.timeline.catchUp()
    bench.timeline.offer(message(5))
    for (const position of [3, 4]) bench.table.set(position, message(position))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 2, 3, 4, 5])
  })

  test('what a snapshot does not show yet is looked for again', async () => {
    const bench = setup(upTo(1))
    await bench.timeline.catchUp()
    bench.timeline.heard(2)
    await vi.advanceTimersByTimeAsync(150)
    expect(bench.heard).toEqual([1])
    bench.table.set(2, message(2))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 2])
  })

  test('erased messages are passed over, announced or between others', async () => {
    const bench = setup([1, 4])
    await bench.timeline.catchUp()
    expect(bench.heard).toEqual([1, 4])
    bench.timeline.heard(5)
    await vi.runAllTimersAsync()
    bench.table.set(7, message(7))
    bench.timeline.offer(message(7))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 4, 7])
    bench.timeline.offer(message(8))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 4, 7, 8])
  })

  test('a live row above a gap is shown as the table has it, and not at all if the table has it not', async () => {
    const bench = setup(upTo(2))
    await bench.timeline.catchUp()
    bench.timeline.offer({ ...message(4), seq: 99 })
    bench.table.set(4, message(4))
    bench.timeline.offer(message(6))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 2, 4])
    expect(bench.seqs).toEqual([1, 2, 4])
  })

  test.each([['offered', 'offer'], ['announced', 'heard']] as const)('a position far away, %s, hides nothing', async (_, how) => {
    const bench = setup(upTo(2))
    await bench.timeline.catchUp()
    if (how === 'offer') bench.timeline.offer(message(1e9))
    else bench.timeline.heard(1e9)
    await vi.runAllTimersAsync()
    expect(bench.timeline.last).toBe(2)
    const reads = bench.reads
    bench.timeline.offer(message(3))
    await vi.runAllTimersAsync()
    bench.table.set(3, message(3)).set(4, message(4))
    bench.timeline.heard(4)
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 2, 3, 4])
    expect(bench.reads).toBe(reads + 1) // what was forgotten is not looked for again
  })

  test('what is announced while the last look for something else goes on is looked for as often', async () => {
    const bench = setup(upTo(1))
    await bench.timeline.catchUp()
    bench.timeline.heard(3)
    await vi.advanceTimersByTimeAsync(2900) // before the sixth look
    bench.timeline.heard(4)
    await vi.advanceTimersByTimeAsync(400)
    bench.table.set(4, message(4))
    await vi.runAllTimersAsync()
    expect(bench.heard).toEqual([1, 4])
  })

  test('a network that is away delays, and neither drops nor doubles', async () => {
    const bench = setup(upTo(4))
    bench.faults.push('read', 'deliver', 'read', 'deliver')
    const caughtUp = bench.timeline.catchUp()
    await vi.runAllTimersAsync()
    await caughtUp
    expect(bench.heard).toEqual([1, 2, 3, 4])
    expect(bench.failures).toHaveLength(4)
  })

  test('catching up again reads on from the last position', async () => {
    const bench = setup(upTo(2))
    await bench.timeline.catchUp()
    bench.table.set(3, message(3))
    await Promise.all([bench.timeline.catchUp(), bench.timeline.catchUp()])
    expect(bench.heard).toEqual([1, 2, 3])
    expect(bench.timeline.last).toBe(3)
  })

  test('a closed clock ends it', async () => {
    const bench = setup(upTo(2))
    bench.faults.push('read')
    const caughtUp = bench.timeline.catchUp()
    bench.clock.close()
    await caughtUp
    expect(bench.heard).toEqual([])
  })
})
