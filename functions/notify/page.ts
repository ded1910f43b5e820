import { isObject, uuid } from '../_shared/record.ts'

/** What the sidecar asks for: an alert's page at one step of its escalation. Ids, a level, a time, and nothing else. */
export interface Page {
  readonly alertId: string
  readonly step: number
  readonly organizationId: string
  readonly sessionId: string
  /** 0 to 6; null: a message could not be assessed, and a person must look. */
  readonly level: number | null
  readonly raisedAt: string
  readonly recipients: readonly string[]
}

export interface Fault {
  readonly field: string
  readonly must: string
}

const HIGHEST_STEP = 32_767
const HIGHEST_LEVEL = 6
export const MOST_RECIPIENTS = 100

/** Reads a page; every field that is wrong is named at once. Fields that are not known are left out of everything. */
export function parsePage(body: unknown): { readonly page: Page } | { readonly faults: readonly Fault[] } {
  if (!isObject(body)) return { faults: [{ field: '', must: 'be a JSON object' }] }
  const faults: Fault[] = []
  const id = (field: string): string => {
    const value = uuid(body[field])
    if (value === null) faults.push({ field, must: 'be a UUID' })
    return value ?? ''
  }
  const page: Page = {
    alertId: id('alert_id'),
    step: integer(body['step'], 1, HIGHEST_STEP) ?? 0,
    organizationId: id('organization_id'),
    sessionId: id('session_id'),
    level: body['level'] === null ? null : integer(body['level'], 0, HIGHEST_LEVEL) ?? -1,
    raisedAt: time(body['raised_at']) ?? '',
    recipients: ids(body['recipients']) ?? [],
  }
  if (page.step === 0) faults.push({ field: 'step', must: `be a whole number from 1 to ${HIGHEST_STEP}` })
  if (page.level === -1) faults.push({ field: 'level', must: `be null or a whole number from 0 to ${HIGHEST_LEVEL}` })
  if (page.raisedAt === '') faults.push({ field: 'raised_at', must: 'be a time with its zone, as RFC 3339 writes it' })
  if (ids(body['recipients']) === null) faults.push({ field: 'recipients', must: `be a list of at most ${MOST_RECIPIENTS} UUIDs` })
  return faults.length > 0 ? { faults } : { page }
}

function integer(value: unknown, least: number, most: number): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most ? value : null
}

function time(value: unknown): string | null {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value)) return null
  const at = Date.parse(value)
  return Number.isNaN(at) ? null : new Date(at).toISOString()
}

function ids(value: unknown): string[] | null {
  if (!Array.isArray(value) || value.length > MOST_RECIPIENTS) return null
  const found = value.map(uuid)
  return found.includes(null) ? null : [...new Set(found.filter((id) => id !== null))]
}

/** The webhook-id of a page: the same however often it is sent. */
export function idOf(page: Page): string {
  return `${page.alertId}.${page.step}`
}
