/**
 * Requests to other services: each has a time limit, follows no redirect (one could lead from https to http, or carry a secret
 * elsewhere), and gives at most MOST_BYTES of the answer.
 */

export interface Answer {
  readonly status: number
  /** What Retry-After asks for, in seconds; null when it is not there or cannot be read. */
  readonly retryAfter: number | null
  readonly text: string
}

/** The service gave no answer: `timeout`, or `unreachable`. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  constructor(readonly code: 'timeout' | 'unreachable', options?: ErrorOptions) {
    super(`no answer: ${code}`, options)
  }
}

const MOST_BYTES = 256 * 1024

export interface Caller {
  (url: string, init: RequestInit): Promise<Answer>
}

/** Makes a caller whose requests may take `timeoutMs` each, and all end when `until` does. */
export function caller(fetching: typeof fetch, until: AbortSignal, timeoutMs: number): Caller {
  return async (url, init) => {
    const signal = AbortSignal.any([until, AbortSignal.timeout(timeoutMs)])
    try {
      const response = await fetching(url, { ...init, redirect: 'manual', signal })
      const text = new TextDecoder().decode(await read(response.body, MOST_BYTES) ?? new Uint8Array())
      return { status: response.status, retryAfter: retryAfter(response.headers.get('retry-after')), text }
    } catch (cause) {
      throw new NoAnswer(signal.aborted ? 'timeout' : 'unreachable', { cause })
    }
  }
}

/** Reads a body to its end; null, and the rest is not read, when it has more than `most` bytes. */
export async function read(body: ReadableStream<Uint8Array> | null, most: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    length += chunk.length
    if (length > most) return null // leaving the loop cancels the stream
    chunks.push(chunk)
  }
  const all = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

function retryAfter(header: string | null): number | null {
  if (header === null) return null
  if (/^\d{1,6}$/.test(header)) return Number(header)
  const at = Date.parse(header)
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - Date.now()) / 1000))
}
