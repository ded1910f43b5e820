// @vitest-environment happy-dom
import { Theme } from '@radix-ui/themes'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createClient } from '@supabase/supabase-js'
import { EnvelopeError, type Badge, type ChatMessage, type ConsentRow, type DeviceRow } from 'vigil-client'
import { Composer, closedWords, waitingWords } from '../src/session/composer.tsx'
import { ConsentStrip, ConsentText, CrisisText, ExternalText, ownWords, wordsOf } from '../src/session/consent-strip.tsx'
import { MessageBubble } from '../src/session/message.tsx'
import { ModeNotice } from '../src/session/mode-notice.tsx'
import { SessionStore, type SessionView } from '../src/session/session-store.ts'
import { Strangers } from '../src/session/strangers.tsx'
import { Store } from '../src/lib/store.ts'
import { QrCode } from '../src/login/qr.tsx'
import { parseAlert } from '../src/api/rows.ts'
import { useShown } from '../src/alerts/shown.ts'
import { FakeSession, ids } from './fakes.ts'

const consent: ConsentRow = {
  id: 'c', session_id: ids.session, device_id: 'd', scope: ['analysis'], text_hash: '', signature: '', withdrawn_at: null, withdrawal_signature: null,
}
const device: DeviceRow = {
  id: 'd', user_id: ids.client, kind: 'participant', enc_pub: '', sig_pub: '', revoked_at: null, admitted_at: '', admission: 'first', admitted_by: null, retired_at: null, created_at: '', label: null,
}
const view = (more: Partial<SessionView> = {}): SessionView => ({
  row: new FakeSession().row, myRole: 'client', people: [], readerNames: new Map(), messages: [], liveFrom: 0, channel: 'connected', recovery: null, present: [], consents: [consent],
  readers: [device], strangers: [], modeChange: null, scored: new Map(), erased: false, trouble: null, ...more,
})
const message = (more: Partial<ChatMessage> = {}): ChatMessage => ({
  id: 'm', position: 1, epoch: 1, files: [], badges: [], from: { userId: ids.client, deviceId: 'd', role: 'client', me: true }, text: 'hello', badge: null, watched: true, missing: 0,
  readers: [
    { deviceId: 'a', role: 'analysis', userId: null, via: 'roster', until: null, verified: true }, { deviceId: 't', role: 'therapist', userId: ids.therapist, via: 'roster', until: null, verified: true },
    { deviceId: 'd', role: 'client', userId: ids.client, via: 'roster', until: null, verified: true },
  ],
  at: new Date('2026-11-23T05:00:00Z'), ...more,
})
const show = (what: ReactNode): void => { render(<Theme>{what}</Theme>) }
const bubble = (one: ChatMessage): void => { show(<MessageBubble message={one} name="You" names={new Map([[ids.therapist, 'Theo']])} me={ids.client} first />) }

afterEach(cleanup)

describe('a message', () => {
  test('says that it is sealed and verified, who can read it, and that it is watched', () => {
    bubble(message())
    expect(screen.getByRole('article').textContent).toMatch(/hello.*sealed, verified.*you, Theo and Vigil’s detector.*watched/)
  })

  test('that is not watched says so, and why, and names no detector', () => {
    bubble(message({ watched: false, readers: message().readers.slice(1) }))
    const text = screen.getByRole('article').textContent
    expect(text).toContain('private: Vigil holds no key to it')
    expect(text).toContain('you and Theo')
    expect(text).not.toContain('Vigil’s detector')
  })

  test('that did not verify shows no text, but the reason', () => {
    bubble(message({ text: null, badges: [{ kind: 'unreadable', refusal: 'signature' }], readers: [] }))
    const text = screen.getByRole('article').textContent
    expect(text).toContain('its signature does not verify')
    expect(text).not.toContain('sealed, verified')
  })

  test('that its sender wrote at another time says when, and a repeated one why it is not shown', () => {
    bubble(message({ writtenAt: new Date(message().at.getTime() - 3_600_000) }))
    expect(screen.getByRole('article').textContent).toMatch(/written .* by its sender’s clock/)
    cleanup()
    bubble(message({ text: null, badges: [{ kind: 'unreadable', refusal: 'replay' }], readers: [] }))
    expect(screen.getByRole('article').textContent).toContain('stands further up already')
  })

  test('names who was let in by an alert and until when, and whose recovery keys can read it', () => {
    const more = [
      { deviceId: 'o', role: 'on_call', userId: 'o', via: 'crisis_access', until: null, verified: true }, { deviceId: 'r', role: 'recovery', userId: ids.client, via: 'roster', until: null, verified: true },
      { deviceId: 's', role: 'recovery', userId: ids.therapist, via: 'roster', until: null, verified: true },
    ] as const
    bubble(message({ readers: [...message().readers, ...more] }))
    expect(screen.getByRole('article').textContent).toContain('you, Theo, a clinician on call (let in by an alert), your recovery key, the recovery key of Theo and Vigil’s detector')
  })

  test('marks a reader whom nobody known has let in', () => {
    bubble(message({ readers: [...message().readers, { deviceId: 'n', role: 'therapist', userId: 'n', via: 'history', until: null, verified: false }] }))
    const fact = screen.getByText(/a therapist \(unverified\)/)
    expect(fact.title).toContain('The server says')
    cleanup()
    bubble(message())
    expect(screen.getByRole('article').textContent).not.toContain('unverified')
  })

  test.each<[Badge, RegExp]>([
    [{ kind: 'split_view', positions: [3] }, /another conversation than you/],
    [{ kind: 'withheld', positions: [3, 4] }, /2 messages that you were not shown/],
    [{ kind: 'out_of_order' }, /sent it before another message/],
    [{ kind: 'unsigned_device', deviceId: 'd' }, /none of its owner’s known devices/],
    [{ kind: 'disagreement', fields: ['not_comparable'] }, /cannot be held against what yours did/],
    [{ kind: 'disagreement', fields: ['level', 'harm_others'] }, /\(Level, Harm others\): read it yourself/],
  ])('%o is said in words, and it is not called verified', (badge, words) => {
    bubble(message({ badges: [badge] }))
    const text = screen.getByRole('article').textContent
    expect(text).toMatch(words)
    expect(text).not.toContain('sealed, verified')
  })

  test('shows its files, which open on a press', () => {
    const open = vi.fn(() => Promise.resolve())
    const file = { id: 'f', key: '', name: 'sleep diary.pdf', type: 'application/pdf', bytes: 1_234_567, sha256: '' }
    show(<MessageBubble message={message({ files: [file] })} name="You" names={new Map()} me={ids.client} first open={open} />)
    fireEvent.click(screen.getByRole('button', { name: 'sleep diary.pdf 1.2 MB' }))
    expect(open).toHaveBeenCalledExactlyOnceWith(file)
  })
})

describe('what must be seen before anything is sent', () => {
  const store = (session: FakeSession): SessionStore => {
    const made = new SessionStore({ supabase: createClient('http://nowhere.invalid', 'key'), vigil: () => Promise.resolve({ session: () => Promise.resolve(session) }), id: ids.session, userId: ids.client })
    made.load.set({ phase: 'ready', session, view: new Store(view()) })
    return made
  }

  test('a new device shows the safety number, and one whose confirmation does not hold is trusted only when that is said', async () => {
    const session = new FakeSession()
    session.refusal = new EnvelopeError('pin', 'x')
    const stranger: DeviceRow = { ...device, id: 'n', user_id: ids.therapist, admission: 'signed', admitted_by: 't' }
    show(<Strangers me={ids.client} store={store(session)} session={session} view={view({ strangers: ['n'], readers: [stranger], people: [{ userId: ids.therapist, name: 'Theo', role: 'therapist' }] })} />)
    expect(await screen.findByText('12345 67890 12345 67890 12345 67890')).toBeTruthy()
    fireEvent.click(screen.getByRole('button', { name: 'It is right: trust it' }))
    expect(await screen.findByRole('alert')).toBeTruthy()
    fireEvent.click(screen.getByRole('button', { name: 'I compared the number: trust it all the same' }))
    await vi.waitFor(() => { expect(session.asked).toEqual([['acknowledge', 'n', false], ['acknowledge', 'n', true]]) })
  })

  test('what is new of one person is asked about once, and one’s own is told from another’s', () => {
    const session = new FakeSession()
    const theirs = [{ ...device, id: 'n', user_id: ids.therapist, admission: 'signed' }, { ...device, id: 'r', user_id: ids.therapist, kind: 'recovery', admission: 'signed' }] as const
    const mine = { ...device, id: 'm', admission: 'signed' } as const
    show(<Strangers me={ids.client} store={store(session)} session={session} view={view({ strangers: ['n', 'r', 'm'], readers: [...theirs, mine, { ...device, id: 'k', user_id: ids.therapist }], people: [{ userId: ids.therapist, name: 'Theo', role: 'therapist' }] })} />)
    expect(screen.getAllByRole('button')).toHaveLength(2)
    expect(screen.getByText('Theo has a new device, or new keys, and a new recovery key.')).toBeTruthy()
    expect(screen.getByText('You have a new device, or new keys.')).toBeTruthy()
    expect(screen.getByRole('link', { name: 'Devices and recovery' })).toBeTruthy()
  })

  test('a person who was added to the conversation is told from a new device of one who was there', () => {
    const session = new FakeSession()
    const stranger: DeviceRow = { ...device, id: 'n', user_id: ids.therapist, admission: 'first' }
    show(<Strangers me={ids.client} store={store(session)} session={session} view={view({ strangers: ['n'], readers: [stranger], people: [{ userId: ids.therapist, name: 'Theo', role: 'therapist' }] })} />)
    expect(screen.getByText('Theo was added to this conversation.')).toBeTruthy()
    expect(screen.getByText(/Be sure that they belong here. Nothing is sent to them/)).toBeTruthy()
  })

  test('a change of who may read is said, and one goes on with one press', async () => {
    const session = new FakeSession()
    show(<ModeNotice store={store(session)} view={view({ modeChange: { now: 'strict', acknowledged: 'assisted' } })} />)
    expect(screen.getByText('This session is private now.')).toBeTruthy()
    fireEvent.click(screen.getByRole('button', { name: 'I have seen it' }))
    await vi.waitFor(() => { expect(session.asked).toEqual([['acknowledgeMode', 'strict']]) })
  })
})

describe('consent', () => {
  test('is given to exactly the words that are shown, and withdrawn at the same place', () => {
    const session = new FakeSession()
    const give = vi.spyOn(session.consent, 'give')
    const withdraw = vi.spyOn(session.consent, 'withdraw')
    show(<ConsentStrip session={session} words={ownWords} view={view({ consents: [] })} />)
    expect(screen.getByText(ConsentText)).toBeTruthy()
    fireEvent.click(screen.getByRole('button', { name: 'I agree' }))
    expect(give).toHaveBeenCalledWith({ text: ConsentText })
    cleanup()
    show(<ConsentStrip session={session} words={ownWords} view={view()} />)
    fireEvent.click(screen.getByRole('button', { name: 'Withdraw, go on privately' }))
    expect(withdraw).toHaveBeenCalledWith('c', { goOn: 'strict' })
  })

  test('to models outside is a choice of its own, off at first, and stopped where it was made', async () => {
    const session = new FakeSession()
    const give = vi.spyOn(session.consent, 'give')
    const withdraw = vi.spyOn(session.consent, 'withdraw')
    show(<ConsentStrip session={session} words={ownWords} view={view()} />)
    const choice = (): HTMLInputElement => screen.getByLabelText<HTMLInputElement>(ExternalText)
    expect(choice().checked).toBe(false)
    fireEvent.click(choice())
    expect(give).toHaveBeenCalledExactlyOnceWith({ text: ExternalText, scope: ['external_models'] })
    cleanup()
    const both = view({ consents: [consent, { ...consent, id: 'x', scope: ['external_models'] }] })
    show(<ConsentStrip session={session} words={ownWords} view={both} />)
    expect(choice().checked).toBe(true)
    fireEvent.click(choice())
    expect(withdraw.mock.calls).toEqual([['x']])
    cleanup()
    show(<ConsentStrip session={session} words={ownWords} view={both} />)
    fireEvent.click(screen.getByRole('button', { name: 'Withdraw, go on privately' }))
    await vi.waitFor(() => { expect(withdraw.mock.calls).toEqual([['x'], ['x'], ['c', { goOn: 'strict' }]]) })
    expect(closedWords(view({ consents: [{ ...consent, scope: ['external_models'] }] }))).toContain('Agree above')
  })

  test('that who is called may read is a choice too, and the practice’s own standing words are what one agrees to', () => {
    const session = new FakeSession()
    const give = vi.spyOn(session.consent, 'give')
    const published = { organizationId: '', hash: '', version: 2, language: 'en', retired: false }
    const words = wordsOf([{ ...published, scope: ['crisis_access'], body: 'Retired words', retired: true }, { ...published, scope: ['crisis_access'], body: 'They may read.' }])
    expect(words).toEqual({ analysis: ConsentText, external: ExternalText, crisis: 'They may read.' })
    expect(wordsOf([]).crisis).toBe(CrisisText)
    show(<ConsentStrip session={session} words={words} view={view()} />)
    fireEvent.click(screen.getByLabelText('They may read.'))
    expect(give).toHaveBeenCalledExactlyOnceWith({ text: 'They may read.', scope: ['crisis_access'] })
  })

  test('where it is not wanted, the client goes on privately without asking anybody', () => {
    const session = new FakeSession()
    show(<ConsentStrip session={session} words={ownWords} view={view({ consents: [] })} />)
    fireEvent.click(screen.getByRole('button', { name: 'Go on privately' }))
    expect(session.asked).toEqual([['changeMode', 'strict']])
  })

  test('is not the therapist’s to give', () => {
    show(<ConsentStrip session={new FakeSession()} words={ownWords} view={view({ myRole: 'therapist', consents: [] })} />)
    expect(screen.queryByRole('button')).toBeNull()
  })
})

describe('the composer', () => {
  test('is closed with the reason, and open only where something can be sent', () => {
    const row = new FakeSession().row
    expect(closedWords(view())).toBeNull()
    expect(closedWords(view({ myRole: null }))).toContain('only its participants')
    expect(closedWords(view({ consents: [] }))).toContain('Agree above')
    expect(closedWords(view({ consents: [{ ...consent, withdrawn_at: '2026-11-23T05:00:00Z' }] }))).toContain('Agree above')
    expect(closedWords(view({ readers: [{ ...device, id: 'another' }] })), 'of a device that was removed').toContain('Agree above')
    expect(closedWords(view({ consents: [], row: { ...row, mode: 'strict' } }))).toBeNull()
    expect(closedWords(view({ strangers: ['d'] }))).toBeNull()
    expect(waitingWords(view({ strangers: ['d'] }))).toContain('new device')
    expect(waitingWords(view({ modeChange: { now: 'strict', acknowledged: 'assisted' } }))).toContain('who may read it')
    expect(waitingWords(view())).toBeNull()
    expect(closedWords(view({ erased: true }))).toContain('erased')
    for (const status of ['scheduled', 'paused', 'ended'] as const) expect(closedWords(view({ row: { ...row, status } }))).not.toBeNull()
  })

  test('a suggestion is put in, says where it is from and whether it was changed, and goes out only when it is sent', () => {
    const send = vi.fn(() => Promise.resolve('id'))
    show(<Composer view={view()} prepared={{ key: 'k', text: 'Are you safe?', from: 'Suggestion from the bundled bank,' }} send={send} attach={() => Promise.reject(new Error('not played'))} drop={() => undefined} />)
    const input = screen.getByRole('textbox', { name: 'Message' })
    expect(screen.getByText(/as drafted\. It is sent only when you send it/)).toBeTruthy()
    fireEvent.change(input, { target: { value: 'Are you safe now?' } })
    expect(screen.getByText(/edited\. It is sent only/)).toBeTruthy()
    fireEvent.keyDown(input, { key: 'Enter', shiftKey: true })
    expect(send).not.toHaveBeenCalled()
    fireEvent.keyDown(input, { key: 'Enter' })
    expect(send).toHaveBeenCalledExactlyOnceWith('Are you safe now?', [])
  })
})

test('a draft that was erased leaves the composer, but nobody’s own words', () => {
  const prepared = { key: 'k', text: 'Are you safe?', from: 'Suggestion from the bundled bank,' }
  const composer = (now: typeof prepared | null): ReactNode => <Theme><Composer view={view()} prepared={now} send={() => Promise.resolve('id')} attach={() => Promise.reject(new Error('not played'))} drop={() => undefined} /></Theme>
  const { rerender } = render(composer(prepared))
  const input = (): string => screen.getByRole<HTMLTextAreaElement>('textbox', { name: 'Message' }).value
  expect(input()).toBe('Are you safe?')
  rerender(composer(null))
  expect(input()).toBe('')
  rerender(composer({ ...prepared, key: 'l' }))
  fireEvent.change(screen.getByRole('textbox', { name: 'Message' }), { target: { value: 'my own' } })
  rerender(composer(null))
  expect(input()).toBe('my own')
})

test('the alert of an address comes into sight when it is there, once', () => {
  const at = '2026-11-23T05:00:00+00:00'
  const alert = parseAlert({
    id: 'a', organization_id: ids.organization, session_id: ids.session, message_id: 'm', level: 5, status: 'open', version: 1, source: 'sidecar', raised_at: at, updated_at: at,
  })
  const List = (props: { readonly alerts: ReadonlyMap<string, typeof alert> }): ReactNode => {
    useShown('a', props.alerts)
    return <ul>{[...props.alerts.keys()].map((id) => <li key={id} id={`alert-${id}`} tabIndex={-1} />)}</ul>
  }
  const { rerender } = render(<List alerts={new Map()} />)
  expect(document.activeElement).toBe(document.body)
  rerender(<List alerts={new Map([['b', alert], ['a', alert]])} />)
  expect(document.activeElement?.id).toBe('alert-a')
  document.getElementById('alert-b')?.focus()
  rerender(<List alerts={new Map([['b', alert], ['a', { ...alert, version: 2 }]])} />)
  expect(document.activeElement?.id).toBe('alert-b')
})

test('a QR code is drawn here, as one path', () => {
  show(<QrCode value="otpauth://totp/Vigil:theo?secret=ABC" label="QR code" />)
  expect(screen.getByRole('img', { name: 'QR code' }).querySelector('path')?.getAttribute('d')?.length).toBeGreaterThan(500)
})
