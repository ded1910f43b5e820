/** Device → consent → epoch → seal → insert → read back, through the real supabase-js, policies and triggers. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { argon2Here } from '../src/argon2-serve.ts'
import { ResetWords } from '../src/devices.ts'
import { openEpoch } from '../src/epoch.ts'
import { fields, list, text } from '../src/parse.ts'
import { parseConsent, parseEpoch, parseMessage } from '../src/rows.ts'
import { changePassphrase, recover, removeRecovery, setRecovery, type Argon2 } from '../src/recovery.ts'
import { MemoryStore } from '../src/memory.ts'
import { vigil, type Vigil } from '../src/vigil.ts'
import type { ChatMessage } from '../src/chat.ts'
import type { Session } from '../src/session.ts'
import { PhoenixServer } from './phoenix-server.ts'
import { seal } from './seal.ts'
import { Standin, checked, password, type Person, type Practice } from './standin.ts'

vi.setConfig({ testTimeout: 20_000 }) // each makes people, whose passwords are hashed, on a machine that may be busy

let standin: Standin
const relay = new PhoenixServer()
const open: Vigil[] = []

beforeAll(async () => {
  standin = await Standin.start()
  await relay.start()
}, 120_000)

afterAll(async () => {
  for (const v of open) await v.close()
  await relay.stop()
  await standin.stop()
}, 30_000)

interface Side {
  readonly person: Person
  readonly v: Vigil
  readonly chat: Session
  readonly heard: ChatMessage[]
}

async function enter(person: Person, sessionId: string): Promise<Side> {
  const v = await vigil(person.supabase, relay.url)
  open.push(v)
  const chat = await v.session(sessionId)
  const heard: ChatMessage[] = []
  chat.on('message', (message) => heard.push(message))
  return { person, v, chat, heard }
}

async function setup(mode: 'assisted' | 'strict'): Promise<{ practice: Practice; client: Side; therapist: Side }> {
  const practice = await standin.practice(mode)
  const client = await enter(practice.client, practice.sessionId)
  const therapist = await enter(practice.therapist, practice.sessionId)
  checked(await practice.therapist.supabase.rpc('start_session', { session_id: practice.sessionId }))
  return { practice, client, therapist }
}

const texts = (side: Side): (string | null)[] => side.heard.map((message) => message.text)

/** All rows of the session's messages, as its therapist reads them. */
async function rowsOf(practice: Practice): Promise<readonly unknown[]> {
  return list(checked(await practice.therapist.supabase.from('messages').select().eq('session_id', practice.sessionId).order('position')), 'messages')
}

/** A person types on one device the code that another of theirs shows; the sidecar is there. */
async function approve(on: Side, waiting: Side): Promise<void> {
  await Promise.all([on.v.devices.approve(waiting.v.devices.code), vi.waitFor(() => standin.admit(), 5000)])
  await waiting.v.devices.look()
}

/** Tells everyone what the relay would: that there is something to read up to. */
function announce(practice: Practice, position: number): void {
  relay.broadcast(`session:${practice.sessionId}`, 'arrival', { session_id: practice.sessionId, position }, 'cursor')
}

describe('against the stand-in', () => {
  test('an assisted session: consent, both send, both read', async () => {
    const { practice, client, therapist } = await setup('assisted')
    await expect(therapist.chat.send('too early')).rejects.toMatchObject({ reason: 'consent_missing' })
    await client.chat.consent.give({ text: 'I agree', scope: ['crisis_access', 'analysis'] })
    await client.chat.send('I had a rough night')
    await therapist.chat.send('I am here')
    await client.chat.send('thank you')
    await relay.joinedTimes(`session:${practice.sessionId}`, 2)
    announce(practice, 3)
    for (const side of [client, therapist]) {
      await vi.waitFor(() => {
        expect(texts(side)).toEqual(['I had a rough night', 'I am here', 'thank you'])
      }, 5000)
      expect(side.heard.every((message) => message.badge === null && message.watched && message.missing === 0)).toBe(true)
      expect(side.heard.map((message) => message.from.role)).toEqual(['client', 'therapist', 'client'])
    }
    expect(client.chat.readers.map((row) => row.kind).sort()).toEqual(['analysis', 'participant', 'participant'])
  })

  test("a strict session's rows hold no text, and nothing for the sidecar", async () => {
    const { practice, client } = await setup('strict')
    await client.chat.send('nobody watches this')
    const { supabase } = practice.therapist
    const rows = list(checked(await supabase.from('messages').select().eq('session_id', practice.sessionId)), 'messages')
    const m = parseMessage(rows[0])
    expect(m.assisted).toBe(false)
    expect(JSON.stringify(rows)).not.toContain('nobody watches')
    const epochs = list(checked(await supabase.from('session_epochs').select().eq('session_id', practice.sessionId)), 'epochs')
    const epoch = parseEpoch(epochs[0])
    await expect(openEpoch(epoch, undefined, undefined, practice.analysis)).rejects.toMatchObject({ refusal: 'wrap' })
    expect(list(epoch.roster, 'roster')).toHaveLength(2)
  })

  test('withdrawing consent ends the watched epoch, and keeps the history', async () => {
    const { practice, client, therapist } = await setup('assisted')
    const id = await client.chat.consent.give({ text: 'I agree' })
    await client.chat.send('before')
    await client.chat.consent.withdraw(id)
    await expect(client.chat.send('after')).rejects.toMatchObject({ reason: 'consent_missing' })
    await expect(therapist.chat.send('after')).rejects.toMatchObject({ reason: 'consent_missing' })
    const rows = list(checked(await practice.client.supabase.from('session_consents').select().eq('id', id)), 'consents')
    expect(parseConsent(rows[0]).withdrawal_signature).toHaveLength(86)
    await relay.joinedTimes(`session:${practice.sessionId}`, 2)
    announce(practice, 1)
    await vi.waitFor(() => {
      expect(texts(therapist)).toEqual(['before'])
    }, 5000)
  })

  test('a suggestion is asked for, offered, opened, decided; turned off, it is withdrawn; the client sees none', async () => {
    const { practice, client, therapist } = await setup('assisted')
    const { organization_id } = therapist.chat.row
    const { suggestions } = therapist.chat
    await expect(suggestions.request()).rejects.toMatchObject({ code: 'VG019', details: '{"suggestions": "off"}' })
    await standin.suggest(organization_id, 'on_demand')
    await expect(suggestions.request()).rejects.toMatchObject({ code: 'VG021' })
    await client.chat.consent.give({ text: 'I agree' })
    const messageId = await client.chat.send('I had a rough night')
    await expect(client.chat.suggestions.request()).rejects.toMatchObject({ code: '42501', status: 403 })

    const [to] = therapist.chat.readers.filter((row) => row.id === therapist.v.deviceId)
    const offer = async (): Promise<string> => {
      const asked = await suggestions.request()
      expect(asked).toMatchObject({ status: 'requested', requestedBy: practice.therapist.id, messageId, version: 1, text: null })
      expect((await suggestions.request()).id).toBe(asked.id)
      const place = { suggestion_id: asked.id, session_id: practice.sessionId, message_id: messageId }
      const sealed = await seal(practice.analysis, { kid: to?.id ?? '', encPub: to?.enc_pub ?? '' }, place, 'That sounds hard.')
      const made = { id: asked.id, message_id: messageId, status: 'offered', source: 'bank', move: 'reflect.1', bank_version: '1' }
      expect(await standin.record(made, [sealed])).toBe('offered')
      return asked.id
    }
    const id = await offer()
    expect(await suggestions.list()).toMatchObject([{ id, status: 'offered', move: 'reflect.1', version: 2, text: 'That sounds hard.', unreadable: null }])
    expect(await client.chat.suggestions.list()).toEqual([])
    await expect(suggestions.decide(id, 'accepted', 1, messageId)).rejects.toMatchObject({ code: 'PT409', status: 409 })
    await expect(suggestions.decide(id, 'accepted', 2, messageId)).rejects.toMatchObject({ code: 'VG022' })
    await expect(suggestions.decide(id, 'edited', 2)).rejects.toMatchObject({ code: 'VG022' })
    await expect(client.chat.suggestions.decide(id, 'rejected', 2)).rejects.toMatchObject({ code: 'PT404' })
    const sent = await therapist.chat.send('That sounds hard.')
    expect(await suggestions.decide(id, 'accepted', 2, sent)).toMatchObject({ status: 'accepted', version: 3, sentMessageId: sent, decidedBy: practice.therapist.id })

    const second = await offer()
    await standin.suggest(organization_id, 'off')
    expect(await suggestions.list()).toMatchObject([{ id, status: 'accepted' }, { id: second, status: 'withdrawn', version: 3, text: null }])
    const seals = checked(await practice.therapist.supabase.from('suggestion_seals').select('suggestion_id'))
    expect(seals).toEqual([{ suggestion_id: id }])
    await expect(suggestions.decide(second, 'rejected', 2)).rejects.toMatchObject({ code: 'PT409', details: '{"status": "withdrawn", "version": 3}' })
    await client.chat.close()
    const strict = await setup('strict')
    await standin.suggest(strict.therapist.chat.row.organization_id, 'elevated')
    await expect(strict.therapist.chat.suggestions.request()).rejects.toMatchObject({ code: 'VG020' })
  })

  test('a second device is admitted by its code, reads what came before, and is acknowledged by the therapist', async () => {
    const { practice, client, therapist } = await setup('strict')
    await client.chat.send('from the first')
    const second = await enter(practice.client, practice.sessionId)
    expect(second.v.devices.state).toBe('waiting')
    expect(second.v.history).toMatchObject({ here: 'none', otherDevices: 1, state: 'locked' })
    await expect(second.chat.send('too early')).rejects.toMatchObject({ reason: 'device_waiting' })
    await therapist.chat.send('nobody waits for it')
    await approve(client, second)
    expect(second.v.history).toMatchObject({ here: 'whole', state: 'safe' })
    await second.chat.send('from the second')
    await expect(therapist.chat.send('who?')).rejects.toMatchObject({ devices: [second.v.deviceId] })
    await therapist.chat.acknowledge(second.v.deviceId) // signed by the first one: nothing else is asked
    await therapist.chat.send('welcome')
    await relay.joinedTimes(`session:${practice.sessionId}`, 3)
    announce(practice, 4)
    for (const side of [client, therapist]) {
      await vi.waitFor(() => {
        expect(texts(side)).toEqual(['from the first', 'nobody waits for it', 'from the second', 'welcome'])
      }, 5000)
    }
    await vi.waitFor(() => {
      expect(second.heard).toHaveLength(4)
    }, 5000)
    const all = await Promise.all((await rowsOf(practice)).map((row) => second.chat.open(row)))
    expect(all.map((message) => message.text)).toEqual(['from the first', 'nobody waits for it', 'from the second', 'welcome'])
  })

  test('a stolen token registers a device that gets nothing and vouches for nothing', async () => {
    const { practice, client, therapist } = await setup('strict')
    await client.chat.send('before')
    const thief = await enter(practice.client, practice.sessionId)
    const { supabase } = practice.client
    const place = { device_id: thief.v.deviceId, user_id: practice.client.id, signature: 'A'.repeat(86) }
    const refusedBy = async (by: string): Promise<string | undefined> =>
      (await supabase.from('device_signatures').insert({ ...place, by_device_id: by })).error?.code
    expect(await refusedBy(thief.v.deviceId)).toBe('VG011')
    expect(await refusedBy(client.v.deviceId)).toBeUndefined() // in its name, and false
    expect(await standin.admit()).toBe(0)
    await thief.v.devices.look()
    expect(thief.v.devices.state).toBe('refused')
    await client.chat.send('after')
    await therapist.chat.send('and after')
    expect(list(checked(await supabase.from('epoch_wraps').select().eq('device_id', thief.v.deviceId)), 'wraps')).toEqual([])
    expect(await Promise.all((await rowsOf(practice)).map(async (row) => (await thief.chat.open(row)).text))).toEqual([null, null, null])
    const shared = await supabase.rpc('share_epochs', { device_id: thief.v.deviceId, by_device_id: client.v.deviceId, shares: [] })
    expect(shared.error?.code).toMatch(/^VG0(11|25)$/)
    await approve(client, thief) // the true one could still be admitted
    expect(thief.v.devices.state).toBe('usable')
  })

  test('who loses every device recovers by the passphrase, sealed at full strength, and is acknowledged', async () => {
    const { practice, client, therapist } = await setup('strict')
    await client.chat.send('one')
    const passphrase = 'vier Wörter über Käse'
    const argon2: Argon2 = (typed, salt) => argon2Here(typed, salt, { memoryKiB: 8, passes: 1, lanes: 1 })
    await Promise.all([setRecovery(client.v, passphrase, { argon2 }), vi.waitFor(() => standin.admit(), 5000)])
    expect(client.v.history).toMatchObject({ here: 'whole', recovery: 'set', state: 'safe' })
    await client.chat.send('two')
    await therapist.chat.send('three') // the key is the client's own, signed: it is shown, and asks nothing
    expect(therapist.chat.readers.map((row) => row.kind).sort()).toEqual(['participant', 'participant', 'recovery'])
    await client.v.devices.revoke(client.v.deviceId)
    await client.v.close()

    const next = await enter(practice.client, practice.sessionId)
    expect(next.v.history).toMatchObject({ here: 'none', recovery: 'set', otherDevices: 0, state: 'locked' })
    await expect(recover(next.v, 'vier Wörter über Brot', { argon2 })).rejects.toMatchObject({ refusal: 'wrap' })
    const [{ epochs }] = await Promise.all([recover(next.v, passphrase, { argon2 }), vi.waitFor(() => standin.admit(), 5000)])
    expect(epochs).toBeGreaterThan(1)
    expect(next.v.history).toMatchObject({ here: 'whole', recovery: 'set', state: 'safe' })
    const all = await rowsOf(practice)
    await vi.waitFor(async () => {
      expect(await Promise.all(all.map(async (row) => (await next.chat.open(row)).text))).toEqual(['one', 'two', 'three'])
    }, 5000)
    await next.chat.send('four')
    await expect(therapist.chat.send('who?')).rejects.toMatchObject({ devices: [next.v.deviceId] })
    await therapist.chat.acknowledge(next.v.deviceId) // the key that the first device signed has signed it
    await therapist.chat.send('five')
    const [stored] = list(checked(await practice.client.supabase.from('recovery_keys').select()), 'keys')
    expect(stored).toMatchObject({ memory_kib: 65536, passes: 3, lanes: 1, version: 1 })
    expect(list(checked(await practice.therapist.supabase.from('recovery_keys').select()), 'keys')).toEqual([])
    await changePassphrase(next.v, passphrase, 'another passphrase', { argon2 })
    await removeRecovery(next.v)
    expect(next.v.history).toMatchObject({ recovery: 'unset', state: 'only_here' })
  })

  test('an epoch ends after a day by the database, for all who send at once; nothing is lost', async () => {
    const { practice, client, therapist } = await setup('strict')
    await client.chat.send('yesterday')
    await standin.age(practice.sessionId)
    await Promise.all([therapist, client].flatMap((side) => [0, 1, 2].map((i) => side.chat.send(`today ${i}`))))
    const rows = (await rowsOf(practice)).map(parseMessage)
    expect(rows.map((row) => row.epoch)).toEqual([1, 2, 2, 2, 2, 2, 2])
    const opened = await Promise.all(rows.map((row) => client.chat.open(row)))
    expect(opened.filter((message) => message.badge !== null)).toEqual([])
    expect(opened.filter((message) => message.from.me).map((message) => message.text)).toEqual(['yesterday', 'today 0', 'today 1', 'today 2'])
  })

  test('after a withdrawal it goes on unwatched at once; the therapist is asked first', async () => {
    const { practice, client, therapist } = await setup('assisted')
    const id = await client.chat.consent.give({ text: 'I agree' })
    await client.chat.send('watched')
    await client.chat.consent.withdraw(id, { goOn: 'strict' })
    await client.chat.send('unwatched')
    await expect(therapist.chat.send('c')).rejects.toMatchObject({ reason: 'mode_changed' })
    await therapist.chat.acknowledgeMode('strict')
    await therapist.chat.send('c')
    expect((await rowsOf(practice)).map((row) => parseMessage(row).assisted)).toEqual([true, false, false])
    await expect(client.chat.changeMode('assisted')).rejects.toMatchObject({ name: 'RequestError' }) // a client makes it strict, no more
  })

  test('what is refused is in the audit log, once', async () => {
    const { practice, client, therapist } = await setup('strict')
    await client.chat.send('yes')
    const row = parseMessage((await rowsOf(practice))[0])
    const { session_id, sender_device_id, epoch, body } = row
    checked(await practice.client.supabase.from('messages').insert({ id: crypto.randomUUID(), session_id, sender_device_id, epoch, seq: 1, body }))
    await relay.joinedTimes(`session:${practice.sessionId}`, 2)
    announce(practice, 2)
    await vi.waitFor(() => {
      expect(therapist.heard[1]?.badge).toEqual({ kind: 'unreadable', refusal: 'signature' })
    }, 5000)
    const both = ['messages signature', 'messages signature'] // each of the two people, once
    await vi.waitFor(async () => {
      expect(await standin.refusals(practice.sessionId)).toEqual(both)
    }, 5000)
    const again = await enter(practice.therapist, practice.sessionId)
    await vi.waitFor(() => {
      expect(again.heard).toHaveLength(2)
    }, 5000)
    checked(await practice.therapist.supabase.rpc('report_refusal', {
      session_id, subject_table: 'messages', subject_id: again.heard[1]?.id, reason: 'signature',
    }))
    expect(await standin.refusals(practice.sessionId)).toEqual(both)
  })

  test('the device is made once per account, and a paused session refuses', async () => {
    const { practice, client } = await setup('strict')
    const rows = checked(await practice.client.supabase.from('devices').select('id').eq('user_id', practice.client.id))
    expect(rows).toEqual([{ id: client.v.deviceId }])
    checked(await practice.therapist.supabase.rpc('pause_session', { session_id: practice.sessionId }))
    await expect(client.chat.send('x')).rejects.toMatchObject({ name: 'SessionError', reason: 'not_active' })
  })

  test('a revoked device is told so, and replaced when it is asked for: then it waits, or starts anew', async () => {
    const { supabase } = await standin.person()
    const store = new MemoryStore()
    const start = async (): Promise<Vigil> => {
      const v = await vigil(supabase, relay.url, { store, label: 'a test' })
      open.push(v)
      return v
    }
    const first = await start()
    expect((await start()).deviceId).toBe(first.deviceId)
    await first.devices.rename(first.deviceId, 'Laptop')
    expect(await first.devices.list()).toMatchObject([{ id: first.deviceId, label: 'Laptop', state: 'usable', here: true }])
    await first.devices.revoke(first.deviceId)
    const again = await start()
    expect([again.deviceId, again.devices.state]).toEqual([first.deviceId, 'revoked'])
    await expect(again.session(crypto.randomUUID())).rejects.toMatchObject({ reason: 'device_waiting' })
    await again.devices.renew()
    expect([again.deviceId === first.deviceId, again.devices.state]).toEqual([false, 'waiting'])
    expect((await start()).deviceId).toBe(again.deviceId)
    await again.devices.reset(ResetWords) // within ten minutes of signing in
    expect(again.devices.state).toBe('usable')
    await supabase.auth.signOut()
    await expect(start()).rejects.toMatchObject({ name: 'SessionError' })
  })

  test('someone who takes no part is told so', async () => {
    const { practice } = await setup('strict')
    const { supabase } = await standin.person()
    const v = await vigil(supabase, relay.url)
    open.push(v)
    await expect(v.session(practice.sessionId)).rejects.toMatchObject({ reason: 'not_participant' })
  })

  test('the quick start runs', async () => {
    const practice = await standin.practice('assisted')
    const therapist = await enter(practice.therapist, practice.sessionId)
    const environment = {
      SUPABASE_URL: standin.url, SUPABASE_PUBLISHABLE_KEY: standin.key, VIGIL_URL: relay.url, VIGIL_EMAIL: practice.client.email,
      VIGIL_PASSWORD: password, VIGIL_SESSION: practice.sessionId,
    }
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const quickstart = import('../examples/quickstart.ts')
    await relay.joinedTimes(`session:${practice.sessionId}`, 2)
    const started = checked(await practice.therapist.supabase.rpc('start_session', { session_id: practice.sessionId }))
    relay.broadcast(`session:${practice.sessionId}`, 'session', started, 'cursor')
    await vi.waitFor(() => therapist.chat.send('I am here'), 10_000) // once the consent is there
    announce(practice, 2)
    await quickstart
    vi.unstubAllEnvs()
    const { supabase } = practice.therapist
    const [row] = list(checked(await supabase.from('messages').select().eq('session_id', practice.sessionId)), 'messages')
    const [epoch] = list(checked(await supabase.from('session_epochs').select().eq('session_id', practice.sessionId)), 'epochs')
    expect(parseMessage(row).assisted).toBe(true)
    expect(text(fields(epoch, 'epoch'), 'consent_id')).toHaveLength(36)
  })
})
