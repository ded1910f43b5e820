import { describe, expect, test } from 'vitest'
import { DeviceChangedError, RequestError, SessionError } from 'vigil-client'
import { conflictOf, problemOf, Refused } from '../src/api/problem.ts'

describe('what went wrong, in words', () => {
  test('somebody was faster: what it is now is taken from the refusal', () => {
    const refused = new Refused('change the alert', { code: 'PT409', status: 409, details: '{"status": "acknowledged", "version": 2}' })
    expect(conflictOf(refused)).toEqual({ status: 'acknowledged', version: 2 })
    expect(problemOf(refused, 'acknowledge the alert').title).toBe('Somebody was faster')
    expect(conflictOf(new Refused('x', { code: 'PT409', status: 409, details: 'not json' }))).toEqual({ status: null, version: null })
    expect(conflictOf(new Refused('x', { code: '42501', status: 403 }))).toBeUndefined()
  })

  test.each([
    ['no network', new Refused('read', { status: 0 }), 'No answer from the server'],
    ['an ended login', new RequestError('read', '', 401, 'no'), 'Your login has ended'],
    ['too many', new Refused('read', { code: 'over_request_rate_limit', status: 429 }), 'Too many requests'],
    ['a server in trouble', new Refused('read', { code: 'XX000', status: 500 }), 'The server is in trouble'],
    ['no consent', new SessionError('consent_missing', 'x'), 'Not sent: the client has not consented'],
    ['a new device', new DeviceChangedError(['a']), 'A device is new or has changed'],
    ['no device yet', new Refused('start', { code: 'VG001', status: 400 }), 'The session waits for people'],
  ])('%s', (_, thrown, title) => {
    const problem = problemOf(thrown, 'do it')
    expect(problem.title).toBe(title)
    expect(problem.next).not.toBe('')
    expect(problem.code).not.toBe('')
  })

  test('what the server says in words of its own is not repeated: it may hold what was being sent', () => {
    const thrown = new RequestError('send message', 'P0001', 400, 'canary-text', 'canary-details')
    expect(JSON.stringify(problemOf(thrown, 'send the message'))).not.toContain('canary')
    expect(JSON.stringify(problemOf(new Error('canary'), 'do it'))).not.toContain('canary')
  })
})
