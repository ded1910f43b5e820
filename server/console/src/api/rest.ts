import type { SupabaseClient } from '@supabase/supabase-js'
import { Refused } from './problem.ts'
import { list } from './parse.ts'

/** What the console needs of supabase-js. */
export type Supabase = Pick<SupabaseClient, 'from' | 'rpc' | 'auth' | 'realtime' | 'storage'>

interface Answer {
  readonly data: unknown
  readonly status: number
  readonly error: { readonly message: string; readonly code?: string; readonly details?: string | null } | null
}

/** Takes supabase-js' answer apart: its data, or Refused. */
export async function answer(attempt: string, request: PromiseLike<Answer>): Promise<unknown> {
  let got: Answer
  try {
    got = await request
  } catch (cause) {
    throw new Refused(attempt, { status: 0 }, { cause })
  }
  if (got.error === null) return got.data
  throw new Refused(attempt, { code: got.error.code ?? '', status: got.status, details: got.error.details ?? '' })
}

export async function rows<T>(attempt: string, request: PromiseLike<Answer>, parse: (row: unknown) => T): Promise<readonly T[]> {
  return list(await answer(attempt, request), attempt).map(parse)
}

/** How many ids go into one `in` filter: a URL stays short. */
const IdsPerRequest = 50

/** Reads by ids, some at a time. */
export async function byIds<T>(ids: Iterable<string>, read: (some: string[]) => Promise<readonly T[]>): Promise<readonly T[]> {
  const all = [...new Set(ids)]
  const parts: Promise<readonly T[]>[] = []
  for (let at = 0; at < all.length; at += IdsPerRequest) parts.push(read(all.slice(at, at + IdsPerRequest)))
  return (await Promise.all(parts)).flat()
}
