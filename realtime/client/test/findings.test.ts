/** Rows of findings come through their parsers as they are, and what is none of them does not. */
import { describe, expect, test } from 'vitest'
import {
  AlertColumns, AlertEventColumns, AssessmentColumns, SessionTopicsColumns, parseAlert, parseAlertEvent, parseAssessment, parseSessionTopics,
} from '../src/findings.ts'
import { alertEventRow, alertRow, assessmentRow, notAssessedRow, topicsRow } from './finding-rows.ts'

const session = crypto.randomUUID()

describe('a row', () => {
  test.each([
    ['of assessments', assessmentRow, parseAssessment, AssessmentColumns],
    ['of assessments, of a message that was not assessed', notAssessedRow, parseAssessment, AssessmentColumns],
    ['of alerts', alertRow, parseAlert, AlertColumns],
    ['of alert_events', alertEventRow, parseAlertEvent, AlertEventColumns],
    ['of session_progress', topicsRow, parseSessionTopics, SessionTopicsColumns],
  ] as const)('%s is told with all its columns, and nothing else; without one of them it is none', (_, make, parse, columns) => {
    const row = make(session)
    expect(Object.keys(row).sort()).toEqual(columns.split(',').sort())
    expect(parse({ ...row, text: 'a secret' })).toEqual(row)
    for (const name of Object.keys(row)) expect(() => parse({ ...row, [name]: undefined }), name).toThrow()
    for (const none of [null, undefined, 7, 'row', [row], {}]) expect(() => parse(none)).toThrow()
  })

  test.each([
    ['a level beyond the scale', { level: 7 }],
    ['half a level', { level: 3.5 }],
    ['a score in words', { risk_score: '0.5' }],
    ['a score that is no number', { risk_score: Number.NaN }],
    ['five items', { items: ['absent', 'absent', 'absent', 'absent', 'absent'] }],
    ['an item of its own', { items: ['yes', 'absent', 'absent', 'absent', 'absent', 'absent'] }],
    ['a category of its own', { hard: ['anger'] }],
    ['a status of its own', { status: 'maybe' }],
    ['evidence without its place', { evidence: [{ rule: 'intent' }] }],
    ['evidence that is none', { evidence: null }],
    ['topics that are not texts', { topics: [1] }],
    ['no alert', { alert: null }],
    ['an id that is none', { message_id: 'forged' }],
  ])('with %s is refused, and quoted nowhere', (_, wrong) => {
    expect(() => parseAssessment({ ...assessmentRow(session), ...wrong, text: 'a secret' })).toThrow(/^(?!.*secret)/)
  })
})
