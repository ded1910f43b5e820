import { describe, expect, test } from 'vitest'
import { inOrder, lastStep, unresolved, withAlerts, withEvents } from '../src/alerts/book.ts'
import type { Alert, AlertEvent, Assessment } from '../src/api/rows.ts'
import { withAssessments } from '../src/session/care-store.ts'
import { channelAfter } from '../src/session/session-store.ts'
import { recoveryWords } from '../src/session/channel-chip.tsx'
import { linesOf } from '../src/sessions/sessions-store.ts'

const at = new Date('2026-11-23T05:00:00Z')
const alert = (id: string, more: Partial<Alert> = {}): Alert => ({
  id, organizationId: 'o', sessionId: 's', messageId: 'm', level: 4, status: 'open', version: 1, source: 'sidecar', textShared: true, raisedAt: at, updatedAt: at, ...more,
})
const assessment = (id: string, more: Partial<Assessment> = {}): Assessment => ({
  id, sessionId: 's', messageId: 'm', position: 1, status: 'assessed', reason: null, level: 1, harmOthers: false, abuse: false, distress: false,
  items: [], scores: { risk: null, harmOthers: null, abuse: null, distress: null }, emotions: [], language: null, evidence: [],
  sentiment: 0, topics: [], alert: false, superseded: false, createdAt: at, ...more,
})

describe('tables and broadcasts, in any order', () => {
  test('an alert never goes back to an older version', () => {
    const later = alert('a', { version: 3, status: 'resolved' })
    expect(withAlerts(withAlerts(new Map(), [later]), [alert('a')]).get('a')).toBe(later)
    expect(withAlerts(withAlerts(new Map(), [alert('a')]), [later]).get('a')).toBe(later)
  })

  test('open ones first, the gravest of them first, and unknown before all', () => {
    const alerts = [alert('resolved', { status: 'resolved', level: 6 }), alert('mild', { level: 1 }), alert('other danger', { level: 0 }), alert('six', { level: 6 }), alert('unknown', { level: null }), alert('had', { status: 'acknowledged', level: 6 })]
    expect(inOrder(withAlerts(new Map(), alerts)).map((one) => one.id)).toEqual(['unknown', 'six', 'other danger', 'mild', 'had', 'resolved'])
    expect(unresolved(alerts)).toBe(5)
  })

  test('an event counts once, and the last step is a person’s', () => {
    const event = (id: string, version: number, actorId: string | null): AlertEvent => ({ id, alertId: 'a', kind: 'raised', actorId, version, at })
    const events = withEvents(withEvents(new Map(), [event('2', 2, 'theo')]), [event('1', 1, null), event('2', 2, 'theo'), event('3', 3, null)])
    expect(events.get('a')?.map((one) => one.version)).toEqual([1, 2, 3])
    expect(lastStep(events.get('a'))?.actorId).toBe('theo')
  })

  test.each([['before', [0, 1]], ['after', [1, 0]]] as const)('a superseded assessment that is heard %s its successor does not stand', (_, order) => {
    const rows = [assessment('old', { superseded: true }), assessment('new', { level: 5, createdAt: new Date(at.getTime() + 1) })] as const
    const known = withAssessments(new Map([['m', assessment('old')]]), order.map((one) => rows[one]))
    expect(known.get('m')?.id).toBe('new')
  })
})

describe('the channel', () => {
  test('it connects, recovers and ends', () => {
    expect(channelAfter('connecting', 'waiting')).toBe('connecting')
    expect(channelAfter('connecting', 'joined')).toBe('connected')
    expect(channelAfter('connected', 'waiting')).toBe('recovering')
    expect(channelAfter('recovering', 'waiting')).toBe('recovering')
    expect(channelAfter('connected', 'ended')).toBe('ended')
  })

  test('what a join made good is said, and what it could not', () => {
    expect(recoveryWords({ recovered: true, replayed: 3, missed: 0 })).toBe('recovered 3')
    expect(recoveryWords({ recovered: true, replayed: 0, missed: 0 })).toBe('nothing was missed')
    expect(recoveryWords({ recovered: false, replayed: 0, missed: 7 })).toContain('missed 7')
    expect(recoveryWords({ recovered: false, replayed: 0, missed: null })).toContain('unknown')
  })
})

describe('the list of sessions', () => {
  const session = (id: string, status: 'active' | 'ended' | 'scheduled') => ({
    id, organizationId: 'o', mode: 'assisted', status, scheduledFor: null, startedAt: null, endedAt: null, createdAt: at,
  } as const)
  const participant = (sessionId: string, userId: string, role: 'client' | 'therapist') => ({ sessionId, userId, role, endedAt: null })

  test('who pages comes first, then what runs; the other is named, oneself is not', () => {
    const lines = linesOf(
      [session('over', 'ended'), session('runs', 'active'), session('pages', 'ended')],
      [participant('runs', 'me', 'therapist'), participant('runs', 'clio', 'client')],
      new Map([['clio', 'Clio'], ['me', 'Theo']]),
      [alert('mild', { sessionId: 'pages' }), alert('grave', { sessionId: 'pages', level: 6 })],
      'me',
    )
    expect(lines.map((one) => one.id)).toEqual(['pages', 'runs', 'over'])
    expect(lines[1]).toMatchObject({ with: ['Clio'], myRole: 'therapist', alerts: [] })
    expect(lines[0]?.alerts.map((one) => one.id)).toEqual(['grave', 'mild'])
    expect(lines[0]?.myRole).toBeNull()
  })
})
