/** What supabase-js answers, taken apart. */
import { RequestError } from './failure.ts'
import { list } from './parse.ts'

/** A page of history. */
export const PageRows = 500

export const ReaderColumns =
  'session_id,epoch,device_id,user_id,role,reason,alert_id,by_device_id,signature,wrap_hash,created_at,ended_at'

export interface Answer {
  readonly data: unknown
  readonly status: number
  readonly error: { readonly message: string; readonly code?: string; readonly details?: string | null } | null
}

/** Takes supabase-js' answer apart: its data, or a RequestError. */
export async function answer(attempt: string, request: PromiseLike<Answer>): Promise<unknown> {
  let got: Answer
  try {
    got = await request
  } catch (cause) {
    throw new RequestError(attempt, '', 0, 'no answer', '', { cause })
  }
  if (got.error === null) return got.data
  const { code = '', message, details } = got.error
  throw new RequestError(attempt, code, got.status, message, details ?? '')
}

export async function rows<T>(attempt: string, request: PromiseLike<Answer>, parse: (row: unknown) => T): Promise<readonly T[]> {
  return list(await answer(attempt, request), attempt).map(parse)
}

/** All rows, page by page: PostgREST gives only so many at once. The request's order must be total. */
export async function allRows<T>(attempt: string, page: (from: number, to: number) => PromiseLike<Answer>, parse: (row: unknown) => T): Promise<readonly T[]> {
  const all: T[] = []
  for (;;) {
    const some = await rows(attempt, page(all.length, all.length + PageRows - 1), parse)
    all.push(...some)
    if (some.length < PageRows) return all
  }
}

/** For the catch of an import(): a part of the package that does not come is asked for again, as a row is. */
export function notLoaded(cause: unknown): never {
  throw new RequestError('load a part of vigil-client', '', 0, 'no answer', '', { cause })
}
