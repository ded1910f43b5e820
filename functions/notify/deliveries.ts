/**
 * Who has been told of what, in alert_page_deliveries, through PostgREST with the secret key.
 *
 * Guarantees: one caller at a time holds a delivery, and one that was sent is not given out again. A caller that died with one
 * loses it after CLAIM_MS, and so it may be sent twice: the same id on both makes that harmless.
 */
import { type Caller, NoAnswer } from '../_shared/call.ts'
import { isObject, parseJson } from '../_shared/record.ts'
import { headersFor, type Project } from './config.ts'
import type { Page } from './page.ts'

/** How long a claim holds. Longer than a whole request may take, or a slow one would be doubled. */
export const CLAIM_MS = 30_000

export const CHANNELS = { webhook: 'webhook', email: 'email' } as const
export type Channel = (typeof CHANNELS)[keyof typeof CHANNELS]

/** One message to send. The recipient is a user's id for an e-mail, and "" for a webhook. */
export interface Target {
  readonly channel: Channel
  readonly recipient: string
}

/** A delivery that is ours to send; `at` is the claim's time as the database wrote it, and fences it. */
export interface Claim extends Target {
  readonly at: string
}

export interface Claims {
  readonly mine: readonly Claim[]
  readonly sent: readonly Target[]
  /** Somebody else is sending them at this moment, or died while doing so. */
  readonly busy: readonly Target[]
}

interface Row extends Claim {
  readonly status: string
}

/** The table could not be asked: `gone` (the alert is), `refused` (the key, the grants), or `unavailable`. */
export class TableError extends Error {
  override readonly name = 'TableError'
  constructor(readonly code: 'gone' | 'refused' | 'unavailable', options?: ErrorOptions) {
    super(`alert_page_deliveries: ${code}`, options)
  }
}

const key = (t: Target): string => `${t.channel} ${t.recipient}`

export class Deliveries {
  constructor(
    private readonly project: Project,
    private readonly call: Caller,
    private readonly page: Page,
    private readonly now: () => number,
  ) {}

  /** Claims what may be claimed of the targets. */
  async claim(targets: readonly Target[]): Promise<Claims> {
    const first = targets.map((t) => ({
      alert_id: this.page.alertId,
      step: this.page.step,
      channel: t.channel,
      recipient: t.recipient,
      status: 'claimed',
      claimed_at: new Date(this.now()).toISOString(),
    }))
    const made = await this.ask(
      'POST',
      '?on_conflict=alert_id,step,channel,recipient',
      first,
      'resolution=ignore-duplicates,return=representation',
    )
    const mine: Claim[] = [...made]
    const held = new Set(made.map(key))
    const rest = targets.filter((t) => !held.has(key(t)))
    if (rest.length === 0) return { mine, sent: [], busy: [] }
    const there = new Map((await this.ask('GET', this.where())).map((row) => [key(row), row]))
    const sent: Target[] = []
    const busy: Target[] = []
    await Promise.all(rest.map(async (target) => {
      const row = there.get(key(target))
      if (row?.status === 'sent') sent.push(target)
      else {
        const again = row === undefined || !this.free(row) ? null : await this.claimAgain(row)
        if (again === null) busy.push(target)
        else mine.push(again)
      }
    }))
    return { mine, sent, busy }
  }

  private free(row: Row): boolean {
    return row.status === 'failed' || row.status === 'claimed' && Date.parse(row.at) < this.now() - CLAIM_MS
  }

  /** Takes a delivery from one that failed or died, unless somebody was first. */
  private async claimAgain(row: Row): Promise<Claim | null> {
    const rows = await this.ask(
      'PATCH',
      this.where(row, { status: row.status, claimed_at: row.at }),
      { status: 'claimed', claimed_at: new Date(this.now()).toISOString() },
      'return=representation',
    )
    return rows[0] ?? null
  }

  /** Records that a claimed delivery was sent. It is a fact, whoever holds the claim by now. */
  async sent(claim: Claim): Promise<void> {
    await this.ask('PATCH', this.where(claim), { status: 'sent', sent_at: new Date(this.now()).toISOString() }, 'return=minimal')
  }

  /** Gives a claim back for the next try, if it is still ours. */
  async failed(claim: Claim): Promise<void> {
    await this.ask('PATCH', this.where(claim, { status: 'claimed', claimed_at: claim.at }), { status: 'failed' }, 'return=minimal')
  }

  private where(target?: Target, more: Readonly<Record<string, string>> = {}): string {
    const query = new URLSearchParams({ alert_id: `eq.${this.page.alertId}`, step: `eq.${this.page.step}` })
    if (target !== undefined) {
      query.set('channel', `eq.${target.channel}`)
      query.set('recipient', `eq.${target.recipient}`)
    }
    for (const [name, value] of Object.entries(more)) query.set(name, `eq.${value}`)
    return `?${query}`
  }

  private async ask(method: string, query: string, body?: unknown, prefer?: string): Promise<Row[]> {
    const headers: Record<string, string> = { ...headersFor(this.project), 'content-type': 'application/json' }
    if (prefer !== undefined) headers['prefer'] = prefer
    const init: RequestInit = { method, headers }
    if (body !== undefined) init.body = JSON.stringify(body)
    let answer
    try {
      answer = await this.call(`${this.project.url}/rest/v1/alert_page_deliveries${query}`, init)
    } catch (cause) {
      if (cause instanceof NoAnswer) throw new TableError('unavailable', { cause })
      throw cause
    }
    if (answer.status >= 200 && answer.status < 300) return rowsOf(answer.text)
    const fault = parseJson(answer.text)
    if (isObject(fault) && fault['code'] === '23503') throw new TableError('gone')
    throw new TableError(answer.status >= 500 || answer.status === 429 || answer.status === 408 ? 'unavailable' : 'refused')
  }
}

function rowsOf(text: string): Row[] {
  if (text === '') return [] // return=minimal
  const body = parseJson(text)
  if (!Array.isArray(body)) throw new TableError('unavailable')
  return body.map((row: unknown) => {
    if (!isObject(row)) throw new TableError('unavailable')
    const { channel, recipient, status, claimed_at: at } = row
    if (channel !== CHANNELS.webhook && channel !== CHANNELS.email) throw new TableError('refused')
    if (typeof recipient !== 'string' || typeof status !== 'string' || typeof at !== 'string') throw new TableError('refused')
    return { channel, recipient, status, at }
  })
}
