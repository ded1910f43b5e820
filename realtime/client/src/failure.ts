/** Why an envelope, an epoch or a consent is refused: the same codes as Go's envelope.Failure. */
export const Refusal = {
  format: 'format',
  suite: 'suite',
  roster: 'roster',
  signature: 'signature',
  pin: 'pin',
  consent: 'consent',
  wrap: 'wrap',
  commitment: 'commitment',
  epoch: 'epoch',
  body: 'body',
} as const
export type Refusal = (typeof Refusal)[keyof typeof Refusal]

/** A refusal, with its code. Its message names ids and sizes, never text, ciphertext or keys. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
  readonly refusal: Refusal

  constructor(refusal: Refusal, message: string, options?: ErrorOptions) {
    super(message, options)
    this.refusal = refusal
  }
}

/** What the database or the network answered, normalised. `code` is the SQLSTATE or PostgREST's code, '' for none. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code: string
  readonly status: number
  readonly details: string

  constructor(attempt: string, code: string, status: number, message: string, details = '', options?: ErrorOptions) {
    super(`${attempt}: ${message}`, options)
    this.code = code
    this.status = status
    this.details = details
  }

  /** Whether the same request may succeed later: no answer, too many, a login being refreshed, a server at fault. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 401 || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

/** Devices whose keys changed, or that appeared for someone already known: sending waits for an acknowledgement. */
export class DeviceChangedError extends Error {
  override readonly name = 'DeviceChangedError'
  readonly devices: readonly string[]

  constructor(devices: readonly string[]) {
    super(`keys have changed: acknowledge devices ${devices.join(', ')} before sending`)
    this.devices = devices
  }
}

/** Nothing was sent, and the reason lies in the session, not in the envelope. */
export class SessionError extends Error {
  override readonly name = 'SessionError'
  readonly reason: 'not_active' | 'consent_missing' | 'not_participant' | 'closed' | 'device_waiting' | 'mode_changed' | 'erased' | 'taken_back'
    | 'history_missing'

  constructor(reason: SessionError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** Makes an Error of anything that was thrown, keeping it as the cause. */
export function toError(thrown: unknown, attempt: string): Error {
  return thrown instanceof Error ? thrown : new Error(attempt, { cause: thrown })
}
