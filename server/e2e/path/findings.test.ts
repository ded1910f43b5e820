// What a platform is told of messages: typed rows, by the session's events and by the tables, and they are the same.
import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  AlertColumns, AlertEventColumns, AssessmentColumns, parseAlert, parseAlertEvent, parseAssessment, parseSessionTopics, SessionTopicsColumns,
  type AlertEventRow, type AlertRow, type AssessmentRow,
} from 'vigil-client/findings'
import type { Client } from '../standin/project.ts'
import { checked, closeAll, sql, therapy, type Side } from './people.ts'
import { disconnectAll } from './socket.ts'

afterEach(async () => {
  await disconnectAll()
  await closeAll()
})

const patience = { timeout: 20_000 }

interface Told {
  assessments: AssessmentRow[]
  alerts: AlertRow[]
  events: AlertEventRow[]
}

function listen(side: Side): Told {
  const told: Told = { assessments: [], alerts: [], events: [] }
  side.chat.on('assessment', (row) => told.assessments.push(row))
  side.chat.on('alert', (row) => told.alerts.push(row))
  side.chat.on('alert_event', (row) => told.events.push(row))
  return told
}

// The rows of a table of one session, through supabase-js.
async function rows<T>(client: Client, table: string, columns: string, session: string, parse: (row: unknown) => T): Promise<T[]> {
  const found: unknown[] = checked(await client.from(table).select(columns).eq('session_id', session))
  return found.map(parse)
}

async function columnsOf(table: string): Promise<string[]> {
  const found = await sql("select attname::text as name from pg_catalog.pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped", [`public.${table}`])
  return found.map((one) => String(one['name'])).sort()
}

it.each([['assessments', AssessmentColumns], ['alerts', AlertColumns], ['alert_events', AlertEventColumns]])('a row of %s has every column of the table', async (table, columns) => {
  expect(columns.split(',').sort()).toEqual(await columnsOf(table))
})

// An emoji first, so that bytes, UTF-16 units and letters are counted differently.
const grave = '😔 Work is hell. I have the pills here and I am going to kill myself tonight.'

describe('a message of the client', () => {
  it('is told as a row of assessments, an alert and its event, as the tables have them', async () => {
    const { id, organization, client, therapist, clientSide, therapistSide } = await therapy('assisted')
    const [told, theirs] = [listen(therapistSide), listen(clientSide)]
    const message = await clientSide.chat.send(grave)
    await vi.waitFor(() => {
      expect([told.assessments.length, told.alerts.length, told.events.length]).toEqual([1, 1, 1])
    }, patience)
    const [found] = told.assessments
    if (found === undefined) throw new Error('nothing was told')
    expect(found).toMatchObject({
      organization_id: organization, session_id: id, message_id: message, position: 1, source: 'sidecar', status: 'assessed', reason: null,
      harm_others: false, abuse: false, language: 'en', alert: true, escalate: true, policy_version: 1, superseded_at: null,
      model_version: expect.stringMatching(/./) as string, ruleset_version: expect.stringMatching(/./) as string,
    })
    expect(found.level).toBeGreaterThanOrEqual(4)
    expect(found.items?.[(found.level ?? 0) - 1], 'the item of its level').toBe('present')
    expect(found.items).not.toContain('absent')
    expect(found.hard).toContain('self_harm')
    expect(found.risk_score).toBeGreaterThan(0.5)
    for (const score of [found.risk_score, found.harm_others_score, found.abuse_score, found.distress_score]) {
      expect(score).toBeGreaterThanOrEqual(0)
      expect(score).toBeLessThanOrEqual(1)
    }
    expect(found.sentiment).toBeLessThan(0)
    expect(new Date(found.created_at).getTime()).toBeGreaterThan(Date.now() - 60_000)
    expect(found.evidence.length).toBeGreaterThan(0)
    const bytes = Buffer.from(grave)
    for (const one of found.evidence) {
      const words = grave.slice(one.start_16, one.end_16)
      expect(words.length, one.rule).toBeGreaterThan(0)
      expect(bytes.subarray(one.start, one.end).toString(), one.rule).toBe(words)
      if (one.rule.startsWith('topic.')) expect(found.topics).toContain(one.rule.slice('topic.'.length))
    }
    expect(found.evidence.map((one) => grave.slice(one.start_16, one.end_16)).join(' ')).toMatch(/kill myself/)

    expect(told.alerts).toMatchObject([
      { assessment_id: found.id, message_id: message, level: found.level, status: 'open', version: 1, source: 'sidecar', policy_version: 1, model_version: found.model_version },
    ])
    expect(told.events).toMatchObject([{ alert_id: told.alerts[0]?.id, kind: 'raised', actor_id: null, version: 1 }])
    expect(await rows(therapist.client, 'assessments', AssessmentColumns, id, parseAssessment)).toEqual(told.assessments)
    expect(await rows(therapist.client, 'alerts', AlertColumns, id, parseAlert)).toEqual(told.alerts)
    expect(await rows(therapist.client, 'alert_events', AlertEventColumns, id, parseAlertEvent)).toEqual(told.events)

    checked(await therapist.client.rpc('acknowledge_alert', { alert_id: told.alerts[0]?.id, version: told.alerts[0]?.version }))
    await vi.waitFor(() => {
      expect(told.alerts.at(-1)).toMatchObject({ status: 'acknowledged', version: 2 })
      expect(told.events.at(-1)).toMatchObject({ kind: 'acknowledged', actor_id: therapist.id, version: 2 })
    }, patience)

    for (const table of ['assessments', 'alerts', 'alert_events', 'session_progress']) {
      expect(checked(await client.client.from(table).select('session_id')), `${table} to the client`).toEqual([])
    }
    expect(theirs).toEqual({ assessments: [], alerts: [], events: [] })
    expect(therapistSide.errors).toEqual([])
  })

  it('moves what the session is about', async () => {
    const { id, organization, therapist, clientSide, therapistSide } = await therapy('assisted')
    const told = listen(therapistSide)
    await clientSide.chat.send('My boss shouts at me, my job is exhausting, and I have a deadline at work every week.')
    await vi.waitFor(() => {
      expect(told.assessments).toMatchObject([{ level: 0, alert: false, topics: expect.arrayContaining(['work']) as string[] }])
    }, patience)
    const [row] = await rows(therapist.client, 'session_progress', SessionTopicsColumns, id, parseSessionTopics)
    expect(row).toMatchObject({ session_id: id, organization_id: organization })
    const weights = (row?.topics ?? []).map(({ weight }) => weight)
    expect(row?.topics?.map(({ topic }) => topic)).toEqual(expect.arrayContaining(['work']))
    expect(weights).toEqual(weights.toSorted((one, other) => other - one))
    expect(Math.min(...weights)).toBeGreaterThan(0)
  })

  it('is told again when its assessment is superseded, with all its evidence', async () => {
    const { id, organization, clientSide, therapistSide } = await therapy('assisted')
    const told = listen(therapistSide)
    const message = await clientSide.chat.send('Good evening.')
    await vi.waitFor(() => {
      expect(told.assessments.length).toBe(1)
    }, patience)
    // So much, and so little alike, that Postgres stores it apart from its row: the log would not repeat what is stored there.
    const evidence = Array.from({ length: 300 }, (_, at) => ({ rule: randomUUID(), start: at, end: at + 1, start_16: at, end_16: at + 1 }))
    const [{ id: other } = {}] = await sql(
      `insert into public.assessments (organization_id, session_id, message_id, position, source, status, level, evidence)
        values ($1, $2, $3, 1, 'another', 'assessed', 0, $4) returning id`, [organization, id, message, JSON.stringify(evidence)],
    )
    await sql('update public.assessments set superseded_at = now() where id = $1', [other])
    await vi.waitFor(() => {
      const [first, last] = told.assessments.filter((row) => row.source === 'another')
      expect(first).toMatchObject({ id: other, evidence, superseded_at: null, items: null, risk_score: null, language: null, policy_version: null })
      expect(last).toEqual({ ...first, superseded_at: expect.any(String) as string })
    }, patience)
    expect(therapistSide.errors).toEqual([])
  })
})
