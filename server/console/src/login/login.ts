import { createClient } from '@supabase/supabase-js'
import { vigil, type Vigil } from 'vigil-client'
import { readMemberships, readNames, readOrganizations } from '../api/people.ts'
import { problemOf, Refused, type Problem } from '../api/problem.ts'
import { MemberRole, type Membership, type Organization } from '../api/rows.ts'
import type { Config } from '../app/config.ts'
import { browserName } from '../lib/browser.ts'
import { Store } from '../lib/store.ts'

/** Who is signed in, and as what. */
export interface Me {
  readonly userId: string
  readonly email: string
  readonly name: string
  readonly memberships: readonly (Membership & { readonly organization: Organization })[]
}

export interface Enrolment {
  readonly factorId: string
  readonly secret: string
  readonly uri: string
}

/**
 *   restoring ─▶ out ─password─▶ (checking) ─▶ code ───┐
 *                 ▲                  │    └──▶ enrol ──┤ the six digits
 *                 └──── sign out ────┴────────▶ in ◀───┘
 */
export type LoginState =
  | { readonly step: 'restoring' }
  | { readonly step: 'out'; readonly notice: Problem | null }
  | { readonly step: 'code'; readonly factorId: string }
  | { readonly step: 'enrol' }
  | { readonly step: 'failed'; readonly problem: Problem }
  | { readonly step: 'in'; readonly me: Me }

export function isStaff(me: Me): boolean {
  return me.memberships.some((one) => one.role !== MemberRole.client)
}

export function isClinician(me: Me): boolean {
  return me.memberships.some((one) => one.role === MemberRole.therapist || one.role === MemberRole.supervisor)
}

export function hasRole(me: Me, role: MemberRole): boolean {
  return me.memberships.some((one) => one.role === role)
}

/** Organisations that show nothing to this login: it owes them the second factor. */
export function owedOrganizations(memberships: readonly Membership[], visible: readonly Organization[]): readonly Membership[] {
  return memberships.filter((one) => one.role !== MemberRole.client && !visible.some((org) => org.id === one.organizationId))
}

/**
 * One login in one tab. Its tokens are in the tab's sessionStorage and nowhere else, under a key of the tab's own: two tabs may
 * be two people, and closing one forgets its login. The device's keys stay, in IndexedDB.
 */
export class Login {
  readonly state = new Store<LoginState>({ step: 'restoring' })
  readonly supabase: ReturnType<typeof createClient>
  readonly #config: Config
  #vigil: Promise<Vigil> | undefined
  #undo: (() => void) | undefined
  #leaving = false

  constructor(config: Config) {
    this.#config = config
    this.supabase = createClient(config.supabaseUrl, config.publishableKey, {
      auth: { storage: window.sessionStorage, storageKey: tabKey(window.sessionStorage), detectSessionInUrl: false },
    })
  }

  /** Takes the login up where the tab left it, and follows it. Returns the undo. */
  open(): () => void {
    const { data } = this.supabase.auth.onAuthStateChange((event) => {
      if (event === 'SIGNED_OUT') this.#leave(this.#leaving ? null : ended)
    })
    this.#undo = () => {
      data.subscription.unsubscribe()
    }
    void this.advance()
    return () => {
      this.#undo?.()
      void this.#closeVigil()
    }
  }

  /** Finds out what is missing until somebody is in. */
  async advance(): Promise<void> {
    try {
      this.state.set(await this.#next())
    } catch (thrown) {
      this.state.set({ step: 'failed', problem: problemOf(thrown, 'sign you in') })
    }
  }

  /** Looks again whether somebody who is in may still be: their practice may ask for a second factor by now, or have ended a membership. */
  async recheck(): Promise<void> {
    try {
      const next = await this.#next()
      const now = this.state.get()
      if (now.step === 'in' && (next.step !== 'in' || JSON.stringify(next.me) !== JSON.stringify(now.me))) this.state.set(next)
    } catch {
      // whatever is asked next says what is wrong
    }
  }

  async #next(): Promise<LoginState> {
    const { auth } = this.supabase
    const { data } = await auth.getSession()
    if (data.session === null) return { step: 'out', notice: null }
    const { user } = data.session
    const level = await auth.mfa.getAuthenticatorAssuranceLevel()
    if (level.error !== null) throw refusedByAuth('read the login', level.error)
    if (level.data.nextLevel === 'aal2' && level.data.currentLevel !== 'aal2') {
      const factors = await auth.mfa.listFactors()
      if (factors.error !== null) throw refusedByAuth('read the second factors', factors.error)
      const factor = factors.data.totp[0]
      if (factor !== undefined) return { step: 'code', factorId: factor.id }
    }
    const [memberships, organizations] = await Promise.all([readMemberships(this.supabase, user.id), readOrganizations(this.supabase)])
    if (owedOrganizations(memberships, organizations).length > 0 && level.data.currentLevel !== 'aal2') return { step: 'enrol' }
    const email = user.email ?? ''
    const name = (await readNames(this.supabase, [user.id])).get(user.id) ?? email
    const joined = memberships.flatMap((one) => {
      const organization = organizations.find((org) => org.id === one.organizationId)
      return organization === undefined ? [] : [{ ...one, organization }]
    })
    return { step: 'in', me: { userId: user.id, email, name, memberships: joined } }
  }

  /** Signs in; throws Refused, with code 'invalid_credentials' when that is what is wrong. */
  async signIn(email: string, password: string): Promise<void> {
    const { error } = await this.supabase.auth.signInWithPassword({ email, password })
    if (error !== null) throw refusedByAuth('sign in', error)
    await this.advance()
  }

  /** Proves a factor with its six digits; throws Refused, with code 'mfa_verification_failed' for wrong ones. */
  async prove(factorId: string, code: string): Promise<void> {
    const { error } = await this.supabase.auth.mfa.challengeAndVerify({ factorId, code })
    if (error !== null) throw refusedByAuth('check the code', error)
    await this.advance()
  }

  /** A new factor, in place of one that was begun and never proven. */
  async enrol(): Promise<Enrolment> {
    const { mfa } = this.supabase.auth
    const known = await mfa.listFactors()
    if (known.error !== null) throw refusedByAuth('read the second factors', known.error)
    for (const factor of known.data.all) {
      if (factor.factor_type === 'totp' && factor.status === 'unverified') await mfa.unenroll({ factorId: factor.id })
    }
    const { data, error } = await mfa.enroll({ factorType: 'totp', friendlyName: 'Vigil console', issuer: 'Vigil' })
    if (error !== null) throw refusedByAuth('set the second factor up', error)
    return { factorId: data.id, secret: data.totp.secret, uri: data.totp.uri }
  }

  /** This browser's device and the socket: made once for a login. */
  vigil(): Promise<Vigil> {
    this.#vigil ??= vigil(this.supabase, this.#config.vigilUrl, { apiKey: this.#config.publishableKey, label: browserName(navigator.userAgent) }).catch((thrown: unknown) => {
      this.#vigil = undefined // the next one who asks tries again
      throw thrown
    })
    return this.#vigil
  }

  /** Ends this login, here and at the server. */
  async signOut(): Promise<void> {
    this.#leaving = true
    try {
      await this.#closeVigil()
      await this.supabase.auth.signOut({ scope: 'local' })
      this.#leave(null)
    } finally {
      this.#leaving = false
    }
  }

  #leave(notice: Problem | null): void {
    void this.#closeVigil()
    this.state.set({ step: 'out', notice })
  }

  async #closeVigil(): Promise<void> {
    const closing = this.#vigil
    this.#vigil = undefined
    try {
      await (await closing)?.close()
    } catch {
      // it was never made, or the socket was gone already
    }
  }
}

const ended: Problem = {
  title: 'Your login has ended',
  next: 'It was ended elsewhere, or could not be renewed. Sign in again; nothing that was stored is lost.',
  code: 'signed_out',
}

interface AuthFailure {
  readonly code?: string | undefined
  readonly status?: number | undefined
}

function refusedByAuth(attempt: string, error: AuthFailure): Refused {
  return new Refused(attempt, { code: error.code ?? '', status: error.status ?? 0 }, { cause: error })
}

/** The tab's own storage key, so that auth-js tells no other tab of its login. */
function tabKey(storage: Storage): string {
  const name = 'vigil-tab'
  const tab = storage.getItem(name) ?? crypto.randomUUID()
  storage.setItem(name, tab)
  return `vigil-login-${tab}`
}
