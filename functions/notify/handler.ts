/**
 * Carries an alert's page to a pager and to mailboxes.
 *
 *   signed? ─▶ set up? ─▶ a page? ─▶ claim each delivery ─▶ send what is ours ─▶ record ─▶ answer
 *     401        503        422         (PostgREST)           (all at once)                 200, 410, 422, 502, 503
 *
 * Guarantees: nothing happens for who does not hold NOTIFY_SECRET; a delivery that was sent is not sent again for the same alert
 * and step, but after a crash between sending and recording, and then under the same ids; 200 only when somebody was
 * reached and nothing is left that a later try could send; no text of a session, name, address, key or token in what is sent, answered or logged.
 */
import { caller, read } from '../_shared/call.ts'
import { json, problem } from '../_shared/problem.ts'
import { parseJson } from '../_shared/record.ts'
import { SIGNATURE_FAULTS, type SignatureFault, verify } from '../_shared/signature.ts'
import { type Outcome, sendMail, sendWebhook } from './channels.ts'
import { type Config, readSetup } from './config.ts'
import { CHANNELS, type Claim, CLAIM_MS, Deliveries, TableError, type Target } from './deliveries.ts'
import { idOf, type Page, parsePage } from './page.ts'

export interface Deps {
  readonly env: (name: string) => string | undefined
  readonly fetch: typeof fetch
  readonly now: () => number
  readonly log: (line: Readonly<Record<string, string | number>>) => void
  /** LIMITS, but in tests. */
  readonly limits?: Limits
}

/** How long things may take: one request in all (less than CLAIM_MS, or its claims could be taken while it still sends), one
 * delivery, one question to the project. */
export interface Limits {
  readonly wholeMs: number
  readonly sendMs: number
  readonly askMs: number
}

export const LIMITS: Limits = { wholeMs: 18_000, sendMs: 8_000, askMs: 4_000 }

const MOST_BODY_BYTES = 16 * 1024

const SIGNATURE_ADVICE: Readonly<Record<SignatureFault, string>> = {
  [SIGNATURE_FAULTS.missing]: 'Send webhook-id, webhook-timestamp and webhook-signature, as Standard Webhooks has them.',
  [SIGNATURE_FAULTS.time]: 'The time of the signature is too far from this clock. Set the clock by NTP and sign anew.',
  [SIGNATURE_FAULTS.wrong]: 'None of the signatures is one of NOTIFY_SECRET. Give both sides the same secret.',
}

export function handler(deps: Deps): (request: Request) => Promise<Response> {
  return async (request) => {
    try {
      return await handle(deps, request)
    } catch (error) {
      // The error's text may hold what was sent to a provider; its name does not.
      deps.log({ event: 'failed', code: 'internal', name: error instanceof Error ? error.name : typeof error })
      return problem({ status: 500, code: 'internal', detail: 'Something of ours failed. Send the same again later.' })
    }
  }
}

async function handle(deps: Deps, request: Request): Promise<Response> {
  if (request.method !== 'POST') {
    return problem({ status: 405, code: 'method', detail: 'Only POST is answered here.', headers: { allow: 'POST' } })
  }
  const body = await read(request.body, MOST_BODY_BYTES)
  if (body === null) return problem({ status: 413, code: 'too_large', detail: `A page has ${MOST_BODY_BYTES} bytes at most.` })
  const setup = readSetup(deps.env)
  if (setup.secrets.length === 0) {
    return problem({ status: 503, code: 'not_configured', detail: 'NOTIFY_SECRET is not set, or too short: nobody can be believed.' })
  }
  const verdict = await verify(setup.secrets, request.headers, body, deps.now())
  if ('fault' in verdict) return problem({ status: 401, code: verdict.fault, detail: SIGNATURE_ADVICE[verdict.fault] })
  if (setup.config === null) {
    deps.log({ event: 'refused', code: 'not_configured', faults: setup.faults.length })
    return problem({
      status: 503,
      code: 'not_configured',
      detail: 'Variables of the function are missing or wrong.',
      more: { faults: setup.faults },
    })
  }
  const parsed = parsePage(parseJson(new TextDecoder().decode(body)))
  if ('faults' in parsed) {
    return problem({ status: 422, code: 'body_wrong', detail: 'The body is no page.', more: { faults: parsed.faults } })
  }
  if (verdict.id !== idOf(parsed.page)) {
    return problem({ status: 422, code: 'id_wrong', detail: 'webhook-id must be the alert, a point and the step.' })
  }
  return await deliver(deps, setup.config, parsed.page)
}

async function deliver(deps: Deps, config: Config, page: Page): Promise<Response> {
  const limits = deps.limits ?? LIMITS
  const until = AbortSignal.timeout(limits.wholeMs)
  const ask = caller(deps.fetch, until, limits.askMs)
  const send = caller(deps.fetch, until, limits.sendMs)
  const deliveries = new Deliveries(config.project, ask, page, deps.now)
  const targets = targetsOf(config, page)
  const results: Result[] = []
  try {
    if (targets.length > 0) {
      const claims = await deliveries.claim(targets)
      for (const target of claims.sent) results.push({ target, outcome: { ok: true } })
      for (const target of claims.busy) results.push({ target, outcome: BUSY })
      results.push(...await Promise.all(claims.mine.map(async (claim) => ({ target: claim, outcome: await attempt(claim) }))))
    }
  } catch (error) {
    if (!(error instanceof TableError)) throw error
    deps.log({ event: 'failed', alert: page.alertId, step: page.step, code: `table_${error.code}` })
    return tableProblem(error)
  }
  return conclude(deps, page, results)

  async function attempt(claim: Claim): Promise<Outcome> {
    const outcome = claim.channel === CHANNELS.webhook
      ? config.pager === null ? NOT_SET : await sendWebhook(send, config.pager, page, config.consoleUrl, deps.now())
      : config.mail === null || config.consoleUrl === null
      ? NOT_SET
      : await sendMail({ ask, send }, config.mail, config.project, page, claim.recipient, config.consoleUrl)
    return await record(deliveries, claim, outcome)
  }
}

const BUSY: Outcome = { ok: false, code: 'busy', again: true, retryAfter: CLAIM_MS / 1000 }
const NOT_SET: Outcome = { ok: false, code: 'not_configured', again: true, retryAfter: null }
const NOT_RECORDED: Outcome = { ok: false, code: 'not_recorded', again: true, retryAfter: CLAIM_MS / 1000 }

function targetsOf(config: Config, page: Page): Target[] {
  const targets: Target[] = config.pager === null ? [] : [{ channel: CHANNELS.webhook, recipient: '' }]
  return config.mail === null ? targets : [...targets, ...page.recipients.map((recipient) => ({ channel: CHANNELS.email, recipient }))]
}

/** Writes down what became of a delivery. What was sent and could not be recorded is sent again, under the same ids, later. */
async function record(deliveries: Deliveries, claim: Claim, outcome: Outcome): Promise<Outcome> {
  for (let tries = 0; tries < 2; tries++) {
    try {
      await (outcome.ok ? deliveries.sent(claim) : deliveries.failed(claim))
      return outcome
    } catch (error) {
      if (!(error instanceof TableError)) throw error
    }
  }
  return outcome.ok ? NOT_RECORDED : { ...outcome, retryAfter: CLAIM_MS / 1000 }
}

interface Result {
  readonly target: Target
  readonly outcome: Outcome
}

function shown({ target, outcome }: Result): Readonly<Record<string, string>> {
  return {
    channel: target.channel,
    ...(target.recipient === '' ? {} : { recipient: target.recipient }),
    status: outcome.ok ? 'sent' : 'failed',
    ...(outcome.ok ? {} : { code: outcome.code }),
  }
}

function conclude(deps: Deps, page: Page, results: readonly Result[]): Response {
  const deliveries = results.map(shown)
  const sent = results.filter((r) => r.outcome.ok).length
  const open = results.filter(({ outcome }) => !outcome.ok && (outcome.again || sent === 0 && outcome.code.startsWith('refused')))
  const codes = [...new Set(results.flatMap((r) => r.outcome.ok ? [] : [r.outcome.code]))].sort().join(' ')
  deps.log({ event: 'page', alert: page.alertId, step: page.step, sent, failed: results.length - sent, codes })
  if (open.length > 0) {
    // One mailbox's wish must not keep the pager waiting.
    const wait = Math.min(...open.map((r) => r.outcome.ok ? 0 : r.outcome.retryAfter ?? 0))
    const refused = open.every((r) => !r.outcome.ok && r.outcome.code.includes('refused'))
    return problem({
      status: refused ? 502 : 503,
      code: refused ? 'channel_refused' : 'channel_unavailable',
      detail: 'Not everything was sent. Send the same again: what was sent is not sent twice.',
      ...(wait > 0 ? { retryAfter: wait } : {}), // else the caller knows best
      more: {
        deliveries,
        retry: open.map((r) => ({ channel: r.target.channel, ...(r.target.recipient === '' ? {} : { recipient: r.target.recipient }) })),
      },
    })
  }
  if (sent === 0) {
    return problem({
      status: 422,
      code: 'nobody_reached',
      detail: 'No pager is set, and no recipient has a confirmed address.',
      more: { deliveries },
    })
  }
  return json(200, { deliveries })
}

function tableProblem(error: TableError): Response {
  switch (error.code) {
    case 'gone':
      return problem({ status: 410, code: 'page_gone', detail: 'There is no such page (any more): nothing was sent.' })
    case 'refused':
      return problem({
        status: 502,
        code: 'table_refused',
        detail:
          'The Data API refuses alert_page_deliveries: look at the secret key, the grants of service_role, and whether the migrations ran.',
      })
    case 'unavailable':
      return problem({ status: 503, code: 'table_unavailable', detail: 'The Data API did not answer: nothing was sent.' })
  }
}
