import { describe, expect, test, vi } from 'vitest'
import { Emitter } from '../src/events.ts'
import { EnvelopeError, RequestError, toError } from '../src/failure.ts'
import { signConsent } from '../src/consent.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { makeEpoch, openEpoch } from '../src/epoch.ts'
import { MaxBodyBytes, BodyOverhead, openMessage, sealMessage, textContent } from '../src/message.ts'
import { Guard } from '../src/guard.ts'
import { Pins } from '../src/pins.ts'
import type { Refused } from '../src/refusals.ts'
import { parseRoster } from '../src/roster.ts'
import { State } from '../src/state.ts'
import { MemoryStore } from '../src/memory.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'

interface Bench {
  readonly tables: Tables
  readonly client: Device
  readonly clientId: string
  readonly therapist: Device
  readonly analysis: Device
  readonly database: MemoryDatabase
  readonly guard: Guard
  readonly refusals: Refused[]
  readonly state: State
}

async function setup(mode: 'assisted' | 'strict'): Promise<Bench> {
  const tables = newTables(mode)
  const [client, therapist, analysis] = [await makeDevice(), await makeDevice(), await makeDevice()]
  const clientId = join(tables, 'client')
  addDevice(tables, clientId, client)
  addDevice(tables, join(tables, 'therapist'), therapist)
  addDevice(tables, null, analysis)
  const database = new MemoryDatabase(tables, clientId)
  const store = new MemoryStore()
  const guard = new Guard({ store, account: 'test', sessionId: tables.session.id })
  const refusals: Refused[] = []
  const state = new State({
    id: tables.session.id, device: client, database, pins: new Pins(store, 'test'), guard, refused: (one) => refusals.push(one),
    failed: () => undefined,
  })
  await state.refresh()
  return { tables, client, clientId, therapist, analysis, database, guard, refusals, state }
}

async function consent(bench: Bench, by: Device): Promise<string> {
  const terms = await signConsent(by, {
    id: crypto.randomUUID(), sessionId: bench.tables.session.id, text: 'I agree', scope: ['analysis'],
  })
  await bench.database.insertConsent(terms)
  return terms.id
}

const refused = (code: string, details = ''): RequestError => new RequestError('create epoch', code, 400, 'refused', details)

describe('which epoch is sent under', () => {
  test('the newest as long as it fits', async () => {
    const bench = await setup('strict')
    const numbers = []
    for (let i = 0; i < 3; i++) numbers.push((await bench.state.sending()).number)
    expect(numbers).toEqual([1, 1, 1])
  })

  test("another once the database says so, by its own count and clock, whatever this device's clock says", async () => {
    const bench = await setup('strict')
    const first = await bench.state.sending()
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 400 * 24 * 60 * 60 * 1000)
    expect((await bench.state.sending()).number).toBe(first.number)
    vi.restoreAllMocks()
    const aged = new RequestError('send', 'VG010', 400, 'epoch 1 may not be used', JSON.stringify({ min_epoch: 2, next_epoch: 2 }))
    bench.state.retire(aged) // min_epoch of the session stays what it was: the refusal is rolled back with the insert
    await bench.state.refresh()
    expect((await bench.state.sending()).number).toBe(2)
    bench.state.retire(aged)
    expect((await bench.state.sending()).number).toBe(2)
  })

  test('a refusal that names an epoch beyond the next, or none, asks for no more than the next', async () => {
    const bench = await setup('strict')
    await bench.state.sending()
    for (const details of ['{"min_epoch":2000000000}', '', '{}']) {
      bench.state.retire(new RequestError('send', 'VG010', 400, 'refused', details))
    }
    await bench.state.refresh()
    expect([(await bench.state.sending()).number, (await bench.state.sending()).number]).toEqual([2, 2])
  })

  test('a mode that changed puts the sidecar on the roster, or takes it off', async () => {
    const bench = await setup('strict')
    await bench.state.sending()
    bench.tables.session = { ...bench.tables.session, mode: 'assisted', min_epoch: 2 }
    await bench.state.refresh()
    await expect(bench.state.sending()).rejects.toMatchObject({ reason: 'mode_changed' })
    const id = await consent(bench, bench.client)
    await bench.guard.acknowledge(bench.state.row, 'assisted')
    await bench.state.refresh()
    const watched = await bench.state.sending()
    expect(watched).toMatchObject({ number: 2, consentId: id })
    bench.tables.session = { ...bench.tables.session, mode: 'strict', min_epoch: 3 }
    await bench.state.refresh()
    await expect(bench.state.sending()).rejects.toMatchObject({ reason: 'mode_changed' })
    await bench.guard.acknowledge(bench.state.row, 'strict')
    const unwatched = await bench.state.sending()
    expect(unwatched).toMatchObject({ number: 3, consentId: null })
    expect(unwatched.roster.map((member) => member.kid)).not.toContain(bench.analysis.kid)
  })

  test("a therapist's signature is no consent", async () => {
    const bench = await setup('assisted')
    await consent(bench, bench.therapist)
    await expect(bench.state.sending()).rejects.toMatchObject({ reason: 'consent_missing' })
    expect(bench.tables.epochs).toHaveLength(0)
  })

  test("another's epoch without the consent it needs is not used", async () => {
    const bench = await setup('assisted')
    const id = await consent(bench, bench.client)
    await bench.state.refresh()
    const roster = (await bench.state.sending()).roster
    const forged = await makeEpoch(bench.therapist, {
      sessionId: bench.tables.session.id, number: 2, roster, consentId: crypto.randomUUID(),
    })
    await bench.database.createEpoch(forged.row)
    await bench.state.refresh()
    await expect(bench.state.reading(2)).rejects.toMatchObject({ refusal: 'consent' })
    expect(await bench.state.sending()).toMatchObject({ number: 3, consentId: id })
  })

  test('an epoch made under a consent that was withdrawn before is not even read', async () => {
    const bench = await setup('assisted')
    const id = await consent(bench, bench.client)
    await bench.state.refresh()
    const first = await bench.state.sending()
    await bench.database.withdrawConsent(id, '')
    const withdrawn = bench.tables.consents[0]
    const row = bench.tables.epochs[0]
    if (withdrawn === undefined || row === undefined) throw new Error('rows are missing')
    const wrap = (await bench.database.wraps('', bench.client.kid)).get(1)
    const at = (ms: number): string => new Date(Date.parse(withdrawn.withdrawn_at ?? '') + ms).toISOString()
    const open = (created_at: string | null, history: boolean): Promise<unknown> =>
      openEpoch({ ...row, created_at }, wrap, withdrawn, bench.client, { history })
    await expect(open(at(-1), true)).resolves.toMatchObject({ number: first.number })
    for (const [made, history] of [[at(-1), false], [at(1), true], [null, true]] as const) {
      await expect(open(made, history)).rejects.toMatchObject({ refusal: 'consent' })
    }
  })

  test('what the database will not have on the roster is left out, until it asks for it', async () => {
    const bench = await setup('strict')
    const difference = { missing: [], not_expected: [bench.therapist.kid], different: [] }
    bench.database.fail('createEpoch', 'before', refused('VG004', JSON.stringify(difference)))
    expect((await bench.state.sending()).roster.map((member) => member.kid)).toEqual([bench.client.kid])
    bench.database.rotate()
    await bench.state.refresh()
    const missing = { missing: [bench.therapist.kid], not_expected: [] }
    bench.database.fail('createEpoch', 'before', refused('VG004', JSON.stringify(missing)))
    expect((await bench.state.sending()).roster).toHaveLength(2)
  })

  test.each([
    ['VG006', 'consent_missing'],
    ['VG002', 'not_active'],
  ])('%s is told as %s', async (code, reason) => {
    const bench = await setup('strict')
    for (let i = 0; i < 2; i++) bench.database.fail('createEpoch', 'before', refused(code))
    await expect(bench.state.sending()).rejects.toMatchObject({ reason })
  })

  test('an unknown refusal is handed on, and an endless race ends', async () => {
    const bench = await setup('strict')
    bench.database.fail('createEpoch', 'before', refused('VG099'))
    await expect(bench.state.sending()).rejects.toMatchObject({ code: 'VG099' })
    for (let i = 0; i < 12; i++) bench.database.fail('createEpoch', 'before', refused('PT409'))
    await expect(bench.state.sending()).rejects.toMatchObject({ name: 'SessionError' })
  })

  test('a reading that comes while devices are looked at makes nobody a stranger', async () => {
    const bench = await setup('assisted')
    const meet = vi.spyOn(Pins.prototype, 'meet')
    meet.mockImplementationOnce(async (...asked) => {
      bench.tables.devices = bench.tables.devices.map((row) => ({ ...row })) // a database gives new rows each time
      await bench.state.refresh()
      return new Pins(new MemoryStore(), 'test').meet(...asked)
    })
    expect(await bench.state.unacknowledged()).toEqual([])
    expect(meet).toHaveBeenCalledTimes(2)
    meet.mockRestore()
  })

  test('callers who come during a read share the one after it', async () => {
    const bench = await setup('strict')
    const before = bench.database.calls.filter((call) => call === 'session').length
    await Promise.all(Array.from({ length: 10 }, () => bench.state.refresh()))
    expect(bench.database.calls.filter((call) => call === 'session').length - before).toBeLessThanOrEqual(2)
    bench.database.fail('session', 'before')
    await expect(bench.state.refresh()).rejects.toMatchObject({ name: 'RequestError' })
    await bench.state.refresh()
  })
})

describe('messages', () => {
  test('the largest opens, a larger one is refused, and neither the sidecar nor a stranger can send', async () => {
    const bench = await setup('assisted')
    await consent(bench, bench.client)
    await bench.state.refresh()
    const epoch = await bench.state.sending()
    const at = { id: crypto.randomUUID(), seq: 0 }
    const largest = new Uint8Array(MaxBodyBytes - BodyOverhead)
    const sealed = await sealMessage(bench.client, epoch, at, largest)
    expect(sealed.body).toHaveLength(65_536)
    expect(await openMessage(epoch, sealed)).toHaveLength(largest.length)
    const larger = new Uint8Array(largest.length + 1)
    await expect(sealMessage(bench.client, epoch, at, larger)).rejects.toMatchObject({ refusal: 'format' })
    for (const device of [bench.analysis, await makeDevice()]) {
      await expect(sealMessage(device, epoch, at, textContent('x', new Date()))).rejects.toMatchObject({ refusal: 'roster' })
    }
    const roster = await parseRoster([
      { kid: bench.analysis.kid, role: 9, enc_pub: bench.analysis.encPub, sig_pub: bench.analysis.sigPub },
    ])
    const terms = { sessionId: bench.tables.session.id, number: 9, roster, consentId: null }
    await expect(makeEpoch(bench.analysis, terms)).rejects.toMatchObject({ refusal: 'roster' })
  })
})

describe('errors and events', () => {
  test.each([
    [0, true], [401, true], [408, true], [429, true], [500, true], [503, true], [400, false], [403, false], [404, false], [409, false],
  ])('status %i is temporary: %s', (status, temporary) => {
    expect(new RequestError('send', '', status, 'x').temporary).toBe(temporary)
  })

  test('what is thrown becomes an Error with its cause', () => {
    const error = new EnvelopeError('wrap', 'x')
    expect(toError(error, 'try')).toBe(error)
    expect(toError('text', 'try')).toMatchObject({ message: 'try', cause: 'text' })
  })

  test('a listener that throws keeps nobody from hearing, and an undone one hears no more', () => {
    vi.stubGlobal('queueMicrotask', () => undefined) // where the throw would go
    const events = new Emitter<{ said: string }>()
    const heard: string[] = []
    events.on('said', () => {
      throw new Error('mine alone')
    })
    const undo = events.on('said', (text) => heard.push(text))
    events.emit('said', 'a')
    undo()
    undo()
    events.emit('said', 'b')
    expect(heard).toEqual(['a'])
    vi.unstubAllGlobals()
  })
})
