/** The stand-in for Supabase, over a throwaway Postgres with the real migrations: started once for a test file. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { verifyDevice } from '../src/cross.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { fields, json, list, oneOf, text } from '../src/parse.ts'
import { DeviceKind } from '../src/rows.ts'
import { ownTestdata } from './bundle.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const options = { auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false } }
export const password = 'correct horse battery'

export interface Person {
  readonly id: string
  readonly email: string
  readonly supabase: SupabaseClient
}

export interface Practice {
  readonly client: Person
  readonly therapist: Person
  readonly analysis: Device
  readonly sessionId: string
}

/** What PostgREST or Auth answered, or its error. */
export function checked(answer: { readonly data: unknown; readonly error: Error | null }): unknown {
  if (answer.error !== null) throw answer.error
  return answer.data
}

export class Standin {
  readonly url: string
  readonly key: string
  readonly #secret: string
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor(parts: { url: string; key: string; secret: string; process: ChildProcess; folder: string }) {
    this.url = parts.url
    this.key = parts.key
    this.#secret = parts.secret
    this.#process = parts.process
    this.#folder = parts.folder
  }

  static async start(): Promise<Standin> {
    const folder = mkdtempSync(join(tmpdir(), 'vigil-client-'))
    const binary = join(folder, 'serve')
    execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './server/standin/serve'], { cwd: root, stdio: 'inherit' })
    const sql = fileURLToPath(new URL('practice.sql', ownTestdata))
    const child = spawn(binary, ['-hash-cost', '4', '-sql', sql], { cwd: root, stdio: ['pipe', 'pipe', 'ignore'] })
    const ended = once(child, 'exit').then(() => {
      throw new Error('the stand-in ended before it said where it is')
    })
    const line: unknown = await Promise.race([once(createInterface(child.stdout), 'line'), ended])
    const where = fields(json(String(line), 'line'), 'line')
    ended.catch(() => undefined) // it ends with the tests
    return new Standin({
      url: text(where, 'supabase_url'), key: text(where, 'publishable_key'), secret: text(where, 'secret_key'),
      process: child, folder,
    })
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.stdin?.end()
    await ended
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Someone invented, signed in. */
  async person(): Promise<Person> {
    const admin = createClient(this.url, this.#secret, options)
    const email = `${crypto.randomUUID()}@example.test`
    const made = fields(checked(await admin.auth.admin.createUser({ email, password, email_confirm: true })), 'made')
    const supabase = createClient(this.url, this.key, options)
    checked(await supabase.auth.signInWithPassword({ email, password }))
    return { id: text(fields(made['user'], 'user'), 'id'), email, supabase }
  }

  /** Sets an organisation's suggestions, as its admin does. */
  async suggest(organizationId: string, suggestions: 'off' | 'on_demand' | 'elevated'): Promise<void> {
    const admin = createClient(this.url, this.#secret, options)
    checked(await admin.from('organizations').update({ suggestions }).eq('id', organizationId))
  }

  /** Records a suggestion, as the sidecar does; what stands then. */
  async record(suggestion: object, seals: readonly object[]): Promise<unknown> {
    const admin = createClient(this.url, this.#secret, options)
    return checked(await admin.rpc('test_record', { suggestion, seals }))
  }

  /**
   * Judges what waits to be admitted, as the sidecar does; how many it admitted. Throws if nothing was there to judge: wait for it.
   */
  async admit(): Promise<number> {
    const admin = createClient(this.url, this.#secret, options)
    const due = list(checked(await admin.rpc('test_devices_to_admit')), 'due').map((one) => fields(one, 'due'))
    if (due.length === 0) throw new Error('nothing waits to be admitted')
    let admitted = 0
    for (const one of due) {
      const row = {
        id: text(one, 'device_id'), user_id: text(one, 'user_id'), kind: oneOf(one, 'kind', DeviceKind), enc_pub: text(one, 'enc_pub'),
        sig_pub: text(one, 'sig_pub'),
      }
      const by = { id: text(one, 'by_device_id'), sig_pub: text(one, 'by_sig_pub') }
      if (await verifyDevice(row, by, text(one, 'signature'))) {
        if (checked(await admin.rpc('test_admit_device', { device: row.id, by_device: by.id })) === true) admitted++
      } else {
        checked(await admin.rpc('test_refuse_device', { signature_id: text(one, 'signature_id'), reason: 'signature' }))
      }
    }
    return admitted
  }

  /** Lets a day pass for a session's epochs. */
  async age(session: string): Promise<void> {
    const admin = createClient(this.url, this.#secret, options)
    checked(await admin.rpc('test_age', { session }))
  }

  /** What the audit log says was refused in a session: table and reason. */
  async refusals(session: string): Promise<unknown> {
    const admin = createClient(this.url, this.#secret, options)
    return checked(await admin.rpc('test_refusals', { session }))
  }

  /** A practice of two people with a scheduled session. */
  async practice(mode: 'assisted' | 'strict'): Promise<Practice> {
    const [client, therapist, analysis] = [await this.person(), await this.person(), await makeDevice()]
    const admin = createClient(this.url, this.#secret, options)
    const organization = checked(
      await admin.rpc('test_practice', {
        therapist: therapist.id, client: client.id, analysis_id: analysis.kid, enc_pub: analysis.encPub, sig_pub: analysis.sigPub,
      }),
    )
    const created = checked(
      await therapist.supabase.rpc('create_session', { organization_id: organization, client_id: client.id, mode }),
    )
    return { client, therapist, analysis, sessionId: text(fields(created, 'session'), 'id') }
  }
}
