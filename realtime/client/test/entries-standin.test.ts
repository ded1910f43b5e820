/** Scores, attachments and exports through the real supabase-js, policies and triggers. */
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { attach, openFile } from '../src/attachments.ts'
import { exportSession, openExport } from '../src/export.ts'
import { list } from '../src/parse.ts'
import { parseScore } from '../src/seldom-rows.ts'
import { scoreOf, signScore } from '../src/score.ts'
import { StrictWatch } from '../src/strict.ts'
import { vigil, type Vigil } from '../src/vigil.ts'
import type { ChatMessage } from '../src/chat.ts'
import type { Session } from '../src/session.ts'
import { PhoenixServer } from './phoenix-server.ts'
import { Standin, checked, type Person, type Practice } from './standin.ts'
import { WordDetector } from './strict-world.ts'

vi.setConfig({ testTimeout: 30_000 })

let standin: Standin
const relay = new PhoenixServer()
const ends: (() => unknown)[] = []

beforeAll(async () => {
  standin = await Standin.start()
  await relay.start()
}, 120_000)

afterAll(async () => {
  for (const end of ends.reverse()) await end()
  await relay.stop()
  await standin.stop()
}, 30_000)

interface Side {
  readonly person: Person
  readonly chat: Session
  readonly heard: ChatMessage[]
}

async function enter(person: Person, sessionId: string): Promise<Side> {
  const v: Vigil = await vigil(person.supabase, relay.url)
  ends.push(() => v.close())
  const chat = await v.session(sessionId)
  const heard: ChatMessage[] = []
  chat.on('message', (message) => heard.push(message))
  return { person, chat, heard }
}

async function setup(): Promise<{ practice: Practice; client: Side; therapist: Side }> {
  const practice = await standin.practice('strict')
  const [client, therapist] = [await enter(practice.client, practice.sessionId), await enter(practice.therapist, practice.sessionId)]
  checked(await practice.therapist.supabase.rpc('start_session', { session_id: practice.sessionId }))
  await relay.joinedTimes(`session:${practice.sessionId}`, 2)
  return { practice, client, therapist }
}

/** Tells everyone what the relay would, until all have heard so many messages. */
async function arrive(practice: Practice, position: number, ...sides: readonly Side[]): Promise<void> {
  await vi.waitFor(() => {
    relay.broadcast(`session:${practice.sessionId}`, 'arrival', { session_id: practice.sessionId, position }, `c${Math.random()}`)
    for (const side of sides) expect(side.heard.length).toBe(position)
  }, { timeout: 10_000, interval: 50 })
}

function watching(side: Side): { watch: StrictWatch; errors: Error[] } {
  const watch = new StrictWatch(side.chat, new WordDetector(), { graceMs: 60_000 })
  ends.push(() => { watch.close() })
  const errors: Error[] = []
  watch.on('error', (error) => errors.push(error))
  return { watch, errors }
}

describe('against the stand-in', () => {
  test('a strict session is scored by both sides; a false score is marked, and its sender may not change it', async () => {
    const { practice, client, therapist } = await setup()
    const mine = watching(client)
    await client.chat.send('hello')
    await therapist.chat.send('hello to you')
    await client.chat.send('something grave')
    await arrive(practice, 3, client, therapist)
    await mine.watch.settled()
    const fourth = await client.chat.send('not so grave')
    await mine.watch.settled()
    mine.watch.close()
    const quiet = await client.chat.send('grave, and nobody scores it')
    const { device, database } = client.chat.entry
    const low = scoreOf(await new WordDetector().assess('calm'))
    const { session_id: session, epoch, ...forged } = await signScore(device, {
      ...low, session_id: client.chat.id, message_id: quiet, epoch: client.heard[0]?.epoch ?? 1, side: 'sender', after_position: 0,
    })
    expect([session, epoch]).toEqual([client.chat.id, 1])
    await database.insertScore(forged)
    await expect(database.insertScore(forged)).rejects.toMatchObject({ code: '23505' })
    await expect(database.insertScore({ ...forged, side: 'clinician' })).rejects.toMatchObject({ code: '42501' })

    const theirs = watching(therapist)
    await arrive(practice, 5, client, therapist)
    await theirs.watch.settled()
    await theirs.watch.settled()
    expect([...mine.errors, ...theirs.errors]).toEqual([])
    const rows = list(checked(await practice.therapist.supabase.from('message_scores').select().order('position').order('side')), 'scores').map(parseScore)
    expect(rows.map((row) => [row.position, row.side, row.level])).toEqual([
      [1, 'clinician', 0], [1, 'sender', 0], [2, 'sender', 0], [3, 'clinician', 5], [3, 'sender', 5], [4, 'clinician', 5], [4, 'sender', 5],
      [5, 'clinician', 5], [5, 'sender', 0],
    ])
    expect(therapist.heard.filter((message) => theirs.watch.badgesOf(message.id).length > 0).map((message) => message.id)).toEqual([quiet])
    expect(theirs.watch.badgesOf(quiet)[0]).toMatchObject({ kind: 'disagreement' })
    expect(theirs.watch.badgesOf(fourth)).toEqual([])
    expect(list(checked(await practice.client.supabase.from('message_scores').select()), 'scores')).toEqual([]) // clients are told none of it
  })

  test('a file goes from one device to the other, and to nobody else', async () => {
    const { practice, client, therapist } = await setup()
    const letter = new File(['what the doctor wrote'], 'letter.txt', { type: 'text/plain' })
    const file = await attach(client.chat, practice.client.supabase.storage, letter)
    await client.chat.send('see the letter', { files: [file] })
    await arrive(practice, 1, therapist)
    const told = therapist.heard[0]?.files[0]
    if (told === undefined) throw new Error('the message names no file')
    const opened = await openFile(therapist.chat, practice.therapist.supabase.storage, told)
    expect([await opened.text(), opened.type, told.name]).toEqual(['what the doctor wrote', 'text/plain', 'letter.txt'])
    const stranger = await standin.person()
    await expect(openFile(therapist.chat, stranger.supabase.storage, told)).rejects.toMatchObject({ name: 'RequestError' })
    const path = `${practice.sessionId}/${crypto.randomUUID()}`
    const { error } = await practice.client.supabase.storage.from('sealed').upload(path, new Blob(['unnamed']))
    expect(error).not.toBeNull() // no object that no row names
  })

  test('a session is exported as its person reads it', async () => {
    const { practice, client, therapist } = await setup()
    await client.chat.send('one')
    await therapist.chat.send('two')
    await arrive(practice, 2, client, therapist)
    const identity = await generateX25519Identity()
    const { messages } = await openExport(await exportSession(client.chat, { recipient: await identityToRecipient(identity) }), { identity })
    expect(messages.map((message) => [message.from.role, message.text])).toEqual([['client', 'one'], ['therapist', 'two']])
  })
})
