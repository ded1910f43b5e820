/** The ways out. What they carry is ids, a level, a step and times: never what anybody wrote, nor a name. */
import { type Answer, type Caller, NoAnswer } from '../_shared/call.ts'
import { headersOf } from '../_shared/signature.ts'
import { isObject, parseJson } from '../_shared/record.ts'
import { headersFor, type Mail, type Pager, type Project } from './config.ts'
import { idOf, type Page } from './page.ts'

/** What became of one delivery. `again`: trying later may help, with what is set now or once it is mended. */
export type Outcome = { readonly ok: true } | {
  readonly ok: false
  readonly code: string
  readonly again: boolean
  readonly retryAfter: number | null
}

const failed = (code: string, again: boolean, retryAfter: number | null = null): Outcome => ({ ok: false, code, again, retryAfter })

async function trying(work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof NoAnswer) return failed(error.code, true)
    throw error
  }
}

function judge(answer: Answer, forGood: readonly number[] = []): Outcome {
  if (answer.status >= 200 && answer.status < 300) return { ok: true }
  const away = answer.status >= 500 || answer.status === 429 || answer.status === 408 || answer.status === 409 || answer.status === 425
  return failed(`${away ? 'unavailable' : 'refused'}_${answer.status}`, !forGood.includes(answer.status), answer.retryAfter)
}

/** Where the console shows the alerts. What follows the # stays in the browser. */
export function linkTo(consoleUrl: string, page: Page): string {
  return `${consoleUrl}/#/alerts/${page.alertId}`
}

/** The body of the pager's webhook: the same however often it is sent. */
export function pagerBody(page: Page, consoleUrl: string | null): string {
  return JSON.stringify({
    type: 'alert.page',
    timestamp: page.raisedAt,
    data: {
      alert_id: page.alertId,
      step: page.step,
      organization_id: page.organizationId,
      session_id: page.sessionId,
      level: page.level,
      raised_at: page.raisedAt,
      recipients: page.recipients,
      url: consoleUrl === null ? null : linkTo(consoleUrl, page),
    },
  })
}

export async function sendWebhook(send: Caller, pager: Pager, page: Page, consoleUrl: string | null, nowMs: number): Promise<Outcome> {
  const body = pagerBody(page, consoleUrl)
  const signature = await headersOf(pager.secrets, idOf(page), nowMs, body)
  const headers = { ...signature, 'content-type': 'application/json', 'user-agent': 'vigil-notify' }
  return await trying(async () => judge(await send(pager.url, { method: 'POST', headers, body })))
}

/** What a mail provider answers to an address that it will not write to. */
const ADDRESS_REFUSED: readonly number[] = [400, 422]

/** An e-mail's words. Without the level: a mailbox is outside, and its owner's clients may be few. */
export function mailText(page: Page, consoleUrl: string): { readonly subject: string; readonly text: string } {
  const at = `${page.raisedAt.slice(0, 16).replace('T', ' ')} UTC`
  return {
    subject: page.step === 1 ? 'An alert waits for you' : `An alert still waits for you (call ${page.step})`,
    text: [
      `An alert was raised at ${at}, and you are among those it reaches.`,
      `Sign in to see it and to say that you have it:\n${linkTo(consoleUrl, page)}`,
      'This message says nothing about anybody, on purpose. Please do not answer it.',
    ].join('\n\n') + '\n',
  }
}

export async function sendMail(
  call: { readonly ask: Caller; readonly send: Caller },
  mail: Mail,
  project: Project,
  page: Page,
  recipient: string,
  consoleUrl: string,
): Promise<Outcome> {
  return await trying(async () => {
    const address = await addressOf(call.ask, project, recipient)
    if (typeof address !== 'string') return address
    const body = JSON.stringify({ from: mail.from, to: [address], ...mailText(page, consoleUrl) })
    const headers = {
      authorization: `Bearer ${mail.key}`,
      'content-type': 'application/json',
      'idempotency-key': `${idOf(page)}.${recipient}.${await digest(body)}`,
      'user-agent': 'vigil-notify', // Resend refuses requests without one
    }
    return judge(await call.send(mail.url, { method: 'POST', headers, body }), ADDRESS_REFUSED)
  })
}

/** Part of the provider's key: it refuses a key that it knows with another body, such as after NOTIFY_FROM was mended. */
async function digest(text: string): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return [...sum.slice(0, 8)].map((b) => b.toString(16).padStart(2, '0')).join('')
}

/** A user's address, if they have shown that it is theirs. */
async function addressOf(ask: Caller, project: Project, user: string): Promise<string | Outcome> {
  const answer = await ask(`${project.url}/auth/v1/admin/users/${user}`, { method: 'GET', headers: headersFor(project) })
  if (answer.status === 404) return failed('no_address', false)
  if (answer.status !== 200) {
    return failed(answer.status >= 500 || answer.status === 429 ? 'auth_unavailable' : 'auth_refused', true, answer.retryAfter)
  }
  const found = parseJson(answer.text)
  if (!isObject(found)) return failed('auth_unavailable', true)
  const { email, email_confirmed_at: confirmed } = found
  return typeof email === 'string' && email !== '' && typeof confirmed === 'string' ? email : failed('no_address', false)
}
