import { describe, expect, test } from 'vitest'
import { ShapeError } from '../src/api/parse.ts'
import { parseAlert, parseAssessment, parseOrganization } from '../src/api/rows.ts'
import { parseConfig } from '../src/app/config.ts'
import { linkTo, parseRoute } from '../src/app/route.ts'

const id = 'd0000000-0000-4000-8000-0000000000b1'
const assessment = {
  id, session_id: id, message_id: id, position: 3, status: 'assessed', reason: null, level: 0, harm_others: false, abuse: null, distress: true,
  sentiment: -0.5, topics: ['sleep'], alert: false, superseded_at: null, created_at: '2026-11-23T05:00:00+00:00',
}

describe('what comes from outside', () => {
  test('a level of null is unknown, and is not 0', () => {
    expect(parseAssessment(assessment).level).toBe(0)
    expect(parseAssessment({ ...assessment, level: null }).level).toBeNull()
  })

  test.each([
    ['no object', 'text'], ['another status', { ...assessment, status: 'maybe' }], ['a level that is text', { ...assessment, level: '4' }],
    ['topics that are no list', { ...assessment, topics: 'sleep' }], ['a time that is none', { ...assessment, created_at: 'yesterday' }],
  ])('an assessment with %s is refused, without quoting it', (_, value) => {
    expect(() => parseAssessment(value)).toThrow(ShapeError)
    try {
      parseAssessment(value)
    } catch (thrown) {
      expect(String(thrown)).not.toMatch(/maybe|yesterday|'4'/)
    }
  })

  test('an alert and an organisation as the tables have them', () => {
    const alert = parseAlert({
      id, organization_id: id, session_id: id, message_id: id, level: 5, status: 'open', version: 1, source: 'sidecar',
      raised_at: '2026-11-23T05:00:00+00:00', updated_at: '2026-11-23T05:00:00+00:00',
    })
    expect(alert).toMatchObject({ level: 5, status: 'open', version: 1 })
    expect(parseOrganization({ id, name: 'Elm', suggestions: 'on_demand', require_aal2: true })).toEqual({ id, name: 'Elm', suggestions: 'on_demand', requireAal2: true })
  })
})

describe('config.json', () => {
  const config = { supabaseUrl: 'https://abc.supabase.co', publishableKey: 'sb_publishable_x', vigilUrl: '', demo: null }

  test('an empty vigilUrl is where the page came from', () => {
    expect(parseConfig(config, 'https://care.example').vigilUrl).toBe('https://care.example')
    expect(parseConfig({ ...config, vigilUrl: 'https://vigil.example' }, 'https://care.example').vigilUrl).toBe('https://vigil.example')
  })

  test('invented people are there only with a demo', () => {
    expect(parseConfig(config, 'x').demo).toBeNull()
    const people = [{ email: 'clio@demo.test', password: 'p', name: 'Clio', role: 'client' }]
    expect(parseConfig({ ...config, demo: { url: 'http://127.0.0.1:1', people } }, 'x').demo?.people).toEqual(people)
    expect(() => parseConfig({ ...config, demo: { url: 'http://127.0.0.1:1' } }, 'x')).toThrow(ShapeError)
  })
})

describe('routes', () => {
  test.each([
    [{ at: 'sessions' }], [{ at: 'session', id }], [{ at: 'alerts' }], [{ at: 'alerts', id }], [{ at: 'practice' }], [{ at: 'signin', as: 'clio' }],
  ] as const)('%o leads back to itself', (route) => {
    expect(parseRoute(linkTo(route))).toEqual(route)
  })

  test('what is no route, and no uuid, leads to the sessions', () => {
    for (const hash of ['', '#', '#/', '#/nowhere', '#/sessions/1', '#/sessions/<script>']) expect(parseRoute(hash)).toEqual({ at: 'sessions' })
  })
})
