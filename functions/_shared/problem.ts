/**
 * Error answers as RFC 9457 has them, in the shape that the sidecar's own API gives. `code` never changes and is what callers
 * branch on; no field repeats what was sent.
 */

export interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  /** After how many seconds the same request is worth sending again. */
  readonly retryAfter?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the body: ids, codes and names only. */
  readonly more?: Readonly<Record<string, unknown>>
}

const TITLES: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  405: 'Method Not Allowed',
  410: 'Gone',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
}

export function problem(p: Problem): Response {
  const headers = new Headers({ ...p.headers, 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
  if (p.retryAfter !== undefined) headers.set('retry-after', String(Math.max(1, Math.ceil(p.retryAfter))))
  const body = { type: 'about:blank', title: TITLES[p.status] ?? 'Error', status: p.status, code: p.code, detail: p.detail, ...p.more }
  return new Response(JSON.stringify(body), { status: p.status, headers })
}

export function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } })
}
