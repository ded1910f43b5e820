import { strict as assert } from 'node:assert'
import { headersOf } from '../_shared/signature.ts'
import { isObject, type JsonObject } from '../_shared/record.ts'
import { CLAIM_MS } from './deliveries.ts'
import { handler } from './handler.ts'
import { listen, SECRET_KEY } from './local.ts'
import { ANN, BEN, CANARY, ID, NOTIFY_SECRET, page, type Reply, test } from './world.ts'

const delivered = (body: JsonObject): unknown => body['deliveries']

test('a page goes to the pager and to each mailbox, with ids, level, step and time only', async (w) => {
  const reply = await w.send({ ...page(), text: CANARY, client_name: CANARY })
  assert.equal(reply.status, 200)
  assert.deepEqual(delivered(reply.body), [
    { channel: 'webhook', status: 'sent' },
    { channel: 'email', recipient: ANN, status: 'sent' },
    { channel: 'email', recipient: BEN, status: 'sent' },
  ])
  const { raised_at: _, ...ids } = page()
  const link = `https://vigil.practice.invalid/console/#/alerts/${page()['alert_id']}`
  assert.deepEqual(w.pager.took.map(({ id, body }) => ({ id, body })), [{
    id: ID,
    body: { type: 'alert.page', timestamp: '2026-11-23T05:46:07.123Z', data: { ...ids, raised_at: '2026-11-23T05:46:07.123Z', url: link } },
  }])
  assert.deepEqual(w.mailer.sent.map((m) => m.to[0]).sort(), ['ann@practice.invalid', 'ben@practice.invalid'])
  for (const mail of w.mailer.sent) {
    assert.equal(mail.to.length, 1, 'one recipient must not see another')
    assert.ok(mail.text.includes(link) && mail.text.includes('2026-11-23 05:46 UTC'))
    assert.doesNotMatch(mail.subject + mail.text, /level|\b5\b/i)
    assert.ok(mail.key.startsWith(`${ID}.`))
  }
  assert.deepEqual(w.statuses(), ['email sent', 'email sent', 'webhook sent'])
  assert.ok(w.project.rows.every((r) => r.sent_at !== null))
})

test('what was sent is not sent again', async (w) => {
  await w.send()
  const again = await w.send()
  assert.equal(again.status, 200)
  assert.equal(w.pager.tries, 1)
  assert.equal(w.mailer.tries, 2)
  const next = await w.send({ ...page(), step: 2 }, `${page()['alert_id']}.2`)
  assert.equal(next.status, 200)
  assert.deepEqual(w.pager.took.map((t) => t.id), [ID, `${page()['alert_id']}.2`])
  assert.ok(w.mailer.sent.some((m) => m.subject.includes('call 2')))
})

test('ten at once send once', async (w) => {
  const held = Promise.withResolvers<undefined>()
  w.pager.intercept = () => held.promise
  let answered = 0
  const replies = await Promise.all(Array.from({ length: 10 }, async () => {
    const reply = await w.send()
    if (++answered === 9) held.resolve(undefined) // the one that holds the pager is the last
    return reply
  }))
  assert.equal(w.pager.tries, 1)
  assert.equal(w.mailer.tries, 2)
  for (const r of replies) {
    assert.ok(r.status === 200 || r.status === 503, String(r.status))
    if (r.status === 503) assert.equal(r.headers.get('retry-after'), String(CLAIM_MS / 1000))
  }
  assert.equal((await w.send()).status, 200)
})

test('a pager that is down is tried again, and the mailboxes are not', async (w) => {
  w.pager.intercept = () => new Response('down', { status: 503, headers: { 'retry-after': '7' } })
  const first = await w.send()
  assert.equal(first.status, 503)
  assert.equal(first.body['code'], 'channel_unavailable')
  assert.equal(first.headers.get('retry-after'), '7')
  assert.deepEqual(first.body['retry'], [{ channel: 'webhook' }])
  assert.deepEqual(w.statuses(), ['email sent', 'email sent', 'webhook failed'])
  w.pager.intercept = () => undefined
  const second = await w.send()
  assert.equal(second.status, 200)
  assert.deepEqual(w.pager.took.map((t) => t.id), [ID])
  assert.equal(w.mailer.tries, 2)
})

test('a mailbox that is refused is tried again, and the pager is not', async (w) => {
  w.mailer.intercept = (r) =>
    r.headers.get('idempotency-key')?.includes(BEN) ? new Response('{"name":"rate_limit_exceeded"}', { status: 429 }) : undefined
  const first = await w.send()
  assert.equal(first.status, 503)
  assert.deepEqual(first.body['retry'], [{ channel: 'email', recipient: BEN }])
  assert.equal(first.headers.get('retry-after'), null)
  w.mailer.intercept = () => undefined
  assert.equal((await w.send()).status, 200)
  assert.equal(w.pager.tries, 1)
  assert.deepEqual(w.mailer.sent.map((m) => m.to[0]).sort(), ['ann@practice.invalid', 'ben@practice.invalid'])
})

for (const status of [400, 422]) {
  test(`a mailbox that is refused for good (${status}) does not undo what the pager took`, async (w) => {
    w.mailer.intercept = (r) => r.headers.get('idempotency-key')?.includes(BEN) ? new Response('{}', { status }) : undefined
    const reply = await w.send()
    assert.equal(reply.status, 200)
    assert.deepEqual(delivered(reply.body), [
      { channel: 'webhook', status: 'sent' },
      { channel: 'email', recipient: ANN, status: 'sent' },
      { channel: 'email', recipient: BEN, status: 'failed', code: `refused_${status}` },
    ])
    w.pager.intercept = () => new Response('down', { status: 503 })
    const next = await w.send({ ...page(), step: 2 }, `${page()['alert_id']}.2`)
    assert.deepEqual([next.status, next.body['retry']], [503, [{ channel: 'webhook' }]], 'only the pager is worth another try')
  })
}

test('while nobody at all was reached, a refusal is tried again: NOTIFY_FROM may be mended', async (w) => {
  w.only('mail').mailer.intercept = () => new Response('{"name":"invalid_from_address"}', { status: 422 })
  const reply = await w.send()
  assert.deepEqual([reply.status, reply.body['code']], [502, 'channel_refused'])
  w.mailer.intercept = () => undefined
  assert.equal((await w.send()).status, 200)
})

for (const [pager, want] of [[null, null], ['7', '7'], ['7200', '3600']] as const) {
  test(`a mailbox that asks for an hour, and a pager for ${pager ?? 'nothing'}`, async (w) => {
    w.mailer.intercept = () => new Response('{}', { status: 429, headers: { 'retry-after': '3600' } })
    w.pager.intercept = () => new Response('down', { status: 503, headers: pager === null ? {} : { 'retry-after': pager } })
    assert.equal((await w.send()).headers.get('retry-after'), want)
  })
}

test("a slash at the end of the pager's URL is the pager's own", async (w) => {
  w.only('pager').env['PAGER_WEBHOOK_URL'] += '/'
  w.env['SUPABASE_URL'] += '/'
  const paths: string[] = []
  w.pager.intercept = (r) => void paths.push(new URL(r.url).pathname)
  assert.equal((await w.send()).status, 200)
  assert.deepEqual(paths, ['/pager-path-canary/'])
})

for (
  const [status, want, code] of [[401, 502, 'channel_refused'], [410, 502, 'channel_refused'], [500, 503, 'channel_unavailable'], [
    409,
    503,
    'channel_unavailable',
  ]] as const
) {
  test(`a pager that answers ${status}`, async (w) => {
    w.only('pager').pager.intercept = () => new Response(CANARY, { status })
    const reply = await w.send()
    assert.equal(reply.status, want)
    assert.equal(reply.body['code'], code)
  })
}

test('a redirect of the pager is not followed', async (w) => {
  let followed = 0
  const elsewhere = listen(() => {
    followed++
    return new Response()
  })
  w.only('pager').pager.intercept = () => new Response(null, { status: 307, headers: { location: elsewhere.url } })
  const reply = await w.send()
  await elsewhere.end()
  assert.equal(reply.status, 502)
  assert.equal(followed, 0)
})

test('a pager that never answers is given up, and nothing else waits longer', async (w) => {
  const let_go = Promise.withResolvers<void>()
  w.limits.sendMs = 100
  w.pager.intercept = async () => {
    await let_go.promise
    return new Response()
  }
  const reply = await w.send()
  let_go.resolve()
  assert.equal(reply.status, 503)
  assert.deepEqual(delivered(reply.body), [
    { channel: 'webhook', status: 'failed', code: 'timeout' },
    { channel: 'email', recipient: ANN, status: 'sent' },
    { channel: 'email', recipient: BEN, status: 'sent' },
  ])
})

test('a pager that does not listen is tried again', async (w) => {
  const gone = listen(() => new Response())
  await gone.end()
  w.only('pager').env['PAGER_WEBHOOK_URL'] = gone.url
  const reply = await w.send()
  assert.equal(reply.status, 503)
  assert.deepEqual(delivered(reply.body), [{ channel: 'webhook', status: 'failed', code: 'unreachable' }])
})

test('a claim whose holder died is taken over after its time, and not before', async (w) => {
  w.only('pager')
  const dead = { alert_id: String(page()['alert_id']), step: 1, channel: 'webhook', recipient: '', status: 'claimed', sent_at: null }
  w.project.rows.push({ ...dead, claimed_at: new Date().toISOString().replace('Z', '+00:00') })
  const early = await w.send()
  assert.equal(early.status, 503)
  assert.deepEqual(delivered(early.body), [{ channel: 'webhook', status: 'failed', code: 'busy' }])
  assert.equal(w.pager.tries, 0)
  w.ahead = CLAIM_MS + 1_000
  const [a, b] = await Promise.all([w.send(), w.send()])
  assert.deepEqual([a.status, b.status].sort(), [200, 503])
  assert.equal(w.pager.tries, 1)
})

test('what was sent and could not be recorded is sent again, later, under the same ids', async (w) => {
  w.project.intercept = (r) =>
    r.method === 'PATCH' ? new Response('{"message":"no connection to the database","code":"PGRST002"}', { status: 503 }) : undefined
  const first = await w.send()
  assert.equal(first.status, 503)
  assert.equal(first.headers.get('retry-after'), String(CLAIM_MS / 1000))
  assert.ok(JSON.stringify(first.body).includes('not_recorded'))
  w.project.intercept = () => undefined
  assert.equal((await w.send()).status, 503, 'the claim still holds')
  w.ahead = CLAIM_MS + 1_000
  assert.equal((await w.send()).status, 200)
  assert.deepEqual(w.pager.took.map((t) => t.id), [ID, ID])
  assert.equal(w.pager.took[0]?.text, w.pager.took[1]?.text)
  assert.equal(w.mailer.tries, 4)
  assert.equal(w.mailer.sent.length, 2, 'the provider knew the second ones by their keys')
})

test('an address that nobody confirmed, a user who is gone', async (w) => {
  w.project.users.set(ANN, { email: 'ann@practice.invalid' })
  w.project.users.delete(BEN)
  const reply = await w.send()
  assert.equal(reply.status, 200, 'the pager was reached')
  assert.deepEqual(delivered(reply.body), [
    { channel: 'webhook', status: 'sent' },
    { channel: 'email', recipient: ANN, status: 'failed', code: 'no_address' },
    { channel: 'email', recipient: BEN, status: 'failed', code: 'no_address' },
  ])
  const alone = await w.only('mail').send({ ...page(), step: 2 }, `${page()['alert_id']}.2`)
  assert.equal(alone.status, 422)
  assert.equal(alone.body['code'], 'nobody_reached')
  assert.equal((await w.send({ ...page(), step: 3, recipients: [] }, `${page()['alert_id']}.3`)).body['code'], 'nobody_reached')
  assert.equal(w.mailer.tries, 0)
})

test('a NOTIFY_FROM that was mended does not meet the key of the mail before', async (w) => {
  w.only('mail').project.intercept = (r) => r.method === 'PATCH' ? new Response('{}', { status: 500 }) : undefined
  assert.equal((await w.send()).status, 503)
  w.project.intercept = () => undefined
  w.env['NOTIFY_FROM'] = 'Vigil <pages@practice.invalid>'
  w.ahead = CLAIM_MS + 1_000
  assert.equal((await w.send()).status, 200)
})

for (
  const [name, response, status, code] of [
    ['away', () => new Response('{"code":"PGRST002"}', { status: 503 }), 503, 'table_unavailable'],
    ['answering no JSON', () => new Response('<html>', { status: 200 }), 503, 'table_unavailable'],
    ['without the grant', () => new Response('{"code":"42501","message":"permission denied"}', { status: 403 }), 502, 'table_refused'],
    ['without the table', () => new Response('{"code":"PGRST205"}', { status: 404 }), 502, 'table_refused'],
  ] as const
) {
  test(`a Data API that is ${name}`, async (w) => {
    w.project.intercept = response
    const reply = await w.send()
    assert.equal(reply.status, status)
    assert.equal(reply.body['code'], code)
    assert.equal(w.pager.tries + w.mailer.tries, 0, 'nothing is sent that was not claimed')
  })
}

test('a page whose alert was erased', async (w) => {
  w.project.alerts.clear()
  const reply = await w.send()
  assert.equal(reply.status, 410)
  assert.equal(reply.body['code'], 'page_gone')
  assert.equal(w.pager.tries, 0)
})

test('a wrong secret key', async (w) => {
  w.project.key = 'sb_secret_another'
  assert.equal((await w.send()).body['code'], 'table_refused')
})

test('a secret key of the new kind is no token; one of the old kind is', async (w) => {
  await w.send()
  assert.ok(w.project.seen.length > 0 && w.project.seen.every((r) => !r.headers.has('authorization')))
  const old = 'eyJhbGciOiJIUzI1NiJ9.e30.x'
  delete w.env['SUPABASE_SECRET_KEYS']
  w.env['SUPABASE_SERVICE_ROLE_KEY'] = w.project.key = old
  w.project.seen.length = 0
  assert.equal((await w.send({ ...page(), step: 2 }, `${page()['alert_id']}.2`)).status, 200)
  assert.ok(w.project.seen.every((r) => r.headers.get('authorization') === `Bearer ${old}`))
})

const wrong: Record<string, [unknown, readonly string[]]> = {
  'no JSON': ['{', ['']],
  'a list': [[page()], ['']],
  'null': ['null', ['']],
  'an empty object': [{}, ['alert_id', 'organization_id', 'session_id', 'step', 'level', 'raised_at', 'recipients']],
  'a level of 7': [{ ...page(), level: 7 }, ['level']],
  'a level in words': [{ ...page(), level: '5' }, ['level']],
  'half a step': [{ ...page(), step: 1.5 }, ['step']],
  'a step of 0': [{ ...page(), step: 0 }, ['step']],
  'a time without a zone': [{ ...page(), raised_at: '2026-11-23T05:46:07' }, ['raised_at']],
  'a time that never was': [{ ...page(), raised_at: '2026-13-23T05:46:07Z' }, ['raised_at']],
  'an address for a recipient': [{ ...page(), recipients: ['ann@practice.invalid'] }, ['recipients']],
  'recipients without end': [{ ...page(), recipients: Array.from({ length: 101 }, () => crypto.randomUUID()) }, ['recipients']],
  'a path for an id': [{ ...page(), session_id: '../../admin' }, ['session_id']],
}

for (const [name, [body, fields]] of Object.entries(wrong)) {
  test(`a body that is ${name} is refused by its fields`, async (w) => {
    const reply = await w.send(body)
    assert.equal(reply.status, 422)
    assert.equal(reply.body['code'], 'body_wrong')
    const faults = reply.body['faults']
    assert.ok(Array.isArray(faults))
    assert.deepEqual(faults.map((f: unknown) => isObject(f) && f['field']).sort(), [...fields].sort())
    assert.equal(w.project.seen.length + w.pager.tries, 0)
  })
}

test('a message that could not be assessed has no level, and a recipient is told once', async (w) => {
  assert.equal((await w.send({ ...page(), level: null, recipients: [ANN, ANN.toUpperCase()] })).status, 200)
  assert.ok(w.pager.took[0]?.text.includes('"level":null'))
  assert.equal(w.mailer.tries, 1)
})

test('an id of another page is refused', async (w) => {
  const reply = await w.send(page(), `${page()['alert_id']}.2`)
  assert.equal(reply.status, 422)
  assert.equal(reply.body['code'], 'id_wrong')
})

test('nothing happens for who does not hold the secret', async (w) => {
  const text = JSON.stringify(page())
  const post = (headers: Record<string, string>): Promise<Reply> =>
    w.raw(new Request('http://notify.invalid/', { method: 'POST', headers, body: text }))
  const right = await headersOf([NOTIFY_SECRET], ID, Date.now(), text)
  assert.equal((await post({})).body['code'], 'signature_missing')
  assert.equal((await post({ apikey: SECRET_KEY, authorization: `Bearer ${SECRET_KEY}` })).status, 401)
  assert.equal((await post(await headersOf(['another-secret-than-notifys'], ID, Date.now(), text))).body['code'], 'signature_wrong')
  assert.equal((await post({ ...right, 'webhook-id': `${ID}1` })).body['code'], 'signature_wrong')
  assert.equal((await post(await headersOf([NOTIFY_SECRET], ID, Date.now() - 301_000, text))).body['code'], 'timestamp_refused')
  assert.equal(w.project.seen.length + w.pager.tries + w.mailer.tries, 0)
  w.env['NOTIFY_SECRET'] = `a-newer-secret-of-notify ${NOTIFY_SECRET}`
  assert.equal((await post(right)).status, 200)
})

test('only POST is answered, and a body without end is not read', async (w) => {
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const reply = await w.raw(new Request('http://notify.invalid/', { method }))
    assert.equal(reply.status, 405)
    assert.equal(reply.headers.get('allow'), 'POST')
  }
  let given = 0
  const body = new ReadableStream<Uint8Array>({
    pull(c): void {
      given++
      c.enqueue(new Uint8Array(4096))
    },
  })
  const reply = await w.raw(new Request('http://notify.invalid/', { method: 'POST', body }))
  assert.equal(reply.status, 413)
  assert.ok(given < 10, `${given} chunks were read`)
})

const setups: Record<string, [Record<string, string | null>, string]> = {
  'no channel': [{ PAGER_WEBHOOK_URL: null, RESEND_API_KEY: null }, 'PAGER_WEBHOOK_URL, RESEND_API_KEY'],
  'variables that the CLI could not fill in': [
    { PAGER_WEBHOOK_URL: 'env(PAGER_WEBHOOK_URL)', RESEND_API_KEY: 'env(RESEND_API_KEY)' },
    'PAGER_WEBHOOK_URL, RESEND_API_KEY',
  ],
  'a pager by http': [{ PAGER_WEBHOOK_URL: 'http://pager.practice.invalid/hook' }, 'PAGER_WEBHOOK_URL'],
  'a pager that only looks like this machine': [{ PAGER_WEBHOOK_URL: 'http://127.0.0.1.practice.invalid/hook' }, 'PAGER_WEBHOOK_URL'],
  'a pager with a password in its URL': [{ PAGER_WEBHOOK_URL: 'https://a:b@practice.invalid/hook' }, 'PAGER_WEBHOOK_URL'],
  'a pager that is no URL': [{ PAGER_WEBHOOK_URL: 'practice.invalid/hook' }, 'PAGER_WEBHOOK_URL'],
  'a pager without a secret': [{ PAGER_WEBHOOK_SECRET: null }, 'PAGER_WEBHOOK_SECRET'],
  'a pager with a short secret': [{ PAGER_WEBHOOK_SECRET: 'whsec_c2hvcnQ=' }, 'PAGER_WEBHOOK_SECRET'],
  'e-mail from nobody': [{ NOTIFY_FROM: null }, 'NOTIFY_FROM'],
  'e-mail without a console': [{ CONSOLE_URL: null }, 'CONSOLE_URL'],
  'a mail provider by http': [{ NOTIFY_EMAIL_URL: 'http://practice.invalid/emails' }, 'NOTIFY_EMAIL_URL'],
  'no secret key': [{ SUPABASE_SECRET_KEYS: null }, 'SUPABASE_SECRET_KEYS'],
  'no project': [{ SUPABASE_URL: null }, 'SUPABASE_URL'],
}

for (const [name, [changes, variable]] of Object.entries(setups)) {
  test(`a set-up with ${name} is told to who holds the secret, and to nobody else`, async (w) => {
    for (const [key, value] of Object.entries(changes)) value === null ? delete w.env[key] : w.env[key] = value
    const reply = await w.send()
    assert.equal(reply.status, 503)
    assert.equal(reply.body['code'], 'not_configured')
    const faults = reply.body['faults']
    assert.ok(Array.isArray(faults) && faults.length === 1 && String(faults[0]).startsWith(`${variable}: `), JSON.stringify(faults))
    assert.equal(w.pager.tries + w.mailer.tries, 0)
    const stranger = await w.raw(new Request('http://notify.invalid/', { method: 'POST', body: '{}' }))
    assert.equal(stranger.status, 401)
    assert.equal(stranger.body['faults'], undefined)
  })
}

for (const value of [undefined, '', 'short', 'env(NOTIFY_SECRET)', 'long-enough-as-a-secret short']) {
  test(`with NOTIFY_SECRET ${value === undefined ? 'unset' : `"${value}"`} nobody is believed`, async (w) => {
    if (value === undefined) delete w.env['NOTIFY_SECRET']
    else w.env['NOTIFY_SECRET'] = value
    for (const reply of [await w.send(), await w.raw(new Request('http://notify.invalid/', { method: 'POST', body: '{}' }))]) {
      assert.equal(reply.status, 503)
      assert.equal(reply.body['code'], 'not_configured')
      assert.equal(reply.body['faults'], undefined)
    }
    assert.equal(w.project.seen.length + w.pager.tries, 0)
  })
}

test('what nobody thought of is answered without a word of it', async (w) => {
  const deps = {
    env: (name: string): string | undefined => w.env[name],
    fetch,
    now: (): number => {
      throw new Error(CANARY)
    },
    log: (line: unknown): void => assert.ok(!JSON.stringify(line).includes(CANARY)),
  }
  const headers = await headersOf([NOTIFY_SECRET], ID, Date.now(), '{}')
  const response = await handler(deps)(new Request('http://notify.invalid/', { method: 'POST', headers, body: '{}' }))
  assert.equal(response.status, 500)
  assert.ok(!(await response.text()).includes(CANARY))
})
