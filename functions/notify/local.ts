/**
 * For tests: a project, a pager and a mail provider on this machine, as unkind as the real ones. They refuse what those refuse,
 * with the same status and words, and can be made to fail.
 */
import { createHmac } from 'node:crypto'
import { isObject, parseJson } from '../_shared/record.ts'

export const SECRET_KEY = 'sb_secret_local-and-invented'
export const PAGER_SECRET = 'whsec_' + btoa('the pager has this secret')
export const MAIL_KEY = 're_local_invented'

/** What a server answers before its own answer is asked for: the next of a list, or each time. */
export type Answer = (request: Request) => Response | undefined | Promise<Response | undefined>

interface Delivery {
  alert_id: string
  step: number
  channel: string
  recipient: string
  status: string
  claimed_at: string
  sent_at: string | null
}

/** How Postgres' JSON writes a time: no zeros at the end of a second's parts, and the zone as an offset. */
function timestamp(text: string): string {
  return new Date(text).toISOString().replace(/(\.\d*?)0+Z$/, '$1Z').replace(/\.?Z$/, '+00:00')
}

const answer = (status: number, body: unknown): Response =>
  new Response(body === null ? null : JSON.stringify(body), { status, headers: { 'content-type': 'application/json; charset=utf-8' } })

const refuse = (status: number, code: string, message: string): Response => answer(status, { code, details: null, hint: null, message })

/** PostgREST's table alert_page_deliveries, and Auth's users, behind one address. */
export class Project {
  readonly rows: Delivery[] = []
  readonly users = new Map<string, { email?: string; email_confirmed_at?: string }>()
  /** Alerts that have a page. */
  readonly alerts = new Set<string>()
  readonly seen: Request[] = []
  intercept: Answer = () => undefined
  key = SECRET_KEY

  async serve(request: Request): Promise<Response> {
    this.seen.push(request.clone())
    const early = await this.intercept(request)
    if (early !== undefined) return early
    if (request.headers.get('apikey') !== this.key) return answer(401, { message: 'Invalid API key', hint: 'Double check your API key.' })
    const url = new URL(request.url)
    if (url.pathname === '/rest/v1/alert_page_deliveries') return await this.table(request, url)
    const user = /^\/auth\/v1\/admin\/users\/([^/]+)$/.exec(url.pathname)?.[1]
    if (user === undefined) return answer(404, { error: 'requested path is invalid' })
    const found = this.users.get(user)
    return found === undefined
      ? answer(404, { code: 'user_not_found', message: 'User not found' })
      : answer(200, { id: user, aud: 'authenticated', role: 'authenticated', ...found })
  }

  private async table(request: Request, url: URL): Promise<Response> {
    const prefer = (request.headers.get('prefer') ?? '').split(',')
    const shown = (rows: Delivery[]): unknown => prefer.includes('return=representation') ? rows.map((r) => ({ ...r })) : null
    const body = request.method === 'GET' ? undefined : parseJson(await request.text())
    const conflict = url.searchParams.get('on_conflict')
    url.searchParams.delete('on_conflict')
    const chosen = this.filter(url)
    if (chosen instanceof Response) return chosen
    switch (request.method) {
      case 'GET':
        return answer(200, chosen)
      case 'POST':
        if (conflict !== 'alert_id,step,channel,recipient' || !prefer.includes('resolution=ignore-duplicates')) {
          return refuse(409, '23505', 'duplicate key value violates unique constraint "alert_page_deliveries_pkey"')
        }
        return this.insert(body, shown)
      case 'PATCH': {
        if ([...url.searchParams].length === 0) return refuse(400, '21000', 'UPDATE requires a WHERE clause')
        if (!isObject(body)) return refuse(400, 'PGRST102', 'Empty or invalid json')
        const unknown = Object.keys(body).find((name) => !['status', 'claimed_at', 'sent_at'].includes(name))
        if (unknown !== undefined) return refuse(400, 'PGRST204', `Could not find the '${unknown}' column`)
        for (const row of chosen) {
          const next = { ...row, ...body }
          if (next.status === 'sent' && next.sent_at === null) return refuse(400, '23514', 'violates check constraint')
          Object.assign(row, next, { claimed_at: timestamp(next.claimed_at), sent_at: next.sent_at && timestamp(next.sent_at) })
        }
        return answer(prefer.includes('return=representation') ? 200 : 204, shown(chosen))
      }
    }
    return refuse(405, 'PGRST117', 'Unsupported HTTP method')
  }

  /** Only eq., as notify asks. A "+" that was not escaped is a space here, too. */
  private filter(url: URL): Delivery[] | Response {
    let rows = this.rows
    for (const [name, filter] of url.searchParams) {
      const value = filter.startsWith('eq.') ? filter.slice(3) : null
      if (value === null) return refuse(400, 'PGRST100', `failed to parse filter (${filter})`)
      if (name === 'claimed_at') {
        if (!/^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d$/.test(value)) return refuse(400, '22007', 'invalid input syntax for type timestamp')
        rows = rows.filter((r) => r.claimed_at === value)
      } else if (name === 'step') rows = rows.filter((r) => String(r.step) === value)
      else if (name === 'alert_id' || name === 'channel' || name === 'recipient' || name === 'status') {
        rows = rows.filter((r) => r[name] === value)
      } else return refuse(400, '42703', `column ${name} does not exist`)
    }
    return rows
  }

  private insert(body: unknown, shown: (rows: Delivery[]) => unknown): Response {
    if (!Array.isArray(body) || body.length === 0) return refuse(400, 'PGRST102', 'Empty or invalid json')
    const made: Delivery[] = []
    for (const row of body as Delivery[]) {
      if (Object.keys(row).sort().join() !== 'alert_id,channel,claimed_at,recipient,status,step') {
        return refuse(400, 'PGRST102', 'All object keys must match')
      }
      if ((row.channel === 'email') !== (row.recipient !== '')) return refuse(400, '23514', 'violates check constraint')
      if (!this.alerts.has(row.alert_id)) {
        return refuse(409, '23503', 'insert or update on table "alert_page_deliveries" violates foreign key constraint')
      }
      const same = (r: Delivery): boolean =>
        r.alert_id === row.alert_id && r.step === row.step && r.channel === row.channel && r.recipient === row.recipient
      if (!this.rows.some(same)) made.push({ ...row, claimed_at: timestamp(row.claimed_at), sent_at: null })
    }
    this.rows.push(...made)
    return answer(made.length > 0 ? 201 : 200, shown(made))
  }
}

export interface Webhook {
  readonly id: string
  readonly body: unknown
  readonly text: string
}

/** A pager that takes what is signed, and counts. */
export class Pager {
  readonly took: Webhook[] = []
  tries = 0
  intercept: Answer = () => undefined

  async serve(request: Request): Promise<Response> {
    this.tries++
    const early = await this.intercept(request)
    if (early !== undefined) return early
    const text = await request.text()
    const id = request.headers.get('webhook-id') ?? ''
    const at = request.headers.get('webhook-timestamp') ?? ''
    const right = 'v1,' + createHmac('sha256', atob(PAGER_SECRET.slice(6))).update(`${id}.${at}.${text}`).digest('base64')
    if (request.method !== 'POST' || request.headers.get('webhook-signature') !== right || Math.abs(Date.now() / 1000 - Number(at)) > 300) {
      return answer(401, { message: 'not signed' })
    }
    this.took.push({ id, body: parseJson(text), text })
    return answer(202, null)
  }
}

export interface Mail {
  readonly key: string
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
}

/** Resend's POST /emails: a key that it knows is answered as before, or 409 with another body. */
export class Mailer {
  readonly sent: Mail[] = []
  tries = 0
  intercept: Answer = () => undefined
  private readonly known = new Map<string, string>()

  async serve(request: Request): Promise<Response> {
    this.tries++
    const early = await this.intercept(request)
    if (early !== undefined) return early
    const fault = (statusCode: number, name: string): Response => answer(statusCode, { statusCode, name, message: name })
    if (request.headers.get('authorization') !== `Bearer ${MAIL_KEY}`) return fault(401, 'missing_api_key')
    if ((request.headers.get('user-agent') ?? '') === '') return fault(403, '1010')
    const key = request.headers.get('idempotency-key') ?? ''
    if (key.length > 256) return fault(400, 'invalid_idempotency_key')
    const text = await request.text()
    if (this.known.has(key)) {
      return this.known.get(key) === text ? answer(200, { id: 'as before' }) : fault(409, 'invalid_idempotent_request')
    }
    const body = parseJson(text)
    if (!isObject(body) || typeof body['from'] !== 'string' || !Array.isArray(body['to']) || typeof body['subject'] !== 'string') {
      return fault(422, 'missing_required_field')
    }
    if (Object.keys(body).sort().join() !== 'from,subject,text,to') return fault(422, 'validation_error')
    this.known.set(key, text)
    this.sent.push({ key, ...body } as unknown as Mail)
    return answer(200, { id: crypto.randomUUID() })
  }
}

/** Serves on a port of this machine; the result ends it. */
export function listen(
  serve: (request: Request) => Response | Promise<Response>,
): { readonly url: string; readonly end: () => Promise<void> } {
  const server = Deno.serve({ hostname: '127.0.0.1', port: 0, onListen: () => {} }, serve)
  return { url: `http://127.0.0.1:${server.addr.port}`, end: () => server.shutdown() }
}
