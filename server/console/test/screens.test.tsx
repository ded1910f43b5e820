// @vitest-environment happy-dom
import { Theme } from '@radix-ui/themes'
import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ChatMessage, ConsentRow } from 'vigil-client'
import { Composer, closedWords } from '../src/session/composer.tsx'
import { ConsentStrip, ConsentText, ExternalText } from '../src/session/consent-strip.tsx'
import { MessageBubble } from '../src/session/message.tsx'
import type { SessionView } from '../src/session/session-store.ts'
import { QrCode } from '../src/login/qr.tsx'
import { parseAlert } from '../src/api/rows.ts'
import { useShown } from '../src/alerts/shown.ts'
import { FakeSession, ids } from './fakes.ts'

const consent: ConsentRow = {
  id: 'c', session_id: ids.session, device_id: 'd', scope: ['analysis'], text_hash: '', signature: '', withdrawn_at: null, withdrawal_signature: null,
}
const view = (more: Partial<SessionView> = {}): SessionView => ({
  row: new FakeSession().row, myRole: 'client', people: [], messages: [], liveFrom: 0, channel: 'connected', recovery: null, present: [], consents: [consent],
  readers: [], strangers: [], trouble: null, ...more,
})
const message = (more: Partial<ChatMessage> = {}): ChatMessage => ({
  id: 'm', position: 1, from: { userId: ids.client, deviceId: 'd', role: 'client', me: true }, text: 'hello', badge: null, watched: true, missing: 0,
  readers: [{ deviceId: 'a', role: 'analysis', userId: null }, { deviceId: 't', role: 'therapist', userId: ids.therapist }, { deviceId: 'd', role: 'client', userId: ids.client }],
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
    expect(text).toContain('not watched: sealed without the detector’s key')
    expect(text).toContain('you and Theo')
    expect(text).not.toContain('Vigil')
  })

  test('that did not verify shows no text, but the reason', () => {
    bubble(message({ text: null, badge: { kind: 'unreadable', refusal: 'signature' }, readers: [] }))
    const text = screen.getByRole('article').textContent
    expect(text).toContain('its signature does not verify')
    expect(text).not.toContain('sealed, verified')
  })
})

describe('consent', () => {
  test('is given to exactly the words that are shown, and withdrawn at the same place', () => {
    const session = new FakeSession()
    const give = vi.spyOn(session.consent, 'give')
    const withdraw = vi.spyOn(session.consent, 'withdraw')
    show(<ConsentStrip session={session} view={view({ consents: [] })} />)
    expect(screen.getByText(ConsentText)).toBeTruthy()
    fireEvent.click(screen.getByRole('button', { name: 'I agree' }))
    expect(give).toHaveBeenCalledWith({ text: ConsentText })
    cleanup()
    show(<ConsentStrip session={session} view={view()} />)
    fireEvent.click(screen.getByRole('button', { name: 'Withdraw consent' }))
    expect(withdraw).toHaveBeenCalledWith('c')
  })

  test('to models outside is a choice of its own, off at first, and stopped where it was made', async () => {
    const session = new FakeSession()
    const give = vi.spyOn(session.consent, 'give')
    const withdraw = vi.spyOn(session.consent, 'withdraw')
    show(<ConsentStrip session={session} view={view()} />)
    const choice = (): HTMLInputElement => screen.getByLabelText<HTMLInputElement>(ExternalText)
    expect(choice().checked).toBe(false)
    fireEvent.click(choice())
    expect(give).toHaveBeenCalledExactlyOnceWith({ text: ExternalText, scope: ['external_models'] })
    cleanup()
    const both = view({ consents: [consent, { ...consent, id: 'x', scope: ['external_models'] }] })
    show(<ConsentStrip session={session} view={both} />)
    expect(choice().checked).toBe(true)
    fireEvent.click(choice())
    expect(withdraw.mock.calls).toEqual([['x']])
    cleanup()
    show(<ConsentStrip session={session} view={both} />)
    fireEvent.click(screen.getByRole('button', { name: 'Withdraw consent' }))
    await vi.waitFor(() => { expect(withdraw.mock.calls).toEqual([['x'], ['c'], ['x']]) })
    expect(closedWords(view({ consents: [{ ...consent, scope: ['external_models'] }] }))).toContain('Agree above')
  })

  test('is not the therapist’s to give', () => {
    show(<ConsentStrip session={new FakeSession()} view={view({ myRole: 'therapist', consents: [] })} />)
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
    expect(closedWords(view({ consents: [], row: { ...row, mode: 'strict' } }))).toBeNull()
    expect(closedWords(view({ strangers: ['d'] }))).toContain('new device')
    for (const status of ['scheduled', 'paused', 'ended'] as const) expect(closedWords(view({ row: { ...row, status } }))).not.toBeNull()
  })

  test('a suggestion is put in, says where it is from and whether it was changed, and goes out only when it is sent', () => {
    const send = vi.fn(() => Promise.resolve('id'))
    show(<Composer view={view()} prepared={{ key: 'k', text: 'Are you safe?', from: 'Suggestion from the bundled bank,' }} send={send} drop={() => undefined} />)
    const input = screen.getByRole('textbox', { name: 'Message' })
    expect(screen.getByText(/as drafted\. It is sent only when you send it/)).toBeTruthy()
    fireEvent.change(input, { target: { value: 'Are you safe now?' } })
    expect(screen.getByText(/edited\. It is sent only/)).toBeTruthy()
    fireEvent.keyDown(input, { key: 'Enter', shiftKey: true })
    expect(send).not.toHaveBeenCalled()
    fireEvent.keyDown(input, { key: 'Enter' })
    expect(send).toHaveBeenCalledExactlyOnceWith('Are you safe now?')
  })
})

test('a draft that was erased leaves the composer, but nobody’s own words', () => {
  const prepared = { key: 'k', text: 'Are you safe?', from: 'Suggestion from the bundled bank,' }
  const composer = (now: typeof prepared | null): ReactNode => <Theme><Composer view={view()} prepared={now} send={() => Promise.resolve('id')} drop={() => undefined} /></Theme>
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
