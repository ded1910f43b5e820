import type { Device, KeyPair } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, flag, id, text, type Fields } from './parse.ts'

/** What is remembered of a device that was seen: whose it is, and one hash over both its keys. */
export interface Pin {
  readonly kid: string
  /** A user id, or 'analysis' for the sidecar's. */
  readonly owner: string
  readonly fingerprint: string
  /** False while a person has yet to acknowledge a device that appeared later. */
  readonly trusted: boolean
}

/**
 * Where a device's keys and its pins are kept. `account` names the project and the signed-in user, so that two people on one
 * browser have two devices. Nothing else of a session is ever stored: no text, and no message that waits to be sent.
 */
export interface Store {
  device(account: string): Promise<Device | undefined>
  /** Keeps the device unless the account has one already; returns the one that is kept. */
  keepDevice(account: string, device: Device): Promise<Device>
  dropDevice(account: string): Promise<void>
  pins(account: string): Promise<readonly Pin[]>
  keepPin(account: string, pin: Pin): Promise<void>
}

/** Forgets with the process: for tests, and for Node programs that are a new device each time. */
export class MemoryStore implements Store {
  readonly #devices = new Map<string, Device>()
  readonly #pins = new Map<string, Map<string, Pin>>()

  device(account: string): Promise<Device | undefined> {
    return Promise.resolve(this.#devices.get(account))
  }

  keepDevice(account: string, device: Device): Promise<Device> {
    const kept = this.#devices.get(account) ?? device
    this.#devices.set(account, kept)
    return Promise.resolve(kept)
  }

  dropDevice(account: string): Promise<void> {
    this.#devices.delete(account)
    return Promise.resolve()
  }

  pins(account: string): Promise<readonly Pin[]> {
    return Promise.resolve([...(this.#pins.get(account)?.values() ?? [])])
  }

  keepPin(account: string, pin: Pin): Promise<void> {
    const pins = this.#pins.get(account) ?? new Map<string, Pin>()
    this.#pins.set(account, pins.set(pin.kid, pin))
    return Promise.resolve()
  }
}

/** Reads a device that was kept; undefined if none was. */
export function parseKeptDevice(value: unknown): Device | undefined {
  if (value === undefined) return undefined
  const row = fields(value, 'device')
  return {
    kid: id(row, 'kid'),
    enc: parsePair(row, 'enc'),
    sig: parsePair(row, 'sig'),
    encPub: text(row, 'encPub'),
    sigPub: text(row, 'sigPub'),
  }
}

function parsePair(row: Fields, name: string): KeyPair {
  const pair = fields(row[name], name)
  const { publicKey, privateKey } = pair
  if (!(publicKey instanceof CryptoKey) || !(privateKey instanceof CryptoKey)) {
    throw new EnvelopeError(Refusal.format, `${name} is no key pair`)
  }
  return { publicKey, privateKey }
}

/** Reads a pin that was kept. */
export function parseKeptPin(value: unknown): Pin {
  const row = fields(value, 'pin')
  return { kid: id(row, 'kid'), owner: text(row, 'owner'), fingerprint: text(row, 'fingerprint'), trusted: flag(row, 'trusted') }
}
