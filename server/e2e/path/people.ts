// A practice of people who are invented, made as an operator and its people make one: Auth's admin interface, the SQL editor for
// the organisation, and the rest through supabase-js with row-level security.
import { Client as Postgres } from 'pg'
import { parseSession, vigil, type ChatMessage, type Session, type SessionRow, type Vigil } from 'vigil-client'
import { MemoryStore } from 'vigil-client/memory'
import { inject } from 'vitest'
import { password, person, project, stranger, type Client, type Person } from '../standin/project.ts'
import { totp } from '../standin/totp.ts'
import { transport } from './wire.ts'

export const sidecar = inject('sidecar')

export interface Practice {
  organization: string
  client: Person
  // Signed in with the second factor, which organisations require unless an admin says otherwise.
  therapist: Person
}

// One statement of the operator's, as the owner of the tables.
export async function sql(statement: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  if (project.ownerURL === '') throw new Error('OWNER_URL is not set: the organisation is founded in SQL, as role postgres')
  const postgres = new Postgres({ connectionString: project.ownerURL })
  await postgres.connect()
  try {
    const result = await postgres.query<Record<string, unknown>>(statement, values)
    return result.rows
  } finally {
    await postgres.end()
  }
}

// What supabase-js answered, or its error.
export function checked<T>(answer: { data: T; error: Error | null }): NonNullable<T> {
  if (answer.error !== null) throw answer.error
  if (answer.data === null || answer.data === undefined) throw new Error('nothing was answered')
  return answer.data
}

// Enrols an authenticator app and signs in with it: aal2.
export async function secondFactor(client: Client): Promise<void> {
  const factor = checked(await client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'telephone' }))
  checked(await client.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret) }))
}

// Somebody's second login, with the password alone.
export async function signIn(email: string): Promise<Client> {
  const client = stranger()
  const { error } = await client.auth.signInWithPassword({ email, password })
  if (error) throw error
  return client
}

export async function practice(): Promise<Practice> {
  const [admin, client, therapist] = await Promise.all([person(), person(), person()])
  const [founded] = await sql("select private.found_organization('Practice of nobody', $1) as id", [admin.email])
  const organization = String(founded?.['id'])
  await sql(
    "insert into public.memberships (organization_id, user_id, role) values ($1, $2, 'client'), ($1, $3, 'therapist')",
    [organization, client.id, therapist.id],
  )
  await secondFactor(therapist.client)
  return { organization, client, therapist }
}

// A scheduled session of the practice.
export async function schedule(of: Practice, mode: 'assisted' | 'strict'): Promise<SessionRow> {
  const created: unknown = checked(
    await of.therapist.client.rpc('create_session', { organization_id: of.organization, client_id: of.client.id, mode }),
  )
  return parseSession(created)
}

export async function start(of: Practice, id: string): Promise<void> {
  checked(await of.therapist.client.rpc('start_session', { session_id: id }))
}

// One browser's worth: a device and the session as it shows it.
export interface Side {
  v: Vigil
  chat: Session
  shown: ChatMessage[]
  // What went wrong in the background.
  errors: Error[]
}

const open: Vigil[] = []
const browsers = new Map<string, MemoryStore>()

// The browser that somebody always uses: where it keeps its keys.
function browserOf(who: Person): MemoryStore {
  const store = browsers.get(who.id) ?? new MemoryStore()
  browsers.set(who.id, store)
  return store
}

export async function enter(who: Person, id: string, store = browserOf(who)): Promise<Side> {
  const v = await vigil(who.client, sidecar.url, { store, transport: transport() })
  open.push(v)
  const chat = await v.session(id)
  const side: Side = { v, chat, shown: [], errors: [] }
  chat.on('message', (message) => {
    side.shown.push(message)
  })
  chat.on('error', (error) => {
    side.errors.push(error)
  })
  return side
}

export interface Therapy extends Practice {
  id: string
  clientSide: Side
  therapistSide: Side
}

// An active session with both people in it; an assisted one with its client's consent.
export async function therapy(mode: 'assisted' | 'strict', of?: Practice): Promise<Therapy> {
  const people = of ?? (await practice())
  const { id } = await schedule(people, mode)
  const [clientSide, therapistSide] = [await enter(people.client, id), await enter(people.therapist, id)]
  await start(people, id)
  if (mode === 'assisted') await clientSide.chat.consent.give({ text: 'My messages may be analysed.' })
  return { ...people, id, clientSide, therapistSide }
}

export async function closeAll(): Promise<void> {
  await Promise.all(open.splice(0).map((v) => v.close()))
}

export const crisis = 'I have the pills here and I am going to kill myself tonight.'
