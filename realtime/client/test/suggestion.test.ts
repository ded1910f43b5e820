/** What testdata/suggestions-webcrypto.json, which Go opens, is made of (UPDATE_VECTORS=1 writes it anew), and what Go made. */
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { makeDevice } from '../src/device.ts'
import { Refusal } from '../src/failure.ts'
import { fields, list, oneOf, text, whole } from '../src/parse.ts'
import { Role } from '../src/roster.ts'
import { openSuggestion } from '../src/suggestion.ts'
import { goTestdata, ownTestdata, parseBundle, readJson, type BundleDevice } from './bundle.ts'
import { seal } from './seal.ts'
import { testDevice } from './test-device.ts'

interface Vectors {
  readonly devices: readonly BundleDevice[]
  readonly suggestions: readonly (ReturnType<typeof parseSeal> & { readonly plaintext: string })[]
}

function parseSeal(value: unknown) {
  const row = fields(value, 'seal')
  return {
    suggestion_id: text(row, 'suggestion_id'), device_id: text(row, 'device_id'), session_id: text(row, 'session_id'),
    message_id: text(row, 'message_id'), sealed: text(row, 'sealed'), signature: text(row, 'signature'),
  }
}

async function parseVectors(value: unknown): Promise<Vectors> {
  const file = fields(value, 'vectors')
  const { devices } = await parseBundle({ devices: file['devices'], consents: [], epochs: [], messages: [] })
  return {
    devices,
    suggestions: list(file['suggestions'], 'suggestions').map((row) => ({ ...parseSeal(row), plaintext: text(fields(row, 'seal'), 'plaintext') })),
  }
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it is missing')
  return value
}

function deviceOf(vectors: Vectors, kid: string) {
  return found(vectors.devices.find((one) => one.device.kid === kid)).device
}

function signersOf(vectors: Vectors): CryptoKey[] {
  return vectors.devices.filter((one) => one.role === Role.analysis).map((one) => one.device.sig.publicKey)
}

const goFile = readJson(new URL('suggestions-go.json', goTestdata))
const go = await parseVectors(goFile)

describe('suggestion', () => {
  test.each([
    ['made by Go', new URL('suggestions-go.json', goTestdata)],
    ['made by WebCrypto', new URL('suggestions-webcrypto.json', ownTestdata)],
  ])('%s opens on the device that it is sealed to', async (_, url) => {
    const vectors = await parseVectors(readJson(url))
    expect(vectors.suggestions.length).toBeGreaterThanOrEqual(3)
    for (const { plaintext, ...row } of vectors.suggestions) {
      expect(await openSuggestion(deviceOf(vectors, row.device_id), signersOf(vectors), row)).toBe(plaintext)
    }
  })

  const forgeries = list(fields(goFile, 'vectors')['forgeries'], 'forgeries').map((value) => {
    const row = fields(value, 'forgery')
    return { name: text(row, 'name'), at: whole(row, 'suggestion'), set: fields(row['set'], 'set'), refusal: oneOf(row, 'refusal', Refusal) }
  })

  test('the table of forgeries is the whole one', () => {
    expect(forgeries.length).toBeGreaterThanOrEqual(15)
  })

  test.each(forgeries)('$name is refused as $refusal', async ({ at, set, refusal }) => {
    const good = found(go.suggestions[at])
    const forged = parseSeal({ ...good, ...set })
    await expect(openSuggestion(deviceOf(go, good.device_id), signersOf(go), forged)).rejects.toMatchObject({ refusal })
  })

  test('any of the signers may have signed it, and without one it is refused', async () => {
    const [{ plaintext, ...row }, other] = [found(go.suggestions[0]), await makeDevice()]
    const device = deviceOf(go, row.device_id)
    expect(await openSuggestion(device, [other.sig.publicKey, ...signersOf(go)], row)).toBe(plaintext)
    await expect(openSuggestion(device, [other.sig.publicKey], row)).rejects.toMatchObject({ refusal: 'signature' })
    await expect(openSuggestion(device, [], row)).rejects.toMatchObject({ refusal: 'signature' })
    const long = { ...row, sealed: 'A'.repeat(32769) }
    await expect(openSuggestion(device, signersOf(go), long)).rejects.toMatchObject({ refusal: 'format' })
  })

  test('vectors made by WebCrypto are up to date', async () => {
    const [therapist, second, analysis] = [await testDevice(Role.therapist), await testDevice(Role.therapist), await testDevice(Role.analysis)]
    const place = () => ({ suggestion_id: crypto.randomUUID(), session_id: crypto.randomUUID(), message_id: crypto.randomUUID() })
    const suggestions = []
    for (const [to, plaintext] of [[therapist, 'What would help tonight?'], [second, 'grüße, 🌙 "quoted" <b>\nand a second line'], [therapist, 'a']] as const) {
      suggestions.push({ ...(await seal(analysis.device, to.device, place(), plaintext)), plaintext })
    }
    const made = {
      note: 'Test keys and sealed suggestions, made by WebCrypto; read by both ends. Refresh: UPDATE_VECTORS=1 npx vitest run',
      devices: [therapist, second, analysis].map((one) => one.json), suggestions,
    }
    const file = new URL('suggestions-webcrypto.json', ownTestdata)
    if (process.env['UPDATE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`)
    const [kept, fresh] = [await parseVectors(readJson(file)), await parseVectors(made)]
    expect(kept.suggestions.map((one) => one.plaintext)).toEqual(fresh.suggestions.map((one) => one.plaintext))
  })
})
