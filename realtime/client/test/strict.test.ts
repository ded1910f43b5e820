/** Scores of a strict session: who makes them, when, of what, and what becomes of one that is not true. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Clock } from '../src/clock.ts'
import { makeDevice } from '../src/device.ts'
import { RequestError } from '../src/failure.ts'
import { Fold } from '../src/fold.ts'
import { ScoreOutbox } from '../src/score-outbox.ts'
import { ScoreSide, scoreOf, signScore, verifyScore, type SignedScore } from '../src/score.ts'
import { StrictWatch, type StrictBadge, type StrictOptions } from '../src/strict.ts'
import type { MessageRow, ScoreRow } from '../src/rows.ts'
import type { Finding } from '../src/detect-module.ts'
import { WordDetector, World, Seat } from './strict-world.ts'

interface Watching {
  readonly watch: StrictWatch
  readonly detector: WordDetector
  readonly badges: Map<string, readonly StrictBadge[]>
  readonly errors: Error[]
}

const watches: StrictWatch[] = []
afterEach(() => {
  for (const watch of watches.splice(0)) watch.close()
  vi.useRealTimers()
})

function watching(seat: Seat, options: StrictOptions = { graceMs: 60_000 }, detector = new WordDetector()): Watching {
  const watch = new StrictWatch(seat, detector, options)
  watches.push(watch)
  const badges = new Map<string, readonly StrictBadge[]>()
  const errors: Error[] = []
  watch.on('badges', (one) => badges.set(one.messageId, one.badges))
  watch.on('error', (error) => errors.push(error))
  return { watch, detector, badges, errors }
}

async function setup(options?: StrictOptions): Promise<{ world: World; client: Watching; therapist: Watching }> {
  const world = await World.make()
  return { world, client: watching(world.client, options), therapist: watching(world.therapist, options) }
}

async function settled(...all: readonly Watching[]): Promise<void> {
  for (const one of all) await one.watch.settled()
  for (const one of all) await one.watch.settled() // what the others told meanwhile
}

class QuickClock extends Clock {
  override wait(): Promise<void> {
    return Promise.resolve()
  }
}

/** A detector that is still loading until it is released. */
class HeldDetector extends WordDetector {
  release: () => void = () => undefined
  readonly #loaded = new Promise<void>((resolve) => { this.release = resolve })

  override async assess(text: string, state?: Uint8Array): Promise<Finding> {
    await this.#loaded
    return super.assess(text, state)
  }
}

/** A seat whose epochs are read only once it is opened. */
class LateSeat extends Seat {
  open: () => void = () => undefined
  readonly #opened = new Promise<void>((resolve) => { this.open = resolve })

  override get entry(): Seat['entry'] {
    const entry = super.entry
    return { ...entry, epoch: async (number) => this.#opened.then(() => entry.epoch(number)) }
  }
}

const disagreements = (one: Watching): unknown[] => [...one.badges.values()].flat().filter((badge) => badge.kind === 'disagreement')

/** Puts a score into the table as if it had been inserted, signed or not. */
function forge(world: World, row: MessageRow, score: SignedScore): void {
  const stored: ScoreRow = {
    ...score, organization_id: world.tables.session.organization_id, user_id: row.sender_id, position: row.position, disagrees: false,
    created_at: new Date().toISOString(),
  }
  world.tables.scores.push(stored)
  world.tell(stored)
}

describe('the sender’s device', () => {
  test('scores a message when it is stored, after what it had folded, and signs no word of it', async () => {
    const { world, client } = await setup()
    world.therapist.send('good morning')
    world.client.hear()
    await settled(client)
    const row = world.client.send('something grave')
    await settled(client)
    const [score] = world.scoresOf(row.id)
    expect(score).toMatchObject({ side: 'sender', after_position: 1, level: 5, alert: true, rules: ['plan.grave'], device_id: world.client.device.kid })
    if (score === undefined) throw new Error('no score')
    expect(await verifyScore(score, world.client.device.sig.publicKey)).toBe(true)
    expect(JSON.stringify(world.tables.scores)).not.toMatch(/something|work/)
  })

  test('scores it once, whether it hears first that it is stored, or the message itself', async () => {
    const { world, client } = await setup()
    world.client.send('one')
    world.client.hear()
    await settled(client)
    const two = world.client.send('two', { quiet: true })
    world.client.hear()
    world.client.events.emit('sent', { id: two.id, epoch: 1, text: 'two' })
    await settled(client)
    expect(world.client.database.calls.filter((name) => name === 'insertScore').length).toBe(2)
    expect(world.tables.scores.map((score) => score.side)).toEqual(['sender', 'sender'])
  })

  test('scores at the next visit what it sent before it was closed, of the last day', async () => {
    const { world } = await setup()
    const old = world.client.send('old', { quiet: true, at: new Date(Date.now() - 25 * 60 * 60 * 1000) })
    const late = world.client.send('late', { quiet: true })
    const other = world.client.send('from another device', { quiet: true, from: await makeDevice() })
    const seat = world.again(world.client)
    const client = watching(seat)
    seat.hear()
    await settled(client)
    expect([old, late, other].map((row) => world.scoresOf(row.id).length)).toEqual([0, 1, 0])
  })

  test('tries again while the network is away, takes what stands for done, and says what was refused', async () => {
    const { world, client } = await setup()
    world.client.database.fail('insertScore', 'before')
    world.client.database.fail('insertScore', 'after')
    const row = world.client.send('hello')
    await settled(client)
    expect(world.scoresOf(row.id).length).toBe(1)
    expect(client.errors).toEqual([])
    world.client.database.fail('insertScore', 'before', new RequestError('send score', '42501', 403, 'no'))
    const refused = world.client.send('hello again')
    await settled(client)
    expect(client.watch.badgesOf(refused.id)).toEqual([{ kind: 'unscored' }])
    expect(client.errors.map((error) => error.message)).toEqual(['send score: no'])
  })

  test('tries on while others crowd it out, and lets the next pass', async () => {
    const device = await makeDevice()
    const finding = scoreOf(await new WordDetector().assess('grave'))
    const score = (epoch: number): Promise<SignedScore> =>
      signScore(device, { ...finding, session_id: crypto.randomUUID(), message_id: crypto.randomUUID(), epoch, side: 'sender', after_position: 0 })
    const [one, two] = [await score(1), await score(2)]
    const asked: string[] = []
    const refused: unknown[] = []
    const codes = ['PT429', '', 'VG029']
    const outbox = new ScoreOutbox({
      insert: ({ message_id }) => {
        asked.push(message_id)
        const code = codes.shift() ?? ''
        return code === '' ? Promise.resolve() : Promise.reject(new RequestError('send score', code, 400, 'not now'))
      },
      refused: (row) => refused.push(row),
      clock: new QuickClock(),
    })
    outbox.add(one)
    outbox.add(two)
    await outbox.settled()
    expect(asked).toEqual([one, two, one].map((row) => row.message_id))
    expect(refused).toEqual([])
  })

  test('scores a message that was heard before the detector gave up on it ahead', async () => {
    const world = await World.make()
    const words = new WordDetector()
    let asked = 0
    const detector = Object.assign(new WordDetector(), {
      assess: (text: string, state?: Uint8Array) => (++asked === 2 ? words.assess(text, state) : Promise.reject(new Error('not yet'))),
    })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { watch, badges } = watching(world.client, {}, detector)
    const row = world.client.send('grave')
    while (asked < 1) await Promise.resolve()
    world.client.hear()
    for (let i = 0; i < 12; i++) await vi.advanceTimersByTimeAsync(30_000)
    vi.useRealTimers()
    await watch.settled()
    expect(asked).toBe(9) // eight times ahead, and once in its order
    expect(world.scoresOf(row.id)).toMatchObject([{ side: 'sender', level: 5 }])
    expect([...badges.values()]).toEqual([])
  })

  test('never says that it folded its own message before it scored it, whatever is told first', async () => {
    const afters: unknown[] = []
    for (let ticks = 0; ticks < 10; ticks++) {
      const world = await World.make()
      const seat = new LateSeat(world, world.client)
      const detector = new HeldDetector()
      const { watch } = watching(seat, {}, detector)
      const row = seat.send('grave')
      seat.hear()
      detector.release()
      for (let i = 0; i < ticks; i++) await Promise.resolve()
      seat.open()
      await watch.settled()
      afters.push(world.scoresOf(row.id).map((score) => score.after_position))
    }
    expect(afters).toEqual(Array(10).fill([0]))
  })

  test('that is left while the detector loads still scores what was sent, and not without end', async () => {
    const world = await World.make()
    const detector = new HeldDetector()
    const { watch } = watching(world.client, {}, detector)
    const row = world.client.send('grave')
    world.client.events.emit('closed', world.client.row)
    const finished = watch.finish()
    detector.release()
    await finished
    expect(world.scoresOf(row.id)).toMatchObject([{ side: 'sender', level: 5 }])
    world.client.send('nobody hears of this')
    await watch.settled()
    expect(world.tables.scores.length).toBe(1)
    const stuck = watching(world.client, {}, new HeldDetector())
    world.client.send('grave again')
    await stuck.watch.finish(20)
    expect(world.tables.scores.length).toBe(1)
  })

  test('drops what it holds at once when the session is erased', async () => {
    const world = await World.make()
    const detector = new HeldDetector()
    const { watch } = watching(world.client, {}, detector)
    world.client.send('grave')
    const finished = watch.finish()
    watch.close()
    await finished
    const other = watching(world.client, {}, detector)
    world.client.send('grave')
    world.client.events.emit('erasure', {
      id: 'e', session_id: world.client.id, kind: 'session', status: 'shredded', counts: {}, audit_seq: null, audit_hash: null, created_at: '', done_at: null,
    })
    detector.release()
    await other.watch.settled()
    expect(world.tables.scores).toEqual([])
  })

  test('does not load the detector in a session that was never strict, and scores nothing that the sidecar watches', async () => {
    const { world, client } = await setup()
    world.tables.session = { ...world.tables.session, mode: 'assisted' }
    const seat = world.again(world.client)
    const quiet = watching(seat)
    world.client.send('watched', { quiet: true })
    seat.hear()
    await settled(quiet)
    expect(quiet.detector.asked).toBe(0)
    world.tables.session = { ...world.tables.session, mode: 'strict' }
    seat.events.emit('session', seat.row)
    const row = seat.send('strict again')
    seat.hear()
    await settled(quiet, client)
    expect(world.tables.scores.map((score) => score.message_id)).toEqual([row.id])
    expect(quiet.detector.asked).toBeGreaterThanOrEqual(2) // the watched one is folded in
  })
})

describe('the clinician’s device', () => {
  test('scores what the client sent, and the two agree', async () => {
    const { world, client, therapist } = await setup()
    for (const text of ['hello', 'something grave', 'it passed']) world.client.send(text)
    const own = world.therapist.send('I am here')
    for (const seat of [world.client, world.therapist]) seat.hear()
    await settled(client, therapist)
    for (const row of world.tables.messages.slice(0, 3)) {
      expect(world.scoresOf(row.id).map((score) => score.side).sort()).toEqual(['clinician', 'sender'])
    }
    expect(world.scoresOf(own.id).map((score) => score.side)).toEqual(['sender'])
    expect([...therapist.badges.values()].flat()).toEqual([])
    expect(world.tables.refusals).toEqual([])
  })

  test('agrees on 200 messages, whoever hears what when', async () => {
    const { world, client, therapist } = await setup()
    let seed = 20261124
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return (seed >>> 8) % below
    }
    const behind: number[] = []
    for (let i = 0; i < 200; i++) {
      const [seat, other] = random(2) === 0 ? [world.client, world.therapist] : [world.therapist, world.client]
      seat.send(random(9) === 0 ? `grave ${i}` : `text ${i}`)
      seat.hear(random(3))
      other.hear(random(4))
      if (random(4) === 0) await settled(client, therapist)
    }
    for (const seat of [world.client, world.therapist]) seat.hear()
    await settled(client, therapist)
    for (const row of world.tables.messages) {
      const scores = world.scoresOf(row.id)
      expect(scores.map((score) => score.side).sort()).toEqual(row.sender_id === world.client.userId ? ['clinician', 'sender'] : ['sender'])
      behind.push(row.position - 1 - (scores.find((score) => score.side === 'sender')?.after_position ?? 0))
    }
    expect(behind.filter((n) => n > 0).length).toBeGreaterThan(20) // there were races
    expect(disagreements(therapist)).toEqual([])
    expect(world.tables.refusals).toEqual([])
    expect([...client.errors, ...therapist.errors]).toEqual([])
  })

  test('scores at its next visit what nobody had, and only that', async () => {
    const { world, client, therapist } = await setup()
    world.client.send('one')
    for (const seat of [world.client, world.therapist]) seat.hear()
    await settled(client, therapist)
    therapist.watch.close()
    world.client.send('two')
    world.client.hear()
    await settled(client)
    const seat = world.again(world.therapist)
    const next = watching(seat)
    seat.hear()
    await settled(next)
    expect(seat.database.calls.filter((name) => name === 'insertScore').length).toBe(1)
    expect(world.tables.scores.length).toBe(4)
    expect([...next.badges.values()].flat()).toEqual([])
  })

  test('on a device that came after the epoch scores nothing of it; one of its roster does, also what is older than a day', async () => {
    const { world, client } = await setup()
    const row = world.client.send('hello')
    const old = world.client.send('old', { quiet: true, at: new Date(Date.now() - 25 * 60 * 60 * 1000) })
    const later = watching(world.again(world.therapist, await makeDevice()))
    const seat = world.again(world.therapist)
    const therapist = watching(seat)
    await settled(client, later, therapist)
    const laterSeat = world.again(world.therapist, await makeDevice())
    const shared = watching(laterSeat)
    laterSeat.hear()
    await settled(shared)
    expect(laterSeat.database.calls.filter((name) => name === 'insertScore')).toEqual([])
    expect(shared.watch.badgesOf(row.id)).toEqual([]) // it compares all the same
    seat.hear()
    await settled(therapist)
    expect(world.scoresOf(row.id).map((score) => score.side)).toEqual(['sender', 'clinician'])
    expect(world.scoresOf(old.id).map((score) => score.side)).toEqual(['clinician'])
  })

  test('reads again, after the channel was away, what was told meanwhile', async () => {
    const { world, therapist } = await setup({ graceMs: 0 })
    const row = world.client.send('hello', { quiet: true })
    world.therapist.hear()
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([{ kind: 'unscored' }])
    const finding = await new WordDetector().assess('hello')
    const terms = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side: ScoreSide.sender, after_position: 0 }
    const score = await signScore(world.client.device, terms)
    world.tables.scores.push({
      ...score, organization_id: world.tables.session.organization_id, user_id: row.sender_id, position: 1, disagrees: false, created_at: '2026-11-24',
    })
    world.therapist.events.emit('status', 'joined')
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([])
  })
})

describe('a score that is not true', () => {
  const lies: Readonly<Record<string, { change: (score: SignedScore) => Partial<SignedScore>; signed: boolean; fields: readonly string[]; told: boolean }>> = {
    'lowered by the sender': { change: () => ({ level: 0, alert: false, rules: [] }), signed: true, fields: ['level', 'alert', 'rules'], told: true },
    'lowered by someone with the database': { change: () => ({ level: 0 }), signed: false, fields: ['signature'], told: true },
    'of a state that nobody can have had': { change: () => ({ after_position: 9 }), signed: true, fields: ['after_position'], told: true },
    'of another state than it says': { change: () => ({ after_position: 0 }), signed: true, fields: ['scores'], told: true },
    'of another epoch': { change: () => ({ epoch: 2 }), signed: true, fields: ['signature'], told: true },
    'of another message': { change: () => ({ message_id: crypto.randomUUID() }), signed: true, fields: ['signature'], told: true },
    'of another session': { change: () => ({ session_id: crypto.randomUUID() }), signed: true, fields: ['signature'], told: true },
    'of a detector of another version': { change: () => ({ model_version: 'm-2', level: 0 }), signed: true, fields: ['model_version'], told: false },
  }
  test.each(Object.entries(lies))('%s is flagged', async (_, lie) => {
    const { world, therapist } = await setup()
    const first = world.therapist.send('hello')
    const row = world.client.send('something grave', { quiet: true })
    world.therapist.hear()
    await settled(therapist)
    const before = await new WordDetector().assess('hello')
    const finding = await new WordDetector().assess('something grave', before.state)
    const true_ = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side: ScoreSide.sender, after_position: first.position }
    const honest = await signScore(world.client.device, true_)
    const changed = lie.signed ? await signScore(world.client.device, { ...true_, ...lie.change(honest) }) : { ...honest, ...lie.change(honest) }
    // It is stored under the message's id, whatever was signed.
    forge(world, row, { ...changed, message_id: row.id, session_id: changed.session_id, epoch: changed.epoch })
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([{ kind: 'disagreement', fields: lie.fields }])
    expect(world.tables.refusals.map((one) => [one.subject_table, one.subject_id, one.reason])).toEqual(
      lie.told ? [['message_scores', row.id, 'score']] : [],
    )
    // And the clinician's own stands, whatever the sender says.
    expect(world.scoresOf(row.id).find((score) => score.side === 'clinician')).toMatchObject({ level: 5, alert: true })
  })

  test('found after what this device cannot read is not called agreement, nor reported', async () => {
    const { world, therapist } = await setup()
    const closed = world.therapist.send('before this device came', { quiet: true })
    world.unread.add(closed.id)
    const row = world.client.send('something grave', { quiet: true })
    world.therapist.hear()
    await settled(therapist)
    const finding = await new WordDetector().assess('nothing at all')
    const terms = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side: ScoreSide.sender, after_position: 1 }
    forge(world, row, await signScore(world.client.device, terms))
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([{ kind: 'disagreement', fields: ['not_comparable'] }])
    expect(world.tables.refusals).toEqual([])
  })

  test('by another device than the sender’s counts for nothing, though it stands on the roster', async () => {
    const other = await makeDevice()
    const world = await World.make([other])
    const therapist = watching(world.therapist)
    const row = world.client.send('hello', { quiet: true })
    world.therapist.hear()
    const finding = await new WordDetector().assess('hello')
    const terms = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side: ScoreSide.sender, after_position: 0 }
    forge(world, row, await signScore(other, terms))
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([{ kind: 'disagreement', fields: ['signature'] }])
  })

  test('of the clinician’s side, by a client, counts for nothing', async () => {
    const { world, client, therapist } = await setup()
    const row = world.client.send('hello')
    await settled(client)
    const finding = await new WordDetector().assess('hello')
    const terms = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side: ScoreSide.clinician, after_position: 0 }
    forge(world, row, await signScore(world.client.device, terms))
    world.therapist.hear()
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([])
    const scores = world.scoresOf(row.id).filter((score) => score.side === 'clinician')
    expect(scores.map((score) => score.device_id)).toEqual([world.client.device.kid, world.therapist.device.kid]) // it takes nobody's place
  })

  test('that a token alone put there takes nobody’s place, and is marked only while it stands alone', async () => {
    const { world, client, therapist } = await setup()
    const row = world.client.send('something grave', { quiet: true })
    const finding = await new WordDetector().assess('calm')
    for (const side of [ScoreSide.sender, ScoreSide.clinician]) {
      const { kid } = side === ScoreSide.sender ? world.client.device : world.therapist.device
      const terms = { ...scoreOf(finding), session_id: world.client.id, message_id: row.id, epoch: 1, side, after_position: 0 }
      forge(world, row, { ...(await signScore(await makeDevice(), terms)), device_id: kid })
    }
    world.therapist.hear()
    await settled(therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([{ kind: 'disagreement', fields: ['signature'] }])
    world.client.hear()
    await settled(client, therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([])
    expect(world.scoresOf(row.id).map((score) => [score.side, score.level])).toEqual([['sender', 0], ['clinician', 0], ['clinician', 5], ['sender', 5]])
  })

  test('that never comes is a mark, once its time is over, until it comes', async () => {
    const { world, client, therapist } = await setup({ graceMs: 30 })
    const row = world.client.send('hello', { quiet: true })
    const marked = new Promise((resolve) => therapist.watch.on('badges', resolve))
    world.therapist.hear()
    await therapist.watch.settled()
    expect(await marked).toEqual({ messageId: row.id, badges: [{ kind: 'unscored' }] })
    world.client.hear()
    await settled(client, therapist)
    expect(therapist.watch.badgesOf(row.id)).toEqual([])
  })
})

describe('what cannot be read', () => {
  test('by anybody changes no state: both go on from the last one, as the sidecar does', async () => {
    const { world, client, therapist } = await setup()
    world.garbage.add(world.client.send('the first row is none', { quiet: true }).id)
    const second = world.client.send('one')
    world.garbage.add(world.therapist.send('nor is this', { quiet: true }).id)
    for (const seat of [world.client, world.therapist]) seat.hear()
    await settled(client, therapist)
    const last = world.client.send('something grave')
    for (const seat of [world.client, world.therapist]) seat.hear()
    await settled(client, therapist)
    expect(world.scoresOf(last.id).map((score) => score.after_position)).toEqual([3, 3])
    const words = new WordDetector()
    const before = await words.assess('one')
    const want = scoreOf(await words.assess('something grave', before.state))
    for (const score of world.scoresOf(last.id)) expect(score).toMatchObject(want)
    expect(world.scoresOf(second.id).length).toBe(2)
    expect([...therapist.badges.values()].flat()).toEqual([])
    const late = watching(world.again(world.therapist))
    await settled(late)
    expect([...late.badges.values()].flat()).toEqual([])
  })

  test('lets each later message be scored by itself, until it opens', async () => {
    const { world, client, therapist } = await setup()
    const closed = world.therapist.send('before this device came')
    world.unread.add(closed.id)
    world.client.hear()
    await settled(client)
    const alone = world.client.send('grave, all alone')
    await settled(client)
    expect(world.scoresOf(alone.id)[0]).toMatchObject({ side: 'sender', after_position: 0, level: 5 })
    world.unread.clear()
    world.therapist.hear()
    await settled(therapist)
    expect(disagreements(therapist)).toEqual([]) // it can be found again without a state
    world.client.shown.splice(0, 1, ...world.messages(world.client).slice(0, 1))
    for (const message of world.client.shown) world.client.events.emit('changed', message)
    world.client.hear()
    await settled(client)
    const after = world.client.send('with all that came before')
    await settled(client)
    expect(world.scoresOf(after.id)[0]).toMatchObject({ after_position: alone.position })
    world.therapist.hear()
    await settled(therapist)
    expect(disagreements(therapist)).toEqual([])
  })

  test('by the detector is tried again, told of once, and leaves the others to be scored by themselves', async () => {
    const words = new WordDetector()
    let failures = 0
    const failed: unknown[] = []
    const fold = new Fold({
      assessor: {
        assess: (text, state) => {
          if (text !== 'poison' && failures-- <= 0) return words.assess(text, state)
          return Promise.reject(new Error('the detector failed on a message'))
        },
      },
      clock: new QuickClock(),
      failed: (thrown) => failed.push(thrown),
    })
    failures = 3
    expect((await fold.next(1, 'hello'))?.after).toBe(0)
    expect((await fold.next(2, 'again'))?.after).toBe(1)
    expect(await fold.next(3, 'poison')).toBeUndefined()
    expect((await fold.next(4, 'hello'))?.finding).toEqual(await words.assess('hello'))
    expect((await fold.ahead('hello'))?.after).toBe(0)
    expect(failed.length).toBe(2)
  })

  test('once closed, nothing is scored any more', async () => {
    const { world, client } = await setup()
    client.watch.close()
    world.client.send('hello')
    world.client.hear()
    await settled(client)
    expect(world.tables.scores).toEqual([])
    expect(client.detector.asked).toBe(0)
  })
})
