// @vitest-environment happy-dom
import { act, cleanup, render } from '@testing-library/react'
import { createClient } from '@supabase/supabase-js'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ChatMessage } from 'vigil-client'
import { WatchOnDevice } from '../src/session/device-watch.tsx'
import { SessionStore, type SessionView } from '../src/session/session-store.ts'
import { FakeSession, ids } from './fakes.ts'

const watches = vi.hoisted((): { begun: unknown[]; loaded: number; left: number; closed: number; finish: () => void } => ({
  begun: [], loaded: 0, left: 0, closed: 0, finish: () => undefined,
}))
vi.mock('vigil-client/strict', () => ({
  StrictWatch: class {
    constructor(_session: unknown, _detector: unknown, options: unknown) {
      watches.begun.push(options)
    }

    on(): () => void {
      return () => undefined
    }

    finish(): Promise<void> {
      watches.left++
      return new Promise((resolve) => { watches.finish = resolve })
    }
  },
}))
vi.mock('vigil-client/detect', () => ({
  Detector: class {
    load(): void {
      watches.loaded++
    }

    close(): void {
      watches.closed++
    }
  },
}))

beforeEach(() => {
  watches.begun.length = watches.loaded = watches.left = watches.closed = 0
})
afterEach(cleanup)

const session = new FakeSession()
const store = new SessionStore({ supabase: createClient('http://nowhere.invalid', 'key'), vigil: () => Promise.resolve({ session: () => Promise.resolve(session) }), id: ids.session, userId: ids.client })
const view = (more: Partial<SessionView>): SessionView => ({
  row: session.row, myRole: 'client', people: [], readerNames: new Map(), messages: [], liveFrom: 0, channel: 'connected', recovery: null, present: [], consents: [], readers: [],
  strangers: [], modeChange: null, scored: new Map(), erased: false, trouble: null, ...more,
})
const message = (more: Partial<ChatMessage>): ChatMessage => ({
  id: 'm', position: 1, epoch: 1, files: [], badges: [], from: { userId: ids.client, deviceId: 'd', role: 'client', me: true }, text: 'hello', badge: null, watched: true, missing: 0, readers: [],
  at: new Date(0), ...more,
})
const screen = (more: Partial<SessionView>) => <WatchOnDevice session={session} view={view(more)} store={store} />
const settle = async (): Promise<void> => { await act(() => vi.dynamicImportSettled()) }

/** Until every effect and timer of now has run. */
async function turn(): Promise<void> {
  await act(() => new Promise((resolve) => { setTimeout(resolve) }))
  await settle()
}

test.each(['client', 'therapist'] as const)('a %s of a session that was private scores what was sent then', async (myRole) => {
  render(screen({ myRole, messages: [message({ watched: false }), message({ position: 2 })] }))
  await turn()
  await vi.waitFor(() => { expect(watches.begun).toEqual([{ clinician: myRole === 'therapist' }]) })
})

test('a session that becomes assisted keeps its watch, so that no score is dropped on its way; an erased one does not', async () => {
  const shown = render(screen({ row: { ...session.row, mode: 'strict' } }))
  await turn()
  await vi.waitFor(() => { expect(watches.begun).toHaveLength(1) })
  shown.rerender(screen({ row: { ...session.row, mode: 'assisted' } }))
  await turn()
  expect(watches).toMatchObject({ loaded: 1, left: 0 }) // before anything was sent
  shown.rerender(screen({ row: { ...session.row, mode: 'assisted' }, erased: true }))
  await turn()
  expect(watches).toMatchObject({ begun: [{ clinician: false }], left: 1 })
})

test('who leaves the screen closes the detector only once what was sent is scored', async () => {
  const shown = render(screen({ row: { ...session.row, mode: 'strict' } }))
  await turn()
  await vi.waitFor(() => { expect(watches.loaded).toBe(1) })
  shown.unmount()
  await turn()
  expect(watches).toMatchObject({ left: 1, closed: 0 })
  watches.finish()
  await turn()
  expect(watches.closed).toBe(1)
})

test.each<[string, Partial<SessionView>]>([
  ['was never private, but for what cannot be read', { messages: [message({}), message({ position: 2, text: null, watched: false })] }],
  ['is not theirs to take part in', { myRole: null, messages: [message({ watched: false })] }],
])('nothing is loaded in a session that %s', async (_, more) => {
  render(screen(more))
  await turn()
  expect(watches.begun).toEqual([])
})
