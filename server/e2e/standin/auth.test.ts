// What Vigil's people do with Supabase Auth, through the real supabase-js.
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { admin, ask, claimsOf, keyed, mailTo, password, person, project, refreshTokenOf, stranger, tokenOf } from './project.ts'
import { totp } from './totp.ts'

const uuid = /^[0-9a-f-]{36}$/

describe('signing in', () => {
  test('a token has the claims of Supabase Auth and is good by the JWKS', async () => {
    const ann = await person()
    const token = await tokenOf(ann.client)
    expect(claimsOf(token)).toMatchObject({
      iss: `${project.url}/auth/v1`,
      sub: ann.id,
      aud: 'authenticated',
      role: 'authenticated',
      email: ann.email,
      phone: '',
      aal: 'aal1',
      is_anonymous: false,
      app_metadata: { provider: 'email', providers: ['email'] },
      amr: [{ method: 'password', timestamp: expect.any(Number) as unknown }],
      session_id: expect.stringMatching(uuid) as unknown,
    })
    const { data, error } = await ann.client.auth.getClaims(token)
    expect(error).toBeNull()
    expect(data?.header.alg).toBe('ES256')
    expect(data?.claims.sub).toBe(ann.id)
  })

  test('the person of a token is told', async () => {
    const ann = await person()
    const { data, error } = await ann.client.auth.getUser()
    expect(error).toBeNull()
    expect(data.user).toMatchObject({ id: ann.id, email: ann.email, aud: 'authenticated', is_anonymous: false })
    expect(data.user?.identities).toMatchObject([{ provider: 'email', user_id: ann.id, identity_data: { email: ann.email } }])
  })

  test('a refresh gives new tokens of the same login', async () => {
    const ann = await person()
    const before = claimsOf(await tokenOf(ann.client))
    const old = await refreshTokenOf(ann.client)
    const { data, error } = await ann.client.auth.refreshSession()
    expect(error).toBeNull()
    expect(data.session?.refresh_token).not.toBe(old)
    const after = claimsOf(data.session?.access_token ?? '')
    expect(after).toMatchObject({ session_id: Reflect.get(Object(before), 'session_id') as unknown })
  })

  test('an answer that was lost can be asked for again', async () => {
    const ann = await person()
    const old = await refreshTokenOf(ann.client)
    const first = await stranger().auth.refreshSession({ refresh_token: old })
    const again = await stranger().auth.refreshSession({ refresh_token: old })
    expect(again.error).toBeNull()
    expect(again.data.session?.refresh_token).toBe(first.data.session?.refresh_token)
  })

  test('a person changes their password, and every other login of theirs ends', async () => {
    const ann = await person()
    const other = stranger()
    await other.auth.signInWithPassword({ email: ann.email, password })
    const changed = await ann.client.auth.updateUser({ password: 'another horse entirely', data: { shoe: 43 } })
    expect(changed.error).toBeNull()
    expect(changed.data.user?.user_metadata).toMatchObject({ shoe: 43 })
    expect((await other.auth.getUser()).error?.name).toBe('AuthSessionMissingError')
    expect((await ann.client.auth.getUser()).error).toBeNull()
    const again = await stranger().auth.signInWithPassword({ email: ann.email, password: 'another horse entirely' })
    expect(again.error).toBeNull()
  })
})

describe('signing out', () => {
  test.each([
    ['global', false, false],
    ['local', false, true],
    ['others', true, false],
  ] as const)('%s ends the logins it names', async (scope, here, there) => {
    const ann = await person()
    const other = stranger()
    await other.auth.signInWithPassword({ email: ann.email, password })
    const [mine, theirs] = [await tokenOf(ann.client), await tokenOf(other)]
    expect((await ann.client.auth.signOut({ scope })).error).toBeNull()
    expect((await stranger().auth.getUser(mine)).error === null).toBe(here)
    expect((await stranger().auth.getUser(theirs)).error === null).toBe(there)
  })

  test('an admin ends a login by its token', async () => {
    const ann = await person()
    const token = await tokenOf(ann.client)
    expect((await admin.auth.admin.signOut(token, 'global')).error).toBeNull()
    expect((await ann.client.auth.getUser()).error?.name).toBe('AuthSessionMissingError')
  })
})

describe('the second factor', () => {
  test('a code raises the login to aal2 and ends the logins that are not', async () => {
    const ann = await person()
    const other = stranger()
    await other.auth.signInWithPassword({ email: ann.email, password })
    const enrolled = await ann.client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'telephone' })
    if (enrolled.error) throw enrolled.error
    const factorId = enrolled.data.id
    expect(enrolled.data.totp.uri).toContain('otpauth://totp/')

    const challenge = await ann.client.auth.mfa.challenge({ factorId })
    if (challenge.error) throw challenge.error
    const wrong = await ann.client.auth.mfa.verify({ factorId, challengeId: challenge.data.id, code: '000000' })
    expect(wrong.error).toMatchObject({ status: 422, code: 'mfa_verification_failed' })
    const right = await ann.client.auth.mfa.verify({ factorId, challengeId: challenge.data.id, code: totp(enrolled.data.totp.secret) })
    expect(right.error).toBeNull()
    expect(claimsOf(await tokenOf(ann.client))).toMatchObject({ aal: 'aal2' })
    const level = await ann.client.auth.mfa.getAuthenticatorAssuranceLevel()
    expect(level.data).toMatchObject({ currentLevel: 'aal2', nextLevel: 'aal2' })
    expect((await other.auth.getUser()).error?.name).toBe('AuthSessionMissingError')

    const refreshed = await ann.client.auth.refreshSession()
    expect(claimsOf(refreshed.data.session?.access_token ?? '')).toMatchObject({ aal: 'aal2' })
    expect((await ann.client.auth.mfa.listFactors()).data?.totp).toHaveLength(1)

    const fresh = stranger()
    await fresh.auth.signInWithPassword({ email: ann.email, password })
    expect((await fresh.auth.mfa.getAuthenticatorAssuranceLevel()).data).toMatchObject({ currentLevel: 'aal1', nextLevel: 'aal2' })
    expect((await fresh.auth.mfa.unenroll({ factorId })).error).toMatchObject({ status: 422, code: 'insufficient_aal' })
    expect((await fresh.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'b' })).error).toMatchObject({ status: 403, code: 'insufficient_aal' })
    expect((await fresh.auth.updateUser({ password: 'yet another horse' })).error).toMatchObject({ status: 401, code: 'insufficient_aal' })

    expect((await ann.client.auth.mfa.unenroll({ factorId })).error).toBeNull()
    const lowered = await ann.client.auth.refreshSession()
    expect(claimsOf(lowered.data.session?.access_token ?? '')).toMatchObject({ aal: 'aal1' })
  })
})

describe('the admin', () => {
  test('makes, reads, changes, lists and deletes a person', async () => {
    const email = `made-${randomUUID()}@example.test`
    const made = await admin.auth.admin.createUser({ email, password, user_metadata: { shoe: 38 }, app_metadata: { plan: 'free' } })
    if (made.error) throw made.error
    const id = made.data.user.id
    expect(made.data.user).toMatchObject({ email, user_metadata: { shoe: 38 }, app_metadata: { plan: 'free', provider: 'email' } })
    expect((await stranger().auth.signInWithPassword({ email, password })).error).toMatchObject({ status: 400, code: 'email_not_confirmed' })

    const confirmed = await admin.auth.admin.updateUserById(id, { email_confirm: true, app_metadata: { plan: 'paid' }, user_metadata: { shoe: null } })
    expect(confirmed.data.user?.app_metadata).toMatchObject({ plan: 'paid', provider: 'email' })
    expect(confirmed.data.user?.user_metadata).not.toHaveProperty('shoe')
    expect((await stranger().auth.signInWithPassword({ email, password })).error).toBeNull()

    await admin.auth.admin.updateUserById(id, { ban_duration: '1h' })
    expect((await stranger().auth.signInWithPassword({ email, password })).error).toMatchObject({ status: 400, code: 'user_banned' })
    await admin.auth.admin.updateUserById(id, { ban_duration: 'none' })

    expect((await admin.auth.admin.getUserById(id)).data.user?.email).toBe(email)
    const page = await admin.auth.admin.listUsers({ page: 1, perPage: 1 })
    expect(page.error).toBeNull()
    expect(page.data.users).toHaveLength(1)

    expect((await admin.auth.admin.deleteUser(id)).error).toBeNull()
    expect((await admin.auth.admin.getUserById(id)).error).toMatchObject({ status: 404, code: 'user_not_found' })
    expect((await stranger().auth.signInWithPassword({ email, password })).error).toMatchObject({ code: 'invalid_credentials' })
  })
})

describe.runIf(project.standin)('mail, which a stand-in keeps', () => {
  test('a sign-up is confirmed with the code that was mailed', async () => {
    const email = `new-${randomUUID()}@example.test`
    const client = stranger()
    const signedUp = await client.auth.signUp({ email, password, options: { data: { shoe: 40 } } })
    expect(signedUp.error).toBeNull()
    expect(signedUp.data.session).toBeNull()
    expect(signedUp.data.user?.user_metadata).toMatchObject({ shoe: 40, email })
    expect((await client.auth.signInWithPassword({ email, password })).error).toMatchObject({ code: 'email_not_confirmed' })
    const { token } = await mailTo(email)
    const verified = await client.auth.verifyOtp({ email, token, type: 'email' })
    expect(verified.error).toBeNull()
    expect(verified.data.user?.email_confirmed_at).toBeTruthy()
    expect((await client.auth.verifyOtp({ email, token, type: 'email' })).error).toMatchObject({ status: 403, code: 'otp_expired' })
  })

  test('a forgotten password is set anew', async () => {
    const ann = await person()
    const client = stranger()
    expect((await client.auth.resetPasswordForEmail(ann.email)).error).toBeNull()
    const again = await client.auth.resetPasswordForEmail(ann.email)
    expect(again.error).toMatchObject({ status: 429, code: 'over_email_send_rate_limit' })
    const { token_hash } = await mailTo(ann.email)
    const verified = await client.auth.verifyOtp({ token_hash, type: 'recovery' })
    expect(verified.error).toBeNull()
    expect(claimsOf(await tokenOf(client))).toMatchObject({ amr: [{ method: 'otp' }] })
    expect((await client.auth.updateUser({ password: 'a horse remembered' })).error).toBeNull()
    expect((await stranger().auth.signInWithPassword({ email: ann.email, password: 'a horse remembered' })).error).toBeNull()
  })

  test('the link in a mail leads back to the site with the tokens, once', async () => {
    const ann = await person()
    await stranger().auth.resetPasswordForEmail(ann.email, { redirectTo: 'https://elsewhere.example.test' })
    const { link } = await mailTo(ann.email)
    const first = await fetch(link, { redirect: 'manual' })
    expect(first.status).toBe(303)
    const location = new URL(first.headers.get('location') ?? '')
    expect(location.host).toBe('127.0.0.1:3000')
    expect(new URLSearchParams(location.hash.slice(1)).get('type')).toBe('recovery')
    const second = await fetch(link, { redirect: 'manual' })
    expect(second.headers.get('location')).toContain('error_code=otp_expired')
  })

  test('nobody learns whether an address is known', async () => {
    const ann = await person()
    const unknown = await stranger().auth.resetPasswordForEmail(`nobody-${randomUUID()}@example.test`)
    expect(unknown.error).toBeNull()
    const taken = await stranger().auth.signUp({ email: ann.email, password })
    expect(taken.error).toBeNull()
    expect(taken.data.user?.identities).toEqual([])
    expect(taken.data.user?.id).not.toBe(ann.id)
  })
})

describe('around it', () => {
  test('settings and health are told with a key', async () => {
    const settings = await ask('/auth/v1/settings', { headers: keyed(project.publishableKey) })
    expect(settings.body).toMatchObject({ external: { email: true }, disable_signup: false })
    const health = await ask('/auth/v1/health', { headers: keyed(project.publishableKey) })
    expect(health.body).toMatchObject({ name: 'GoTrue' })
  })

  test('the JWKS needs no key, and holds no private half', async () => {
    const { status, body } = await ask('/auth/v1/.well-known/jwks.json')
    expect(status).toBe(200)
    expect(body).toMatchObject({ keys: [{ kty: 'EC', alg: 'ES256', crv: 'P-256' }] })
    expect(JSON.stringify(body)).not.toContain('"d"')
  })

  test.runIf(project.standin)('every answer says that it is the stand-in', async () => {
    for (const path of ['/auth/v1/health', '/rest/v1/standin_notes', '/nowhere', '/auth/v1/.well-known/jwks.json']) {
      expect((await ask(path)).headers.get('x-vigil-standin')).toBe('1')
    }
  })

  test('a browser on another origin may ask', async () => {
    const { status, headers } = await ask('/rest/v1/standin_notes', {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example.test', 'access-control-request-method': 'POST', 'access-control-request-headers': 'apikey,authorization' },
    })
    expect(status).toBe(200)
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('access-control-allow-headers')).toContain('apikey')
  })
})
