import type { Clock } from './clock.ts'
import { notLoaded } from './answer.ts'
import type { SessionDatabase } from './database.ts'
import { makeDevice, type Device } from './device.ts'
import { EnvelopeError, Refusal, RequestError, SessionError, toError } from './failure.ts'
import { historyOf, waitingOf, type HistoryState } from './history.ts'
import type { Pins } from './pins.ts'
import type { DeviceRow } from './rows.ts'
import { deviceCode } from './safety.ts'
import type { Store } from './store.ts'

/**
 * usable; waiting for another device of the person, or for recovery; refused: the sidecar has verified what vouched for it, and it
 * was false; revoked: it is told, and replaced only by `renew`.
 */
export const DeviceState = { usable: 'usable', waiting: 'waiting', refused: 'refused', revoked: 'revoked' } as const
export type DeviceState = (typeof DeviceState)[keyof typeof DeviceState]

/** One of the signed-in person's devices. */
export interface OwnDevice {
  readonly id: string
  readonly label: string | null
  readonly kind: 'participant' | 'recovery'
  readonly state: DeviceState
  readonly createdAt: Date
  /** Whether it is this one. */
  readonly here: boolean
  /** The safety number of this device alone. */
  readonly safety: string
}

/** A device that waits for this one. Its code is not here: whoever holds it reads it off, and types it. */
export interface WaitingDevice {
  readonly id: string
  readonly label: string | null
  readonly createdAt: Date
}

/** What Vigil's listeners hear. */
export interface VigilEvents {
  /** This device's state, at first and whenever it changed. */
  device: DeviceState
  /** At first and whenever it changed. */
  history: HistoryState
  /** The devices that wait for one of the person's, at first and whenever there are others. */
  waiting: readonly WaitingDevice[]
  /** The person's other devices to acknowledge, with those that no known device has confirmed. */
  unacknowledged: readonly string[]
  /** What went wrong in the background. Never holds text. */
  error: Error
}

type Told = 'device' | 'history' | 'waiting' | 'unacknowledged'

/** The words that `reset` asks for, so that nobody does it by mistake. */
export const ResetWords = 'history will be lost'

export interface DevicesDeps {
  readonly database: SessionDatabase
  readonly store: Store
  readonly account: string
  readonly userId: string
  readonly pins: Pins
  readonly clock: Clock
  readonly trust: boolean
  readonly label: string | null
  readonly tell: <Name extends keyof VigilEvents>(name: Name, value: VigilEvents[Name]) => void
  /** The device is another one now: sessions that are open hold the keys of the former. */
  readonly renewed: () => Promise<void>
}

/** How long until the next look: while somebody stands before the device, while history is still to come, and otherwise. */
const WaitingMs = 5000
const LockedMs = 15_000
const QuietMs = 60_000
/** How long the history is believed to be held as it was: somebody with a stolen token may write over what was shared. */
const HistoryMs = 15 * 60_000

/** The signed-in person's devices: this one, and the others. Made by Vigil. */
export class Devices {
  readonly #deps: DevicesDeps
  #device: Device
  #code = ''
  #rows: readonly DeviceRow[] = []
  #state: DeviceState = DeviceState.waiting
  #history: HistoryState = { here: 'whole', recovery: 'unset', otherDevices: 0, state: 'only_here' }
  /** What was told last, to tell it again only when it is another. */
  readonly #last: { -readonly [Name in Told]?: VigilEvents[Name] } = {}
  /** The devices for which the history was last read. */
  #seen = ''
  #readAt = 0
  #looking: Promise<void> = Promise.resolve()
  /** How much each device lacked when it was last given something: what cannot be opened is not tried again and again. */
  readonly #healed = new Map<string, number>()

  /** Makes this browser's device if there is none, and registers it. */
  static async open(deps: DevicesDeps): Promise<Devices> {
    const { account, store } = deps
    const device = (await store.device(account)) ?? (await store.keepDevice(account, await makeDevice()))
    const devices = new Devices(deps, device)
    await devices.#register()
    return devices
  }

  private constructor(deps: DevicesDeps, device: Device) {
    this.#deps = deps
    this.#device = device
  }

  /** @internal */
  get device(): Device {
    return this.#device
  }

  /** What this device may do. */
  get state(): DeviceState {
    return this.#state
  }

  /** What a device that is known already must be told to admit this one. */
  get code(): string {
    return this.#code
  }

  /** As last looked at. */
  get history(): HistoryState {
    return this.#history
  }

  /** All devices of the signed-in person, revoked ones and recovery keys too, oldest first. */
  async list(): Promise<readonly OwnDevice[]> {
    await this.look()
    const { ownDevices } = await import('./own-devices.ts').catch(notLoaded)
    return ownDevices(this.#rows, this.#device.kid, (row) => (row.id === this.#device.kid ? this.#state : stateOf(row, 0)))
  }

  /**
   * Admits the waiting device that shows this code, and lets it read what this one can. Resolves with its id when it is usable.
   * Rejects with EnvelopeError 'pin' unless exactly one waiting device has the code, with SessionError 'device_waiting' if this
   * device is not usable itself, or if no sidecar has admitted the other within a minute: its history follows once one has.
   */
  async approve(code: string): Promise<string> {
    this.#mustBeUsable()
    const { approveByCode } = await import('./approval.ts').catch(notLoaded)
    const id = await approveByCode(this.#deps, this.#device, code)
    await this.look() // shares the history on the way
    return id
  }

  /**
   * Takes a device off every roster from the next message on. What it could read, it may have kept. Rejects with RequestError VG024 if it
   * is the recovery key or the last device that takes part, and the sign-in is older than ten minutes.
   */
  async revoke(id: string): Promise<void> {
    await this.#deps.database.updateDevice(id, { revoked_at: new Date().toISOString() })
    await this.look()
  }

  /** Names a device, for its owner's own list. */
  async rename(id: string, label: string): Promise<void> {
    await this.#deps.database.updateDevice(id, { label })
    await this.look()
  }

  /** Trusts a device of one's own that another one approved: the person knows it. See Pins.acknowledge for `unsigned`. */
  async acknowledge(id: string, options: { readonly unsigned?: boolean } = {}): Promise<void> {
    const row = this.#rows.find((one) => one.id === id)
    if (row === undefined) throw new EnvelopeError(Refusal.roster, `device ${id} is not there`)
    await this.#deps.pins.acknowledge(row, options)
    await this.look()
  }

  /**
   * Puts a new device in the place of this one, which was revoked. It waits like any other; sessions that are open are closed.
   * Rejects with SessionError 'not_active' if this device is not revoked; and, without the very words of ResetWords, if its keys are
   * the last for anything: a part of the history that no other living device holds, or messages that are not sent yet.
   */
  async renew(words?: typeof ResetWords): Promise<void> {
    await this.look()
    if (this.#state !== DeviceState.revoked) throw new SessionError('not_active', 'only a revoked device is renewed')
    const { account, renewed, store } = this.#deps
    if (words !== ResetWords) {
      const { mustNotBeLast } = await import('./own-devices.ts').catch(notLoaded)
      await mustNotBeLast(this.#deps, this.#rows, this.#device.kid, ResetWords)
    }
    await store.dropDevice(account)
    this.#device = await store.keepDevice(account, await makeDevice())
    await renewed()
    await this.#register()
  }

  /**
   * Starts anew with this waiting device when nothing is left that could admit it: every other device and the recovery key are
   * revoked, and what only they could read is lost. Everybody else must acknowledge the change. Takes the very words of ResetWords,
   * so that they were on a screen. Rejects with RequestError VG024 if the sign-in is older than ten minutes.
   */
  async reset(words: typeof ResetWords): Promise<void> {
    const said: string = words
    if (said !== ResetWords) throw new SessionError('not_active', `say "${ResetWords}" to reset`)
    await this.#deps.database.resetDevices(this.#device.kid)
    await this.look()
  }

  /**
   * Lets another device of one's own read what this one can. Rejects with DeviceChangedError if it is not one that this device
   * trusts, and with SessionError 'device_waiting' if either of the two is not usable.
   */
  async shareHistory(id: string): Promise<{ readonly shared: number; readonly missing: number }> {
    this.#mustBeUsable()
    const { shareWith } = await import('./share.ts').catch(notLoaded)
    const done = await shareWith({ ...this.#deps, by: this.#device }, id)
    await this.look()
    return done
  }

  /** Reads the person's devices and tells what changed of them. One look after the other: none overwrites a later one. */
  look(): Promise<void> {
    const looked = this.#looking.then(() => this.#look())
    this.#looking = looked.catch(() => undefined) // told to whoever asked for it
    return looked
  }

  async #look(): Promise<void> {
    const { database, pins, trust, userId } = this.#deps
    const [rows, signatures] = await Promise.all([database.ownDevices(userId), database.signatures([userId])])
    this.#rows = rows
    const own = rows.find((row) => row.id === this.#device.kid)
    const refused = own?.admitted_at === null && !signatures.some((one) => one.device_id === own.id)
    this.#state = own === undefined
      ? DeviceState.waiting
      : stateOf(own, refused ? await database.refusedSignatures(own.id) : 0)
    let unknown = await pins.meet(rows, signatures)
    if (own !== undefined) {
      const mine = { ...own, enc_pub: this.#device.encPub, sig_pub: this.#device.sigPub } // whatever the database says of it
      if (!(await pins.holds(mine))) await pins.acknowledge(mine, { unsigned: true })
    }
    if (trust) {
      for (const row of rows) if (unknown.includes(row.id)) await pins.acknowledge(row, { unsigned: true })
      unknown = []
    }
    const live = rows.filter((row) => stateOf(row, 0) === DeviceState.usable && row.id !== own?.id)
    await this.#lookAtHistory(live)
    this.#tell('device', this.#state)
    const waiting = waitingOf(rows).filter((row) => row.id !== own?.id)
    this.#tell('waiting', waiting.map((row) => ({ id: row.id, label: row.label, createdAt: new Date(row.created_at) })))
    this.#tell('unacknowledged', live.filter((row) => unknown.includes(row.id)).map((row) => row.id))
  }

  /** Reads who holds what, if that can be other than it was; and gives what another device of the person's lacks. */
  async #lookAtHistory(live: readonly DeviceRow[]): Promise<void> {
    const trusted = await Promise.all(live.map((row) => this.#deps.pins.holds(row)))
    const seen = JSON.stringify([this.#rows.map((row) => [row.id, row.admitted_at, row.revoked_at]), trusted])
    const old = Date.now() - this.#readAt > HistoryMs
    if (seen === this.#seen && !old && this.#history.state !== 'locked') return
    const { heal, readHeld } = await import('./held.ts').catch(notLoaded)
    let held = await readHeld(this.#deps)
    this.#readAt = Date.now()
    const deps = { ...this.#deps, by: this.#device }
    if (this.#state === DeviceState.usable && (await heal(deps, live, held, this.#healed))) held = await readHeld(deps)
    this.#history = historyOf(held, this.#rows, this.#device.kid)
    this.#seen = seen
    this.#tell('history', this.#history)
  }

  #tell<Name extends Told>(name: Name, value: VigilEvents[Name]): void {
    if (JSON.stringify(this.#last[name]) === JSON.stringify(value)) return
    this.#last[name] = value
    this.#deps.tell(name, value)
  }

  /** What was told last, for a new listener. @internal */
  last(): { readonly [Name in Told]?: VigilEvents[Name] } {
    return this.#last
  }

  /** Looks again and again until the clock is closed. Called by vigil(). */
  async run(): Promise<void> {
    const { clock, tell } = this.#deps
    for (;;) {
      const quiet = this.#history.state === 'locked' ? LockedMs : QuietMs
      await clock.wait(this.#state === DeviceState.usable ? quiet : WaitingMs)
      if (clock.closed) return
      if (typeof document !== 'undefined' && document.visibilityState === 'hidden') continue
      await this.look().catch((thrown: unknown) => {
        if (!(thrown instanceof RequestError && thrown.temporary)) tell('error', toError(thrown, 'look at devices'))
      })
    }
  }

  async #register(): Promise<void> {
    const { database, label, userId } = this.#deps
    const { encPub, kid, sigPub } = this.#device
    this.#code = await deviceCode({ id: kid, user_id: userId, enc_pub: encPub, sig_pub: sigPub })
    if ((await database.device(kid)) === undefined) {
      try {
        await database.insertDevice({ id: kid, user_id: userId, enc_pub: encPub, sig_pub: sigPub, label })
      } catch (thrown) {
        const another = thrown instanceof RequestError && thrown.code === '23505' // a second tab was quicker
        if (!another) throw thrown
      }
    }
    await this.look()
  }

  #mustBeUsable(): void {
    if (this.#state === DeviceState.usable) return
    throw new SessionError('device_waiting', `this device is ${this.#state}: approve it on another one, or recover`)
  }
}

function stateOf(row: DeviceRow, refused: number): DeviceState {
  if (row.revoked_at !== null) return DeviceState.revoked
  if (row.admitted_at !== null) return DeviceState.usable
  return refused > 0 ? DeviceState.refused : DeviceState.waiting
}
