import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Clock } from '../src/clock.ts'
import { DeviceChangedError, RequestError, SessionError } from '../src/failure.ts'
import { Outbox } from '../src/outbox.ts'
import { utf8 } from '../src/bytes.ts'
import { parseContent } from '../src/message.ts'
import type { Queue } from '../src/queue.ts'
import type { SealedMessage } from '../src/rows.ts'
import type { QueuedMessage } from '../src/store.ts'

interface Bench {
  readonly outbox: Outbox
  readonly clock: Clock
  readonly kept: Map<string, QueuedMessage>
  readonly table: Map<string, SealedMessage>
  readonly faults: ((row: SealedMessage) => void)[]
  readonly sealFaults: Error[]
  readonly failures: unknown[]
  readonly counts: { seals: number; refreshes: number; sent: number[] }
  /** Whether the store takes anything. */
  shut: boolean
}

/** A queue whose drafts are plain, and which only one outbox uses: queue.test.ts has the real one, over tabs and reloads. */
function plainQueue(bench: { kept: Map<string, QueuedMessage>; shut: boolean }): Pick<Queue, keyof Queue> {
  return {
    list: () => Promise.resolve([...bench.kept.values()]),
    ours: () => Promise.resolve(true),
    keep: (id, draft, row) => {
      if (bench.shut) return Promise.reject(new Error('the store is full'))
      bench.kept.set(id, { id, session_id: id, draft, row })
      return Promise.resolve()
    },
    drop: (id) => Promise.resolve(bench.kept.delete(id)),
    seal: (_, content) => Promise.resolve(new TextDecoder().decode(content)),
    open: (m) => Promise.resolve(parseContent(utf8(m.draft))),
    exclusively: (work) => work(),
    unlessBusy: (work) => work(),
  }
}

/** An outbox over a table; each insert meets the next fault first, which may store the row and throw nonetheless. */
function setup(): Bench {
  const clock = new Clock()
  const kept = new Map<string, QueuedMessage>()
  const table = new Map<string, SealedMessage>()
  const faults: ((row: SealedMessage) => void)[] = []
  const sealFaults: Error[] = []
  const failures: unknown[] = []
  const counts: Bench['counts'] = { seals: 0, refreshes: 0, sent: [] }
  const store = { kept, shut: false }
  const outbox = new Outbox({
    queue: plainQueue(store),
    seal: (id, content) => {
      const fault = sealFaults.shift()
      if (fault !== undefined) return Promise.reject(fault)
      counts.seals++
      const at = { session_id: id, sender_device_id: id, epoch: 1 }
      return Promise.resolve({ id, ...at, seq: counts.sent.length, body: `${content.body} ${counts.seals}` })
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
    changed: () => undefined,
    failed: (thrown) => {
      failures.push(thrown)
    },
    clock,
  })
  return Object.assign(store, { outbox, clock, table, faults, sealFaults, failures, counts })
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
    expect(bench.outbox.waiting.map((one) => one.text)).toEqual(['a', 'b', 'c'])
    await vi.advanceTimersByTimeAsync(120_000)
    await sent
    expect(bodies(bench)).toEqual(['a 1', 'b 2', 'c 3'])
    expect(bench.counts.sent).toEqual([0, 1, 2])
    expect([bench.kept.size, bench.outbox.waiting.length]).toEqual([0, 0])
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
    expect(bench.kept.size).toBe(1) // for the next visit
  })

  test('a store that takes nothing only costs what a reload would have kept', async () => {
    const bench = setup()
    bench.shut = true
    const sent = Promise.all(['a', 'b'].map((text) => bench.outbox.send(text)))
    await vi.advanceTimersByTimeAsync(0)
    await sent
    expect(bodies(bench)).toEqual(['a 1', 'b 2'])
    expect(bench.failures).toHaveLength(2)
  })

  test('what is to hold waits for the person, in its place, and the others are told', async () => {
    const bench = setup()
    const error = new DeviceChangedError(['d'])
    for (let i = 0; i < 9; i++) bench.sealFaults.push(error)
    const held = bench.outbox.send('a', { hold: true })
    const other = bench.outbox.send('b')
    await expect(other).rejects.toBe(error)
    expect(bench.outbox.waiting).toMatchObject([{ text: 'a', held: error }])
    await expect(bench.outbox.send('c')).rejects.toBe(error) // and never before the one that is held
    bench.sealFaults.length = 0 // acknowledged
    bench.outbox.kick()
    await held
    expect(bodies(bench)).toEqual(['a 1'])
    expect(bench.outbox.waiting).toEqual([])
  })

  test('what is held is taken back, once; what is being sent is not', async () => {
    const bench = setup()
    bench.sealFaults.push(new DeviceChangedError(['d']))
    const held = bench.outbox.send('a', { hold: true })
    const outcome = expect(held).rejects.toMatchObject({ reason: 'taken_back' })
    await vi.advanceTimersByTimeAsync(0)
    const id = bench.outbox.waiting[0]?.id ?? ''
    expect(await Promise.all([bench.outbox.takeBack(id), bench.outbox.takeBack('another')])).toEqual([true, false])
    await outcome
    expect([await bench.outbox.takeBack(id), bench.kept.size]).toEqual([false, 0])
    bench.faults.push(() => {
      throw noAnswer
    })
    const sent = bench.outbox.send('b')
    await vi.advanceTimersByTimeAsync(0)
    expect(await bench.outbox.takeBack(bench.outbox.waiting[0]?.id ?? '')).toBe(false)
    await vi.advanceTimersByTimeAsync(60_000)
    await sent
  })

  test('a text that no longer opens leaves the queue, and does not hold the next', async () => {
    const bench = setup()
    bench.kept.set('x', { id: 'x', session_id: 'x', draft: 'broken', row: null })
    await bench.outbox.send('a')
    expect([bodies(bench), bench.kept.size]).toEqual([['a 1'], 0])
    expect(bench.failures).toMatchObject([{ name: 'EnvelopeError', refusal: 'format' }])
  })

  test('everything that waits is forgotten when the session is erased', async () => {
    const bench = setup()
    bench.sealFaults.push(new DeviceChangedError(['d']))
    const held = expect(bench.outbox.send('a', { hold: true })).rejects.toMatchObject({ reason: 'erased' })
    await vi.advanceTimersByTimeAsync(0)
    await bench.outbox.forget(new SessionError('erased', 'the session is erased'))
    await held
    expect([bench.kept.size, bench.outbox.waiting, bench.table.size]).toEqual([0, [], 0])
  })
})
