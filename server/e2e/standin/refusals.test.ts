// What hosted Supabase refuses. The stand-in is never kinder: each refusal has the real status, code and words.
import { createHmac, createPrivateKey, randomUUID, sign } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { admin, ask, keyed, password, person, project, refreshTokenOf, stranger, tokenOf, type Asked, type Person } from './project.ts'

let ann: Person
let token: string

beforeAll(async () => {
  ann = await person()
  token = await tokenOf(ann.client)
  await ann.client.from('standin_notes').insert([{ title: 'one' }, { title: 'two' }])
})

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function parts(): [string, Record<string, unknown>] {
  const [header = '', claims = ''] = token.split('.')
  const parsed: unknown = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'))
  return [header, { ...Object(parsed) } as Record<string, unknown>]
}

// A token that nobody would issue, signed with the project's own key: a stand-in tells it.
function signed(change: Record<string, unknown>): string {
  const [header, claims] = parts()
  const key = createPrivateKey({ key: JSON.parse(project.signingKey ?? 'null') as Record<string, string>, format: 'jwk' })
  const body = `${header}.${encode({ ...claims, ...change })}`
  const input = new TextEncoder().encode(body)
  return `${body}.${sign('sha256', input, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

const tampered = (): string => {
  const [header, claims] = parts()
  return `${header}.${encode({ ...claims, role: 'service_role' })}.${token.split('.')[2] ?? ''}`
}
const unsigned = (): string => `${encode({ alg: 'none', typ: 'JWT' })}.${encode(parts()[1])}.`
const symmetric = (): string => {
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(parts()[1])}`
  return `${body}.${createHmac('sha256', project.publishableKey).update(body).digest('base64url')}`
}
const otherKid = (): string => `${encode({ alg: 'ES256', typ: 'JWT', kid: randomUUID() })}.${token.split('.').slice(1).join('.')}`

const now = (): number => Math.floor(Date.now() / 1000)

describe('the gateway', () => {
  test.each<[string, Record<string, string>, string]>([
    ['no API key', {}, 'No API key found in request'],
    ['a key of another project', keyed('sb_publishable_another'), 'Invalid API key'],
    ['a person’s token in place of the key', { apikey: 'x.y.z' }, 'Invalid API key'],
    ['a bearer token and no key', { authorization: 'Bearer x.y.z' }, 'No API key found in request'],
    ['the secret key in a browser', { ...keyed(project.secretKey), 'user-agent': 'Mozilla/5.0 (X11)' }, 'Forbidden use of secret API key in browser'],
  ])('refuses %s', async (_, headers, message) => {
    for (const path of ['/rest/v1/standin_notes', '/auth/v1/user', '/auth/v1/settings']) {
      const { status, body } = await ask(path, { headers })
      expect(status).toBe(401)
      expect(body).toMatchObject({ message, hint: expect.any(String) as unknown })
    }
  })

  test('refuses an API key as another key’s token', async () => {
    const headers = keyed(project.publishableKey, project.secretKey)
    expect(await ask('/rest/v1/standin_notes', { headers })).toMatchObject({ status: 401, body: { code: 'PGRST301' } })
    expect(await ask('/auth/v1/admin/users', { headers })).toMatchObject({ status: 403, body: { error_code: 'bad_jwt' } })
  })

  test('knows no other path', async () => {
    expect(await ask('/nowhere', { headers: keyed(project.publishableKey) })).toMatchObject({ status: 404 })
  })
})

describe('tokens', () => {
  const cases: [string, () => string, { code: string; message?: string }][] = [
    ['tampered with', tampered, { code: 'PGRST301', message: 'JWT cryptographic operation failed' }],
    ['not signed at all', unsigned, { code: 'PGRST301' }],
    ['signed with HS256 and the publishable key', symmetric, { code: 'PGRST301' }],
    ['of a key that is not the project’s', otherKid, { code: 'PGRST301', message: 'No suitable key or wrong key type' }],
    ['of two parts', () => 'a.b', { code: 'PGRST301', message: 'Expected 3 parts in JWT; got 2' }],
    ['of nonsense', () => 'a.b.c', { code: 'PGRST301' }],
  ]
  const crafted: [string, () => string, { code: string; message?: string }][] = [
    ['expired', () => signed({ exp: now() - 60 }), { code: 'PGRST303', message: 'JWT expired' }],
    ['not valid yet', () => signed({ nbf: now() + 600 }), { code: 'PGRST303', message: 'JWT not yet valid' }],
    ['issued in the future', () => signed({ iat: now() + 600 }), { code: 'PGRST303', message: 'JWT issued at future' }],
    ['with a time that is no number', () => signed({ exp: 'soon' }), { code: 'PGRST303', message: "The JWT 'exp' claim must be a number" }],
  ]
  const all = project.standin ? [...cases, ...crafted] : cases
  test.each(all)('the REST API refuses one %s', async (_, make, body) => {
    const answer = await ask('/rest/v1/standin_notes', { headers: keyed(project.publishableKey, make()) })
    expect(answer).toMatchObject({ status: 401, body })
    expect(answer.headers.get('www-authenticate')).toContain('invalid_token')
  })

  test.each(all.filter(([name]) => !['issued in the future', 'with a time that is no number'].includes(name)))('Auth refuses one %s', async (_, make) => {
    const answer = await ask('/auth/v1/user', { headers: keyed(project.publishableKey, make()) })
    expect(answer).toMatchObject({ status: 403, body: { code: 403, error_code: 'bad_jwt' } })
  })

  test.runIf(project.standin)('a role that authenticator may not take is refused', async () => {
    const owner = await ask('/rest/v1/standin_notes', { headers: keyed(project.publishableKey, signed({ role: 'postgres' })) })
    expect(owner).toMatchObject({ status: 403, body: { code: '42501', message: 'permission denied to set role "postgres"' } })
    const nobody = await ask('/rest/v1/standin_notes', { headers: keyed(project.publishableKey, signed({ role: 'nobody' })) })
    expect(nobody).toMatchObject({ status: 401, body: { code: '22023' } })
  })

  test('a login that ended is refused by Auth, and its token is still good for the REST API until it expires', async () => {
    const ben = await person()
    const old = await tokenOf(ben.client)
    await ben.client.auth.signOut()
    const headers = { ...keyed(project.publishableKey, old), 'x-supabase-api-version': '2024-01-01' }
    expect(await ask('/auth/v1/user', { headers })).toMatchObject({ status: 403, body: { code: 'session_not_found' } })
    expect((await ask('/rest/v1/standin_notes', { headers })).status).toBe(200)
  })

  test('a person who was deleted is refused', async () => {
    const ben = await person()
    await admin.auth.admin.deleteUser(ben.id)
    expect((await ben.client.auth.getUser()).error).toMatchObject({ status: 403, code: 'user_not_found' })
  })
})

describe('Auth', () => {
  const anybody = () => `${randomUUID()}@example.test`

  test('refuses a password that is too weak, empty or too long', async () => {
    const weak = await stranger().auth.signUp({ email: anybody(), password: 'short' })
    expect(weak.error).toMatchObject({ status: 422, code: 'weak_password', reasons: ['length'], message: 'Password should be at least 6 characters.' })
    expect((await stranger().auth.signUp({ email: anybody(), password: '' })).error).toMatchObject({ status: 400, code: 'validation_failed' })
    expect((await stranger().auth.signUp({ email: anybody(), password: 'x'.repeat(73) })).error).toMatchObject({ status: 400, code: 'validation_failed' })
    expect((await ann.client.auth.updateUser({ password: 'short' })).error).toMatchObject({ code: 'weak_password' })
  })

  test('refuses an address that is none', async () => {
    const { error } = await stranger().auth.signUp({ email: 'nobody', password })
    expect(error).toMatchObject({ status: 400, code: 'validation_failed', message: 'Unable to validate email address: invalid format' })
  })

  test('refuses a wrong password and an unknown address alike', async () => {
    const wanted = { status: 400, code: 'invalid_credentials', message: 'Invalid login credentials' }
    expect((await stranger().auth.signInWithPassword({ email: ann.email, password: 'wrong horse' })).error).toMatchObject(wanted)
    expect((await stranger().auth.signInWithPassword({ email: anybody(), password })).error).toMatchObject(wanted)
  })

  test('refuses the password that one has', async () => {
    expect((await ann.client.auth.updateUser({ password })).error).toMatchObject({ status: 422, code: 'same_password' })
  })

  test('refuses a second person with one address', async () => {
    const { error } = await admin.auth.admin.createUser({ email: ann.email, password })
    expect(error).toMatchObject({ status: 422, code: 'email_exists' })
  })

  test('refuses app_metadata from its owner', async () => {
    const { status, body } = await ask('/auth/v1/user', {
      method: 'PUT',
      headers: keyed(project.publishableKey, token),
      body: JSON.stringify({ app_metadata: { admin: true } }),
    })
    expect({ status, body }).toMatchObject({ status: 403, body: { error_code: 'not_admin' } })
  })

  test('refuses strangers without a password, and telephones', async () => {
    expect((await stranger().auth.signInAnonymously()).error).toMatchObject({ status: 422, code: 'anonymous_provider_disabled' })
    expect((await stranger().auth.signInWithPassword({ phone: '+41000000000', password })).error).toMatchObject({ status: 400, code: 'phone_provider_disabled' })
  })

  test('refuses the admin’s routes to everyone but the secret key', async () => {
    expect((await stranger().auth.admin.listUsers()).error).toMatchObject({ status: 403, code: 'not_admin' })
    expect(await ask('/auth/v1/admin/users', { headers: keyed(project.publishableKey, token) })).toMatchObject({ status: 403, body: { error_code: 'not_admin' } })
    expect((await stranger().auth.admin.createUser({ email: anybody(), password })).error).toMatchObject({ status: 403, code: 'not_admin' })
  })

  test('refuses the account of a key: a key is nobody', async () => {
    const publishable = await ask('/auth/v1/user', { headers: keyed(project.publishableKey) })
    expect(publishable).toMatchObject({ status: 403, body: { error_code: 'bad_jwt', msg: 'invalid claim: missing sub claim' } })
  })

  test('refuses a refresh token that is unknown, and one whose family moved on', async () => {
    const unknown = await stranger().auth.refreshSession({ refresh_token: 'aaaaaaaaaaaa' })
    expect(unknown.error).toMatchObject({ status: 400, code: 'refresh_token_not_found' })
    const ben = await person()
    const old = await refreshTokenOf(ben.client)
    await ben.client.auth.signOut()
    expect((await stranger().auth.refreshSession({ refresh_token: old })).error).toMatchObject({ status: 400, code: 'refresh_token_not_found' })
  })

  test('refuses a scope of sign-out that is none', async () => {
    const answer = await ask('/auth/v1/logout?scope=everyone', { method: 'POST', headers: keyed(project.publishableKey, token) })
    expect(answer).toMatchObject({ status: 400, body: { error_code: 'validation_failed' } })
  })

  test('refuses a code that was not mailed, and a body that is no JSON', async () => {
    const wrong = await stranger().auth.verifyOtp({ email: ann.email, token: '000000', type: 'recovery' })
    expect(wrong.error).toMatchObject({ status: 403, code: 'otp_expired' })
    const broken = await ask('/auth/v1/token?grant_type=password', { method: 'POST', headers: keyed(project.publishableKey), body: '{' })
    expect(broken).toMatchObject({ status: 400, body: { error_code: 'bad_json' } })
  })

  test('refuses a factor that is not one’s own, and a challenge that is not the factor’s', async () => {
    const ben = await person()
    const enrolled = await ben.client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'mine' })
    if (enrolled.error) throw enrolled.error
    const factorId = enrolled.data.id
    expect((await ann.client.auth.mfa.challenge({ factorId })).error).toMatchObject({ status: 404, code: 'mfa_factor_not_found' })
    expect((await ben.client.auth.mfa.verify({ factorId, challengeId: randomUUID(), code: '123456' })).error).toMatchObject({ status: 404 })
    expect((await ben.client.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'mine' })).error).toMatchObject({ status: 422, code: 'mfa_factor_name_conflict' })
  })
})

describe('the REST API', () => {
  const notes = () => ann.client.from('standin_notes')

  test('refuses a table that nobody was granted, to each role as PostgREST does', async () => {
    const anon = await stranger().from('standin_closed').select()
    expect(anon).toMatchObject({ status: 401, error: { code: '42501', message: 'permission denied for table standin_closed' } })
    expect(anon.error?.hint).toContain('GRANT SELECT ON public.standin_closed TO anon')
    expect(await ann.client.from('standin_closed').select()).toMatchObject({ status: 403, error: { code: '42501' } })
    expect(await admin.from('standin_closed').select()).toMatchObject({ status: 403, error: { code: '42501' } })
  })

  test('refuses a row that a policy forbids', async () => {
    const { status, error } = await notes().insert({ title: 'theirs', owner: randomUUID() })
    expect({ status, error }).toMatchObject({ status: 403, error: { code: '42501', message: 'new row violates row-level security policy for table "standin_notes"' } })
  })

  test.each<[string, () => PromiseLike<{ status: number; error: unknown }>, number, string]>([
    ['an unknown table', () => ann.client.from('nowhere').select(), 404, 'PGRST205'],
    ['an unknown table, written', () => ann.client.from('nowhere').insert({ a: 1 }), 404, 'PGRST205'],
    ['a table of schema auth', () => ann.client.schema('auth').from('users').select(), 406, 'PGRST106'],
    ['an unknown column, selected', () => notes().select('nothing'), 400, '42703'],
    ['an unknown column, filtered', () => notes().select('id').eq('nothing', 1), 400, '42703'],
    ['an unknown column, inserted', () => notes().insert({ title: 'x', nothing: 1 }), 400, 'PGRST204'],
    ['an unknown column, updated', () => notes().update({ nothing: 1 }).eq('id', 1), 400, 'PGRST204'],
    ['an unknown column, in conflict', () => notes().upsert({ title: 'x' }, { onConflict: 'nothing' }), 400, 'PGRST204'],
    ['a value that is not of the column’s type', () => notes().select().eq('id', 'abc'), 400, '22P02'],
    ['a duplicate', () => notes().insert({ title: 'one' }), 409, '23505'],
    ['a row that refers to nothing', () => ann.client.from('standin_replies').insert({ note_id: -1 }), 409, '23503'],
    ['a value that a check forbids', () => notes().insert({ title: 'forbidden' }), 400, '23514'],
    ['a missing value', () => notes().insert({ score: 1 }), 400, '23502'],
    ['bulk rows that differ', () => ann.client.from('standin_notes').insert([{ title: 'r1' }, {}]), 400, '23502'],
    ['an update of the whole table', () => notes().update({ score: 0 }), 400, '21000'],
    ['a delete of the whole table', () => notes().delete(), 400, '21000'],
    ['a delete that was not granted', () => ann.client.from('standin_replies').delete().eq('id', 1), 403, '42501'],
    ['several rows where one is due', () => notes().select().single(), 406, 'PGRST116'],
    ['an aggregate', () => notes().select('score.sum()'), 400, 'PGRST123'],
    ['a filter on a table that is not there', () => notes().select().eq('other.id', 1), 400, 'PGRST108'],
    ['an unknown function', () => ann.client.rpc('nowhere'), 404, 'PGRST202'],
    ['an argument that a function has not', () => ann.client.rpc('standin_add', { a: 1, c: 2 }), 404, 'PGRST202'],
    ['an argument that is missing', () => ann.client.rpc('standin_add', {}), 404, 'PGRST202'],
    ['a function that fits twice', () => ann.client.rpc('standin_twice', { a: 1 }), 300, 'PGRST203'],
    ['a function that was not granted', () => ann.client.rpc('standin_secret'), 403, '42501'],
    ['a function that raises', () => ann.client.rpc('standin_raise', { code: 'P0001' }), 400, 'P0001'],
    ['a function that raises a status', () => ann.client.rpc('standin_raise', { code: 'PT418' }), 418, 'PT418'],
    ['a function that raises a conflict', () => ann.client.rpc('standin_raise', { code: '23505' }), 409, '23505'],
    ['a function that raises a code of its own', () => ann.client.rpc('standin_raise', { code: 'VG001' }), 400, 'VG001'],
    ['a serialization failure', () => ann.client.rpc('standin_raise', { code: '40001' }), 500, '40001'],
  ])('refuses %s', async (_, request, status, code) => {
    const answer = await request()
    expect(answer).toMatchObject({ status, error: { code } })
  })

  test('a stranger may not call what was granted to people only', async () => {
    expect(await stranger().rpc('standin_mine')).toMatchObject({ status: 401, error: { code: '42501' } })
  })

  test.each<[string, string, Asked, number, string]>([
    ['a method it has not', '/rest/v1/standin_notes', { method: 'PUT', body: '{}' }, 405, 'PGRST117'],
    ['a method that functions have not', '/rest/v1/rpc/standin_add', { method: 'DELETE' }, 405, 'PGRST101'],
    ['a query it cannot read', '/rest/v1/standin_notes?id=5', {}, 400, 'PGRST100'],
    ['a tree it cannot read', '/rest/v1/standin_notes?or=(a.eq.1', {}, 400, 'PGRST100'],
    ['a body that is no JSON', '/rest/v1/standin_notes', { method: 'POST', body: '{' }, 400, 'PGRST102'],
    ['no body', '/rest/v1/standin_notes', { method: 'POST' }, 400, 'PGRST102'],
    ['rows that differ', '/rest/v1/standin_notes', { method: 'POST', body: '[{"title":"a"},{"score":1}]' }, 400, 'PGRST102'],
    ['a negative limit', '/rest/v1/standin_notes?limit=-1', {}, 416, 'PGRST103'],
    ['a form it has not', '/rest/v1/standin_notes', { headers: { accept: 'application/xml' } }, 406, 'PGRST107'],
    ['a strict preference it does not know', '/rest/v1/standin_notes', { headers: { prefer: 'handling=strict, wish=more' } }, 400, 'PGRST122'],
    ['a path below a table', '/rest/v1/standin_notes/1', {}, 404, 'PGRST125'],
    ['the root', '/rest/v1/', {}, 404, 'PGRST126'],
  ])('refuses %s', async (_, path, init, status, code) => {
    const answer = await ask(path, { ...init, headers: { ...keyed(project.publishableKey, token), ...init.headers } })
    expect(answer).toMatchObject({ status, body: { code, message: expect.any(String) as unknown } })
  })
})
