/**
 * The function's variables. A fault names the variable and what it must hold, never what it holds. While NOTIFY_SECRET is in
 * order, only a caller who knows it is told of the other faults.
 */
import { faultOf, secretsOf } from '../_shared/signature.ts'
import { isObject, parseJson } from '../_shared/record.ts'

export interface Project {
  readonly url: string
  readonly key: string
}

export interface Pager {
  readonly url: string
  readonly secrets: readonly string[]
}

export interface Mail {
  readonly url: string
  readonly key: string
  readonly from: string
}

export interface Config {
  readonly project: Project
  readonly consoleUrl: string | null
  readonly pager: Pager | null
  readonly mail: Mail | null
}

export interface Setup {
  /** What signs requests to this function; empty: none may be believed. */
  readonly secrets: readonly string[]
  readonly config: Config | null
  readonly faults: readonly string[]
}

export const RESEND_URL = 'https://api.resend.com/emails'

export function readSetup(env: (name: string) => string | undefined): Setup {
  const r = new Reader(env)
  const secrets = r.secrets('NOTIFY_SECRET')
  const sound = r.faults.length === 0
  const project = { url: r.base('SUPABASE_URL', false) ?? '', key: r.secretKey() }
  const consoleUrl = r.base('CONSOLE_URL')
  const pagerUrl = r.url('PAGER_WEBHOOK_URL')
  const pager = pagerUrl === null ? null : { url: pagerUrl, secrets: r.secrets('PAGER_WEBHOOK_SECRET') }
  const mail = r.mail()
  if (project.url === '') r.fault('SUPABASE_URL', 'is not set; Supabase sets it for its functions')
  if (mail !== null && consoleUrl === null) r.fault('CONSOLE_URL', 'must be set: an e-mail holds a link to the console and nothing else')
  if (!r.has('PAGER_WEBHOOK_URL') && !r.has('RESEND_API_KEY')) {
    r.fault('PAGER_WEBHOOK_URL, RESEND_API_KEY', 'one must be set, or nobody can be paged')
  }
  return { secrets: sound ? secrets : [], config: r.faults.length > 0 ? null : { project, consoleUrl, pager, mail }, faults: r.faults }
}

class Reader {
  readonly faults: string[] = []
  constructor(private readonly env: (name: string) => string | undefined) {}

  fault(name: string, what: string): void {
    this.faults.push(`${name}: ${what}`)
  }

  /** A variable's text; "" when it is unset. The CLI leaves "env(NAME)" where config.toml names a variable that was not set. */
  text(name: string): string {
    const value = this.env(name)?.trim() ?? ''
    return /^env\(\w*\)$/.test(value) ? '' : value
  }

  has(name: string): boolean {
    return this.text(name) !== ''
  }

  secrets(name: string): string[] {
    const secrets = secretsOf(this.text(name))
    if (secrets.length === 0) this.fault(name, 'is not set')
    for (const secret of secrets) {
      const wrong = faultOf(secret)
      if (wrong !== null) this.fault(name, wrong)
    }
    return secrets
  }

  /** A URL that paths are put behind: without a slash at its end. */
  base(name: string, guarded = true): string | null {
    return this.url(name, guarded)?.replace(/\/+$/, '') ?? null
  }

  /** A URL as it is; null when it is unset or wrong. What leaves the platform goes by https, but on this machine. */
  url(name: string, guarded = true): string | null {
    const text = this.text(name)
    if (text === '') return null
    const url = URL.canParse(text) ? new URL(text) : null
    const fits = url !== null && (url.protocol === 'https:' || url.protocol === 'http:' && (!guarded || isLoopback(url.hostname)))
    if (!fits || url.username !== '' || url.password !== '') {
      this.fault(name, 'must be an https URL without a user name (http only to this machine)')
      return null
    }
    return text
  }

  mail(): Mail | null {
    const key = this.text('RESEND_API_KEY')
    if (key === '') return null
    const from = this.text('NOTIFY_FROM')
    if (from === '') this.fault('NOTIFY_FROM', 'must be set with RESEND_API_KEY: an address of a domain that the provider has verified')
    return { url: this.url('NOTIFY_EMAIL_URL') ?? RESEND_URL, key, from }
  }

  /** The project's secret key, by its new name or its old one. */
  secretKey(): string {
    const keys = parseJson(this.text('SUPABASE_SECRET_KEYS'))
    const named = isObject(keys) ? keys['default'] ?? Object.values(keys)[0] : undefined
    const key = typeof named === 'string' && named !== '' ? named : this.text('SUPABASE_SERVICE_ROLE_KEY')
    if (key === '') this.fault('SUPABASE_SECRET_KEYS', 'is not set, nor is SUPABASE_SERVICE_ROLE_KEY; Supabase sets them for its functions')
    return key
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** The headers that make a request the secret key's. A key of the new kind is no token; one of the old kind is, too. */
export function headersFor(project: Project): Record<string, string> {
  const headers = { apikey: project.key, accept: 'application/json' }
  return project.key.startsWith('ey') ? { ...headers, authorization: `Bearer ${project.key}` } : headers
}
