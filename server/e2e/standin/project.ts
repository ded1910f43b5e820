// What the suites share: clients of the project, and people who are invented.
import { randomUUID } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'
import { inject } from 'vitest'
import WebSocket from 'ws'

export const project = inject('project')

// Node 20 has no WebSocket of its own, and supabase-js asks for one when a client is made.
if (!('WebSocket' in globalThis)) Reflect.set(globalThis, 'WebSocket', WebSocket)

const options = { auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false } }

export function stranger(key = project.publishableKey) {
  return createClient(project.url, key, options)
}

export type Client = ReturnType<typeof stranger>

export const admin = createClient(project.url, project.secretKey, options)

export const password = 'correct horse battery'

export interface Person {
  id: string
  email: string
  client: Client
}

// A person who is known to the project, and signed in with a client of their own.
export async function person(): Promise<Person> {
  const email = `person-${randomUUID()}@example.test`
  const made = await admin.auth.admin.createUser({ email, password, email_confirm: true })
  if (made.error) throw made.error
  const client = stranger()
  const signedIn = await client.auth.signInWithPassword({ email, password })
  if (signedIn.error) throw signedIn.error
  return { id: made.data.user.id, email, client }
}

export async function tokenOf(client: Client): Promise<string> {
  const { data } = await client.auth.getSession()
  if (data.session === null) throw new Error('nobody is signed in')
  return data.session.access_token
}

export async function refreshTokenOf(client: Client): Promise<string> {
  const { data } = await client.auth.getSession()
  if (data.session === null) throw new Error('nobody is signed in')
  return data.session.refresh_token
}

export interface Asked {
  method?: string
  body?: string
  headers?: Record<string, string>
}

export interface Answer {
  status: number
  headers: Headers
  body: unknown
}

// A request as it stands, for what supabase-js would not send.
export async function ask(path: string, init: Asked = {}): Promise<Answer> {
  const response = await fetch(project.url + path, init)
  const text = await response.text()
  let body: unknown = text
  try {
    body = JSON.parse(text)
  } catch {
    // Not JSON: the text itself is the body.
  }
  return { status: response.status, headers: response.headers, body }
}

export function keyed(key: string, token?: string): Record<string, string> {
  return { apikey: key, 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
}

export function claimsOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
}

interface Mailed {
  token: string
  token_hash: string
  link: string
}

// The last mail to an address, which a stand-in keeps.
export async function mailTo(email: string): Promise<Mailed> {
  const { body } = await ask(`/standin/mail?to=${encodeURIComponent(email)}`)
  const first: unknown = Array.isArray(body) ? body[0] : undefined
  if (typeof first !== 'object' || first === null) throw new Error('no mail was sent')
  const field = (name: string): string => {
    const value: unknown = Reflect.get(first, name)
    if (typeof value !== 'string') throw new Error(`the mail has no ${name}`)
    return value
  }
  return { token: field('token'), token_hash: field('token_hash'), link: field('link') }
}
