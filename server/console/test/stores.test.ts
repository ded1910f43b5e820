import { createClient } from '@supabase/supabase-js'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { AlertRow, ChatMessage, Suggestion } from 'vigil-client'
import { AlertStep } from '../src/api/care.ts'
import { parseAlert } from '../src/api/rows.ts'
import { CareStore } from '../src/session/care-store.ts'
import { SessionStore, type SessionView } from '../src/session/session-store.ts'
import { FakeProject, FakeSession, ids, refusal, rowsOf } from './fakes.ts'

const at = '2026-11-23T05:00:00+00:00'
const alertRow = (more: Partial<AlertRow> = {}): AlertRow => ({
  id: 'a', organization_id: ids.organization, session_id: ids.session, message_id: 'm', assessment_id: 's', level: 5, status: 'open', version: 1, source: 'sidecar', text_shared: true,
  policy_version: 1, ruleset_version: 'r', model_version: 'm', raised_at: at, updated_at: at, ...more,
})
const message = (id: string, me = false): ChatMessage => ({
  id, position: 1, from: { userId: me ? ids.client : ids.therapist, deviceId: 'd', role: me ? 'client' : 'therapist', me }, text: id, epoch: 1, files: [], badges: [], badge: null,
  watched: true, missing: 0, readers: [], at: new Date(at),
})

function setup() {
  const session = new FakeSession()
  const project = new FakeProject()
  const supabase = createClient('http://project.test', 'key', { global: { fetch: project.fetch }, auth: { persistSession: false, autoRefreshToken: false } })
  project.answers.set('session_participants', () => rowsOf([
    { session_id: ids.session, user_id: ids.client, role: 'client', ended_at: null }, { session_id: ids.session, user_id: ids.therapist, role: 'therapist', ended_at: null },
  ]))
  project.answers.set('profiles', () => rowsOf([{ user_id: ids.therapist, display_name: 'Theo' }]))
  const opener = { session: () => Promise.resolve(session) }
  const store = new SessionStore({ supabase, vigil: () => Promise.resolve(opener), id: ids.session, userId: ids.client })
  return { session, project, supabase, store }
}

function viewOf(store: SessionStore): SessionView {
  const load = store.load.get()
  if (load.phase !== 'ready') throw new Error(`it is ${load.phase}`)
  return load.view.get()
}

beforeEach(() => {
  vi.stubGlobal('WebSocket', class { readonly url = '' }) // Node 20 has none, and none is opened
  vi.stubGlobal('document', { visibilityState: 'visible', addEventListener: () => undefined, removeEventListener: () => undefined })
  vi.stubGlobal('window', { addEventListener: () => undefined, removeEventListener: () => undefined })
})
afterEach(() => { vi.unstubAllGlobals() })

describe('a session', () => {
  test('it joins names, history and channel, and everything it began ends with it', async () => {
    const { store, session } = setup()
    await store.open()
    expect(viewOf(store)).toMatchObject({ myRole: 'client', channel: 'connecting', people: [{ name: 'A client' }, { name: 'Theo', role: 'therapist' }] })
    for (const id of ['1', '2', '3']) session.emit('message', message(id))
    await Promise.resolve()
    session.emit('status', 'joined')
    session.emit('status', 'waiting')
    session.emit('presence', [ids.therapist])
    expect(viewOf(store).messages.map((one) => one.id)).toEqual(['1', '2', '3'])
    expect(viewOf(store)).toMatchObject({ channel: 'recovering', present: [ids.therapist] })
    session.emit('status', 'joined')
    session.emit('recovery', { recovered: true, replayed: 2, missed: 0 })
    expect(viewOf(store)).toMatchObject({ channel: 'connected', recovery: { replayed: 2 } })
    store.close()
    expect(session.listening).toBe(0)
    expect(session.closed).toBe(1)
  })

  test('a client’s session hears nothing of care, and asks no table of it', async () => {
    const { store, session, project } = setup()
    await store.open()
    for (const name of ['alert', 'alert_event', 'assessment', 'suggestion'] as const) expect(session.hears(name)).toBe(false)
    for (const table of ['alerts', 'alert_events', 'assessments', 'suggestions', 'suggestion_seals']) expect(project.asked).not.toContain(table)
    store.close()
  })

  test('what cannot be opened says why, and leaves nothing behind', async () => {
    const { store, session, project } = setup()
    project.answers.set('session_participants', () => refusal(500, 'XX000'))
    await store.open()
    expect(store.load.get()).toMatchObject({ phase: 'failed', problem: { title: 'The server is in trouble' } })
    expect([session.listening, session.closed]).toEqual([0, 1])
  })

  test('one that is closed while it opens is left at once', async () => {
    const { store, session } = setup()
    const opening = store.open()
    store.close()
    await opening
    expect([session.listening, session.closed]).toEqual([0, 1])
    expect(store.load.get().phase).toBe('loading')
  })

  test('one’s own message takes its draft away', async () => {
    const { store, session } = setup()
    await store.open()
    await store.outgoing.send('hello')
    expect(store.outgoing.drafts.get()).toHaveLength(1)
    session.emit('message', { ...message(store.outgoing.drafts.get()[0]?.id ?? '', true), text: 'hello' })
    await Promise.resolve()
    expect(store.outgoing.drafts.get()).toEqual([])
    store.close()
  })
})

describe('care', () => {
  function open() {
    const parts = setup()
    const care = new CareStore({ supabase: parts.supabase, session: parts.session })
    return { ...parts, care }
  }

  test('the table and the topic are one: an alert that is heard is told once, and its later version stands', async () => {
    const { care, session, project } = open()
    care.open()
    await vi.waitFor(() => { expect(care.view.get().phase).toBe('ready') })
    session.emit('alert', alertRow())
    session.emit('alert', alertRow({ status: 'acknowledged', version: 2 }))
    session.emit('alert', alertRow())
    expect(care.view.get().alerts.get('a')).toMatchObject({ status: 'acknowledged', version: 2 })
    expect(care.view.get().raised).toEqual(['a'])
    const before = project.asked.length
    session.emit('error', new Error('id is no text')) // a row that the client could not read
    await vi.waitFor(() => { expect(project.asked.slice(before)).toContain('alerts') })
    care.close()
    expect(session.listening).toBe(0)
  })

  test('somebody was faster: what stands is read, and said', async () => {
    const { care, project } = open()
    const shown = parseAlert(alertRow())
    project.answers.set('rpc/acknowledge_alert', () => refusal(409, 'PT409', '{"status": "acknowledged", "version": 2}'))
    project.answers.set('alerts', () => rowsOf([alertRow({ status: 'acknowledged', version: 2 })]))
    const outcome = await care.step(AlertStep.acknowledge, shown)
    expect(outcome).toMatchObject({ done: false, problem: { title: 'Somebody was faster' } })
    expect(care.view.get().alerts.get('a')).toMatchObject({ status: 'acknowledged', version: 2 })
    care.close()
  })

  test('an erased suggestion leaves', () => {
    const { care, session } = open()
    const one: Suggestion = {
      id: 's', messageId: 'm', requestedBy: null, status: 'offered', reason: null, source: 'bank', move: 'safety', model: null, text: 'Are you safe?',
      unreadable: null, sentMessageId: null, decidedBy: null, version: 3, at: new Date(at),
    }
    care.open()
    session.emit('suggestion', one)
    session.emit('suggestion', { ...one, id: 't' })
    session.emit('suggestion_deleted', 's')
    expect(care.view.get().suggestions.map((left) => left.id)).toEqual(['t'])
    care.close()
  })

  test('a suggestion sent as it was is accepted, a changed one edited', async () => {
    const { care, session } = open()
    const suggestion: Suggestion = {
      id: 's', messageId: 'm', requestedBy: null, status: 'offered', reason: null, source: 'bank', move: 'safety', model: null, text: 'Are you safe?',
      unreadable: null, sentMessageId: null, decidedBy: null, version: 3, at: new Date(at),
    }
    await care.sent(suggestion, 'Are you safe?', 'm1')
    await care.sent(suggestion, 'Are you safe now?', 'm2')
    await care.reject(suggestion)
    expect(session.asked).toEqual([['s', 'accepted', 3, 'm1'], ['s', 'edited', 3, 'm2'], ['s', 'rejected', 3]])
  })
})
