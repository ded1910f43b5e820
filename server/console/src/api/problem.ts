import { DeviceChangedError, EnvelopeError, RequestError, SessionError } from 'vigil-client'
import { fields, json, optionalNumber, optionalText, ShapeError } from './parse.ts'

/** What went wrong, in words for the person: what it is, and what to do next. Holds no text of a session. */
export interface Problem {
  readonly title: string
  readonly next: string
  /** For whoever is asked for help. */
  readonly code: string
}

/** PostgREST's or Auth's refusal, normalised; status 0 is "no answer". */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: string
  readonly status: number
  readonly details: string

  constructor(attempt: string, answer: { readonly code?: string; readonly status: number; readonly details?: string }, options?: ErrorOptions) {
    super(`${attempt}: ${answer.code ?? 'no answer'}`, options)
    this.code = answer.code ?? ''
    this.status = answer.status
    this.details = answer.details ?? ''
  }
}

/** A refusal that has its own words where it was asked for. */
export class Explained extends Error {
  override readonly name = 'Explained'
  readonly problem: Problem

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.code, options)
    this.problem = problem
  }
}

/** Somebody was first: what the row is now, if the refusal says so. */
export interface Conflict {
  readonly status: string | null
  readonly version: number | null
}

export function conflictOf(error: unknown): Conflict | undefined {
  if (!(error instanceof Refused || error instanceof RequestError)) return undefined
  if (error.code !== 'PT409') return undefined
  try {
    const details = fields(json(error.details, 'details'), 'details')
    return { status: optionalText(details, 'status'), version: optionalNumber(details, 'version') }
  } catch {
    return { status: null, version: null }
  }
}

/** The refusals of SQL (sql/README.md) that a person can do something about. */
const refusals: Readonly<Record<string, readonly [title: string, next: string]>> = {
  VG001: ['The session waits for people', 'Everybody in it has to sign in once, so that their device can hold a key. Then start it again.'],
  VG002: ['The session is not in a state for this', 'Somebody else may have changed it. Reload to see how it stands.'],
  VG006: ['The client has not consented', 'Nothing can be sent until the client agrees to the analysis, or the session goes on privately.'],
  VG007: ['Vigil has not registered its key yet', 'It does so when it first starts. Try again in a moment; if this stays, tell an administrator.'],
  VG011: ['This device was revoked', 'Open Devices: there you can make new keys for this browser, which another of your devices then lets in.'],
  VG012: ['This device is not part of the conversation’s key yet', 'Try again: a new key is made with it.'],
  VG023: ['The words that one agrees to have changed', 'Reload, read them anew, and decide again.'],
  VG024: ['For this, sign in again', 'Your login is older than ten minutes, or lacks the second factor. Sign out, sign in, and come back here at once.'],
  VG025: ['This device waits to be let in', 'Open Devices on one that you use already, and type this one’s code there; or use your recovery passphrase.'],
  PT404: ['This is not there', 'It may have ended, or it is not yours to see.'],
  PT409: ['Somebody was faster', 'What you see was read again. Look, then decide anew.'],
  '42501': ['You may not do this', 'Ask an administrator of your practice if you should be able to.'],
  '23514': ['A value is out of its range', 'Check what you entered.'],
}

/** Words for whatever was thrown. */
export function problemOf(thrown: unknown, attempt: string): Problem {
  if (thrown instanceof Explained) return thrown.problem
  if (thrown instanceof DeviceChangedError) {
    return { title: 'A device is new or has changed', next: 'Check it above the conversation before anything is sent to it.', code: 'device_changed' }
  }
  if (thrown instanceof SessionError) return problemOfSession(thrown)
  if (thrown instanceof EnvelopeError) {
    return { title: 'Something sealed did not verify', next: 'It is not shown. Reload; if it stays, tell an administrator.', code: `envelope_${thrown.refusal}` }
  }
  if (thrown instanceof Refused || thrown instanceof RequestError) return problemOfRequest(thrown, attempt)
  if (thrown instanceof ShapeError) {
    return { title: `Could not ${attempt}`, next: 'The answer was not understood: the console and the server may be of different versions. Reload.', code: 'shape' }
  }
  return { title: `Could not ${attempt}`, next: 'Reload and try again.', code: 'unknown' }
}

function problemOfRequest(error: Refused | RequestError, attempt: string): Problem {
  const known = refusals[error.code]
  if (known !== undefined) return { title: known[0], next: known[1], code: error.code }
  if (error.status === 0) {
    return { title: 'No answer from the server', next: 'Check this device’s connection. Nothing was lost; it is tried again when you ask.', code: 'no_answer' }
  }
  if (error.status === 401) return { title: 'Your login has ended', next: 'Sign in again.', code: '401' }
  if (error.status === 429) return { title: 'Too many requests', next: 'Wait a minute, then try again.', code: '429' }
  if (error.status >= 500) return { title: 'The server is in trouble', next: 'Try again in a moment.', code: error.code || String(error.status) }
  return { title: `Could not ${attempt}`, next: 'Try again; if it stays, tell an administrator the code.', code: error.code || String(error.status) }
}

function problemOfSession(error: SessionError): Problem {
  switch (error.reason) {
    case 'consent_missing':
      return { title: 'Not sent: the client has not consented', next: 'Nothing is sent in a watched session without consent.', code: error.reason }
    case 'not_active':
      return { title: 'Not sent: the session is not running', next: 'It has to be started, or continued, first.', code: error.reason }
    case 'not_participant':
      return { title: 'This session is not there', next: 'It may not be yours to see. Go back to your sessions.', code: error.reason }
    case 'device_waiting':
      return { title: 'Not sent: this device waits to be let in', next: 'Open Devices on one that you use already, and type this one’s code there; or use your recovery passphrase.', code: error.reason }
    case 'mode_changed':
      return { title: 'Not sent yet: who may read has changed', next: 'Look at the notice above, and say that you have seen it.', code: error.reason }
    case 'erased':
      return { title: 'This session was erased', next: 'Nobody can read it any more, and nothing can be sent in it.', code: error.reason }
    case 'taken_back':
      return { title: 'Not sent: it was taken back', next: 'It is nowhere else. Write it again.', code: error.reason }
    case 'history_missing':
      return { title: 'Not done: this device lacks some of your history', next: 'The recovery key may be the last to open it. Bring it to this device with your passphrase first.', code: error.reason }
    case 'closed':
      return { title: 'Not sent: this page was closed first', next: 'Send it again.', code: error.reason }
  }
}
