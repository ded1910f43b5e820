/** The files of vectors that Go's tests read as well: rows as SQL has them, and the private keys of the devices. */
import { readFileSync } from 'node:fs'
import { importDevice, type Device } from '../src/device.ts'
import { openEpoch, type Epoch, type OpenOptions } from '../src/epoch.ts'
import { fields, json, list, optionalText, text, whole, type Fields } from '../src/parse.ts'
import { parseConsent, parseEpoch, parseSealed, type ConsentRow, type EpochRow, type SealedMessage } from '../src/rows.ts'

export const goTestdata = new URL('../../../server/internal/envelope/testdata/', import.meta.url)
export const ownTestdata = new URL('../testdata/', import.meta.url)

export interface BundleDevice {
  readonly role: number
  readonly device: Device
}

export interface BundleEpoch {
  readonly row: EpochRow
  readonly wraps: Fields
}

export interface BundleMessage {
  readonly row: SealedMessage
  readonly plaintext: string
}

export interface Bundle {
  readonly devices: readonly BundleDevice[]
  readonly consents: readonly ConsentRow[]
  readonly epochs: readonly BundleEpoch[]
  readonly messages: readonly BundleMessage[]
}

export function readJson(url: URL): unknown {
  return json(readFileSync(url, 'utf8'), 'testdata')
}

export async function parseBundle(value: unknown): Promise<Bundle> {
  const bundle = fields(value, 'bundle')
  return {
    devices: await Promise.all(
      list(bundle['devices'], 'devices').map(async (row) => ({
        role: whole(fields(row, 'device'), 'role'),
        device: await importDevice(row),
      })),
    ),
    consents: list(bundle['consents'], 'consents').map(parseConsent),
    epochs: list(bundle['epochs'], 'epochs').map((row) => ({
      row: parseEpoch(row),
      wraps: fields(fields(row, 'epoch')['wraps'], 'wraps'),
    })),
    messages: list(bundle['messages'], 'messages').map((row) => ({
      row: parseSealed(row),
      plaintext: text(fields(row, 'message'), 'plaintext'),
    })),
  }
}

/** Opens an epoch of the bundle as one of its devices. */
export async function openIn(
  bundle: Bundle,
  device: Device,
  sessionId: string,
  number: number,
  options: OpenOptions = {},
): Promise<Epoch> {
  const found = bundle.epochs.find(({ row }) => row.session_id === sessionId && row.epoch === number)
  if (found === undefined) throw new Error(`the bundle has no epoch ${number}`)
  const consent = bundle.consents.find((one) => one.id === found.row.consent_id)
  const wrap = optionalText(found.wraps, device.kid) ?? undefined
  return openEpoch(found.row, wrap, consent, device, options)
}

/** Replaces what a JSON pointer names in a tree of plain objects and arrays. */
export function setPointer(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [head, ...rest] = path
  if (head === undefined) return value
  if (Array.isArray(tree)) {
    const copy: unknown[] = Array.from(list(tree, 'node'))
    copy[Number(head)] = setPointer(copy[Number(head)], rest, value)
    return copy
  }
  const node = fields(tree, 'node')
  return { ...node, [head]: setPointer(node[head], rest, value) }
}
