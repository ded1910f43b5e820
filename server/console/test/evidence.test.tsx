// @vitest-environment happy-dom
import { Theme } from '@radix-ui/themes'
import { cleanup, render, screen } from '@testing-library/react'
import { afterEach, describe, expect, test } from 'vitest'
import type { ChatMessage } from 'vigil-client'
import { parseAssessment, parseSessionTopics, type Assessment } from '../src/api/rows.ts'
import { ShapeError } from '../src/api/parse.ts'
import { AssessmentLine, AssessmentsPanel } from '../src/session/assessment.tsx'
import type { CareView } from '../src/session/care-store.ts'
import { findingMarks, marked, quoted } from '../src/session/evidence.ts'
import { MessageBubble } from '../src/session/message.tsx'
import type { SessionView } from '../src/session/session-store.ts'
import { itemWords, languageWords, percent, ruleWords, topicWords } from '../src/session/words.ts'
import { FakeSession, ids } from './fakes.ts'

const row = {
  id: ids.session, session_id: ids.session, message_id: 'm', position: 1, status: 'assessed', reason: null, level: 2, harm_others: false, abuse: false,
  distress: false, sentiment: -0.5, topics: ['work'], alert: false, superseded_at: null, created_at: '2026-11-23T05:00:00Z',
  items: ['unknown', 'present', 'absent', 'unknown', 'unknown', 'unknown'], risk_score: 0.8125, harm_others_score: 0, abuse_score: 0, distress_score: 0.25,
  emotions: ['sadness'], language: 'en',
  evidence: [{ rule: 'thoughts.kill_self', start: 0, end: 9, start_16: 3, end_16: 14 }, { rule: 'topic.work', start: 0, end: 4, start_16: 15, end_16: 23 }],
}
const text = '😀 kill myself after work'
const message: ChatMessage = {
  id: 'm', position: 1, from: { userId: ids.client, deviceId: 'd', role: 'client', me: false }, text, epoch: 1, files: [], badges: [], badge: null, watched: true, missing: 0, readers: [],
  at: new Date('2026-11-23T05:00:00Z'),
}
const view: SessionView = {
  row: new FakeSession().row, myRole: 'therapist', people: [], readerNames: new Map(), messages: [message], liveFrom: 0, channel: 'connected', recovery: null, present: [], consents: [],
  readers: [], strangers: [], modeChange: null, scored: new Map(), erased: false, trouble: null,
}
const found = (assessment: Assessment, more: Partial<CareView> = {}): CareView => ({
  phase: 'ready', problem: null, assessments: new Map([['m', assessment]]), topics: [], alerts: new Map(), events: new Map(), names: new Map(),
  suggestions: [], suggesting: 'off', raised: [], contacts: [], readers: new Map(), ...more,
})

afterEach(cleanup)

describe('an assessment', () => {
  test('says why: the items that it speaks of, the words, the probability, the language, and that nobody has validated it', () => {
    render(<Theme><AssessmentLine view={view} found={found(parseAssessment(row))} messageId="m" /></Theme>)
    const why = screen.getByRole('group').textContent
    expect(why).toContain('Thoughts of suicide: present · Method: absent')
    expect(why).toContain('kill myself')
    expect(why).toContain('thoughts, kill self')
    expect(why).toContain('Probability of risk: 81 %')
    expect(why).toContain('Emotions: sadness')
    expect(why).toContain('English')
    expect(why).toContain('Not clinically validated')
    expect(why).not.toContain('unknown')
  })

  test('of ordinary talk has nothing to explain', () => {
    const ordinary = parseAssessment({ ...row, level: 0, evidence: [row.evidence[1]], items: null, risk_score: 0.01 })
    render(<Theme><AssessmentLine view={view} found={found(ordinary)} messageId="m" /></Theme>)
    expect(screen.queryByText('Why')).toBeNull()
  })

  test('marks in the message what was found, and not what it is about', () => {
    render(<Theme><MessageBubble message={message} name="Clio" names={new Map()} me="me" first marks={findingMarks(parseAssessment(row))} /></Theme>)
    expect([...document.querySelectorAll('mark')].map((one) => one.textContent)).toEqual(['kill myself'])
    expect(document.querySelector('.message-text')?.textContent).toBe(text)
  })

  test('whose evidence or items are of another shape is refused', () => {
    expect(() => parseAssessment({ ...row, evidence: [{ rule: 'r' }] })).toThrow(ShapeError)
    expect(() => parseAssessment({ ...row, items: ['maybe'] })).toThrow(ShapeError)
    expect(() => parseAssessment({ ...row, risk_score: 'high' })).toThrow(ShapeError)
  })
})

describe('marks', () => {
  test.each([
    ['none', [], [['abcdef', false]]],
    ['one', [[1, 3]], [['a', false], ['bc', true], ['def', false]]],
    ['overlapping and touching are one', [[2, 4], [1, 3], [4, 5]], [['a', false], ['bcde', true], ['f', false]]],
    ['one in another', [[0, 6], [1, 2]], [['abcdef', true]]],
    ['of another text are left out', [[4, 9], [-1, 2], [3, 3], [0.5, 2]], [['abcdef', false]]],
  ] as const)('%s', (_, ranges, want) => {
    expect(marked('abcdef', ranges.map(([start, end]) => ({ start, end }))).map((one) => [one.text, one.mark])).toEqual(want)
  })

  test('point at words only where they fit', () => {
    expect(quoted('abc', { rule: 'r', start: 1, end: 2 })).toBe('b')
    expect(quoted('abc', { rule: 'r', start: 1, end: 9 })).toBeNull()
    expect(quoted(null, { rule: 'r', start: 0, end: 1 })).toBeNull()
  })
})

describe('the session at a glance', () => {
  test('says what it has been about of late, the heaviest first, and that nobody has validated it', () => {
    const topics = parseSessionTopics({ topics: [{ topic: 'family-conflict', weight: 2.5 }, { topic: 'sleep', weight: 0.5 }, { topic: 'work', weight: 0.1 }] })
    render(<Theme><AssessmentsPanel view={view} found={found(parseAssessment(row), { topics })} /></Theme>)
    expect(document.querySelector('.topics')?.textContent).toBe('Of late about: Family conflictSleep')
    expect(document.body.textContent).toContain('Not clinically validated')
  })

  test('has no topics before the first message', () => {
    expect(parseSessionTopics({ topics: null })).toEqual([])
    expect(() => parseSessionTopics({ topics: [{ topic: 'work' }] })).toThrow(ShapeError)
  })
})

test('words for codes', () => {
  expect(itemWords({ items: ['present', 'unknown', 'absent', 'unknown', 'unknown', 'unknown'] })).toEqual(['Wish to be dead: present', 'Method: absent'])
  expect([languageWords('pt'), languageWords(null), languageWords('not a code')]).toEqual(['Portuguese', 'Language unknown', 'not a code'])
  expect([percent(0), percent(0.5), percent(1), percent(null)]).toEqual(['under 1 %', '50 %', 'over 99 %', 'unknown'])
  expect([ruleWords('topic.night-shift'), ruleWords('wish.not_live'), topicWords('substance_use')]).toEqual(['Night shift', 'wish, not live', 'Alcohol or drugs'])
})
