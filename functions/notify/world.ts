import { strict as assert } from 'node:assert'
import { headersOf } from '../_shared/signature.ts'
import { isObject, type JsonObject } from '../_shared/record.ts'
import { handler } from './handler.ts'
import { listen, MAIL_KEY, Mailer, Pager, PAGER_SECRET, Project, SECRET_KEY } from './local.ts'

export const NOTIFY_SECRET = 'an-invented-secret-of-notify'
export const ANN = '6e0c2a1e-8f6e-4a55-9d0e-3f1f4f0d7c11'
export const BEN = '7f1d3b2f-9f7f-4b66-8e1f-4a2a5a1e8d22'
export const CANARY = 'a word from the session'

export const page = (): Record<string, unknown> => ({
  alert_id: '0b8f4a52-8a0e-4c1e-9d6f-2f1d3b5a7c90',
  step: 1,
  organization_id: '1c9a5b63-9b1f-4d2f-8e70-3a2e4c6b8da1',
  session_id: '2dab6c74-ac20-4e30-9f81-4b3f5d7c9eb2',
  level: 5,
  raised_at: '2026-11-23T05:46:07.123456+00:00',
  recipients: [ANN, BEN],
})

export const ID = `${page()['alert_id']}.1`

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: JsonObject
}

/** For the tests only: the function between its project, a pager and a mail provider, all on this machine. */
export class World {
  readonly project = new Project()
  readonly pager = new Pager()
  readonly mailer = new Mailer()
  readonly env: Record<string, string>
  readonly limits = { wholeMs: 5_000, sendMs: 2_000, askMs: 2_000 }
  ahead = 0 // how far the function's clock is, in ms
  private readonly servers = [
    listen((r) => this.project.serve(r)),
    listen((r) => this.pager.serve(r)),
    listen((r) => this.mailer.serve(r)),
  ] as const
  private readonly said: string[] = []

  constructor() {
    const [project, pager, mailer] = this.servers
    this.env = {
      SUPABASE_URL: project.url,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
      NOTIFY_SECRET,
      PAGER_WEBHOOK_URL: `${pager.url}/pager-path-canary`,
      PAGER_WEBHOOK_SECRET: PAGER_SECRET,
      RESEND_API_KEY: MAIL_KEY,
      NOTIFY_FROM: 'Vigil <vigil@practice.invalid>',
      NOTIFY_EMAIL_URL: `${mailer.url}/emails`,
      CONSOLE_URL: 'https://vigil.practice.invalid/console/',
    }
    this.project.alerts.add(String(page()['alert_id']))
    this.project.users.set(ANN, { email: 'ann@practice.invalid', email_confirmed_at: '2026-01-01T00:00:00Z' })
    this.project.users.set(BEN, { email: 'ben@practice.invalid', email_confirmed_at: '2026-01-01T00:00:00Z' })
  }

  only(channel: 'pager' | 'mail'): this {
    for (const name of channel === 'pager' ? ['RESEND_API_KEY'] : ['PAGER_WEBHOOK_URL', 'PAGER_WEBHOOK_SECRET']) delete this.env[name]
    return this
  }

  async raw(request: Request): Promise<Reply> {
    const deps = {
      env: (name: string): string | undefined => this.env[name],
      fetch,
      now: (): number => Date.now() + this.ahead,
      log: (line: unknown): void => void this.said.push(JSON.stringify(line)),
      limits: this.limits,
    }
    const response = await handler(deps)(request)
    const text = await response.text()
    this.said.push(text)
    const body: unknown = JSON.parse(text)
    assert.ok(isObject(body))
    assert.equal(response.headers.get('content-type'), response.status < 300 ? 'application/json' : 'application/problem+json')
    if (response.status >= 300) assert.equal(body['status'], response.status)
    return { status: response.status, headers: response.headers, body }
  }

  async send(body: unknown = page(), id = ID): Promise<Reply> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const headers = await headersOf([NOTIFY_SECRET], id, Date.now() + this.ahead, text)
    return await this.raw(new Request('http://notify.invalid/notify', { method: 'POST', headers, body: text }))
  }

  statuses(): string[] {
    return this.project.rows.map((r) => `${r.channel} ${r.status}`).sort()
  }

  /** Nothing secret, and nobody's address, was answered or logged; nothing of a session was said to anybody. */
  async end(): Promise<void> {
    await Promise.all(this.servers.map((s) => s.end()))
    const said = this.said.join('\n')
    const secrets = [NOTIFY_SECRET, SECRET_KEY, PAGER_SECRET, MAIL_KEY, 'practice.invalid', CANARY, 'pager-path-canary']
    for (const secret of secrets) assert.ok(!said.includes(secret), `said: ${secret}`)
    for (const out of [...this.pager.took.map((w) => w.text), ...this.mailer.sent.map((m) => JSON.stringify(m))]) {
      assert.ok(!out.includes(CANARY))
    }
  }
}

export function test(name: string, run: (w: World) => Promise<void>): void {
  Deno.test(name, async () => {
    const w = new World()
    try {
      await run(w)
    } finally {
      await w.end()
    }
  })
}
