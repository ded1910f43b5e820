import { createClient } from '@supabase/supabase-js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { readSharing, Sharing, sharingOf } from '../src/api/sharing.ts'
import type { Alert } from '../src/api/rows.ts'
import { FakeProject, rowsOf } from './fakes.ts'

const raisedAt = new Date('2026-11-23T05:00:00Z')
const alert = (id: string, more: Partial<Alert> = {}): Alert => ({
  id, organizationId: 'o', sessionId: 's', messageId: `of ${id}`, level: 4, status: 'open', version: 1, source: 'sidecar', textShared: true, raisedAt, updatedAt: raisedAt, ...more,
})
const later = (seconds: number): Date => new Date(raisedAt.getTime() + seconds * 1000)

afterEach(() => { vi.unstubAllGlobals() })

describe('whether whom an alert paged can read its message', () => {
  test('it is shared where they hold the key, whatever was agreed to when it was raised', () => {
    expect(sharingOf(alert('a'), new Set(['me']), 'me', later(3600))).toBe(Sharing.shared)
    expect(sharingOf(alert('a', { textShared: false }), new Set(['me']), 'me', later(3600))).toBe(Sharing.shared)
  })

  test('agreed to and not there: on its way for a minute, and then it could not be shared', () => {
    expect(sharingOf(alert('a'), undefined, 'me', later(59))).toBe(Sharing.underway)
    expect(sharingOf(alert('a'), new Set(['another']), 'me', later(60))).toBe(Sharing.failed)
  })

  test('not agreed to: it is not on its way', () => {
    expect(sharingOf(alert('a', { textShared: false }), undefined, 'me', later(1))).toBe(Sharing.refused)
  })

  test('a key of another epoch or session opens nothing of this message', async () => {
    const project = new FakeProject()
    project.answers.set('messages', () => rowsOf([{ id: 'of a', epoch: 3 }, { id: 'of b', epoch: 2 }]))
    project.answers.set('epoch_readers', () => rowsOf([
      { session_id: 's', epoch: 3, user_id: 'me' }, { session_id: 's', epoch: 4, user_id: 'another' }, { session_id: 'elsewhere', epoch: 2, user_id: 'me' },
    ]))
    vi.stubGlobal('WebSocket', class { readonly url = '' }) // Node 20 has none, and none is opened
    const supabase = createClient('http://project.test', 'key', { global: { fetch: project.fetch }, auth: { persistSession: false, autoRefreshToken: false } })
    const sharing = await readSharing(supabase, [alert('a'), alert('b'), alert('c', { textShared: false })])
    expect([...sharing.get('a') ?? []]).toEqual(['me'])
    expect(sharing.get('b')?.size).toBe(0)
    expect(sharing.has('c')).toBe(false)
  })
})
