import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DeviceChangedError, SessionError } from 'vigil-client'
import { Outgoing } from '../src/session/outgoing.ts'

interface Sent {
  readonly text: string
  readonly stored: (id: string) => void
  readonly refused: (error: Error) => void
}

function setup(): { readonly outgoing: Outgoing; readonly sent: Sent[] } {
  const sent: Sent[] = []
  const outgoing = new Outgoing((text) => new Promise((stored, refused) => { sent.push({ text, stored, refused }) }))
  return { outgoing, sent }
}

const states = (outgoing: Outgoing): string[] => outgoing.drafts.get().map((one) => `${one.text} ${one.state}`)

describe('outgoing', () => {
  beforeEach(() => { vi.useFakeTimers() })
  afterEach(() => { vi.useRealTimers() })

  test('it is sending, then waits, then stored, and gone once the message itself shows', async () => {
    const { outgoing, sent } = setup()
    const done = outgoing.send('a')
    expect(states(outgoing)).toEqual(['a sending'])
    await vi.advanceTimersByTimeAsync(3000)
    expect(states(outgoing)).toEqual(['a queued'])
    sent[0]?.stored('id-a')
    await expect(done).resolves.toBe('id-a')
    expect(states(outgoing)).toEqual(['a stored'])
    outgoing.arrived({ id: 'id-a', text: 'a' })
    expect(states(outgoing)).toEqual([])
  })

  test('a message that shows before it is known to be stored is not shown twice', async () => {
    const { outgoing, sent } = setup()
    const done = outgoing.send('a')
    outgoing.arrived({ id: 'id-a', text: 'a' })
    expect(states(outgoing)).toEqual([])
    sent[0]?.stored('id-a')
    await done
    expect(states(outgoing)).toEqual([])
  })

  test('the same text sent twice loses one draft for each message', () => {
    const { outgoing } = setup()
    void outgoing.send('a')
    void outgoing.send('a')
    outgoing.arrived({ id: '1', text: 'a' })
    expect(states(outgoing)).toEqual(['a sending'])
  })

  test('what was refused stays, says why, and can be sent again or taken back', async () => {
    const { outgoing, sent } = setup()
    const done = outgoing.send('a')
    sent[0]?.refused(new SessionError('not_active', 'x'))
    await expect(done).resolves.toBeNull()
    const [draft] = outgoing.drafts.get()
    expect(draft).toMatchObject({ state: 'failed', problem: { code: 'not_active' } })
    outgoing.arrived({ id: 'other', text: 'a' })
    expect(states(outgoing)).toEqual(['a failed'])
    void outgoing.retry(draft?.key ?? '')
    expect(states(outgoing)).toEqual(['a sending'])
    expect(sent.map((one) => one.text)).toEqual(['a', 'a'])
    expect(outgoing.takeBack(outgoing.drafts.get()[0]?.key ?? '')).toBe('a')
    expect(states(outgoing)).toEqual([])
  })

  test('after it was closed nothing changes any more', async () => {
    const { outgoing, sent } = setup()
    const done = outgoing.send('a')
    outgoing.close()
    sent[0]?.stored('1')
    await done
    expect(states(outgoing)).toEqual(['a sending'])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('what waits for the person says for what, and is told from what waits for the network', () => {
    const { outgoing } = setup()
    void outgoing.send('a')
    void outgoing.send('b')
    const waiting = (id: string, text: string, held: Error | null) => ({ id, text, files: [], held })
    outgoing.queued([waiting('1', 'a', new DeviceChangedError(['d'])), waiting('2', 'b', null)])
    expect(states(outgoing)).toEqual(['a held', 'b sending'])
    expect(outgoing.drafts.get().map((one) => [one.id, one.problem?.code ?? null])).toEqual([['1', 'device_changed'], ['2', null]])
    outgoing.queued([waiting('1', 'a', null)])
    expect(states(outgoing)).toEqual(['a sending', 'b sending'])
  })

  test('what an earlier visit left is shown, and gone when it is sent', () => {
    const { outgoing } = setup()
    const left = { id: '9', text: 'from before', files: [], held: null }
    outgoing.queued([left])
    expect(states(outgoing)).toEqual(['from before queued'])
    outgoing.queued([left])
    expect(states(outgoing)).toEqual(['from before queued'])
    outgoing.queued([])
    expect(states(outgoing)).toEqual([])
  })

  test('the same text twice is two drafts, each of its own id', () => {
    const { outgoing } = setup()
    void outgoing.send('a')
    void outgoing.send('a')
    outgoing.queued([{ id: '1', text: 'a', files: [], held: null }, { id: '2', text: 'a', files: [], held: null }])
    expect(outgoing.drafts.get().map((one) => one.id)).toEqual(['1', '2'])
  })

  test('what was taken back is no failure', async () => {
    const { outgoing, sent } = setup()
    const done = outgoing.send('a')
    const [draft] = outgoing.drafts.get()
    expect(outgoing.takeBack(draft?.key ?? '')).toBe('a')
    sent[0]?.refused(new SessionError('taken_back', 'x'))
    await expect(done).resolves.toBeNull()
    expect(states(outgoing)).toEqual([])
  })
})
