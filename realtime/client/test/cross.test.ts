/** Cross-signatures and grants, held to Go's bytes and forgeries by vectors; and what people compare by eye. */
import { describe, expect, test } from 'vitest'
import { readCode } from '../src/approval.ts'
import { PointBytes, decodeSized, encodeText } from '../src/bytes.ts'
import { deviceSigned, signDevice, verifyDevice, type DeviceTerms } from '../src/cross.ts'
import { importDevice, importEncPub, makeDevice } from '../src/device.ts'
import { makeEpoch, openEpoch } from '../src/epoch.ts'
import { EnvelopeError } from '../src/failure.ts'
import { grantSigned, signGrant, verifyGrant, type GrantTerms } from '../src/grant.ts'
import { fields, id, list, optionalId, optionalText, text, whole, type Fields } from '../src/parse.ts'
import { Role, parseRoster } from '../src/roster.ts'
import { DeviceKind, parseConsent, parseEpoch } from '../src/rows.ts'
import { deviceCode, safetyNumber } from '../src/safety.ts'
import { rewrapEpoch } from '../src/share.ts'
import { goTestdata, readJson } from './bundle.ts'

const file = fields(readJson(new URL('signatures.json', goTestdata)), 'signatures')
const all = (name: string): readonly Fields[] => list(file[name], name).map((one) => fields(one, name))
const of = (kind: string): readonly Fields[] => all('signatures').filter((one) => text(one, 'kind') === kind)

/** Whose analysis keys are, as Go writes it. */
const nobody = '00000000-0000-0000-0000-000000000000'

function deviceTerms(row: Fields): DeviceTerms {
  const kind = Object.values(DeviceKind).find((known) => known === row['kind']) ?? DeviceKind.analysis
  const user = text(row, 'user_id')
  return { id: text(row, 'device_id'), user_id: user === nobody ? null : user, kind, enc_pub: text(row, 'enc_pub'), sig_pub: text(row, 'sig_pub') }
}

function grantTerms(row: Fields): GrantTerms {
  return {
    session_id: id(row, 'session_id'), epoch: whole(row, 'epoch'), by_device_id: id(row, 'by_device_id'), device_id: id(row, 'device_id'),
    role: whole(row, 'role'), alert_id: optionalId(row, 'alert_id'), wrap: text(row, 'wrap'),
  }
}

describe('Go’s cross-signatures', () => {
  test.each(of('device').map((one) => [text(one, 'name'), one] as const))('%s', async (_, one) => {
    const terms = fields(one['terms'], 'terms')
    const row = deviceTerms(terms)
    const by = text(terms, 'by_device_id')
    expect(await verifyDevice(row, { id: by, sig_pub: text(one, 'key') }, text(one, 'signature'))).toBe(text(one, 'refusal') === '')
    const bytes = optionalText(one, 'bytes')
    if (bytes !== null) expect(encodeText(await deviceSigned(row, by))).toBe(bytes)
  })

  test('are many, and most of them forged', () => {
    for (const kind of ['device', 'grant']) {
      const refusals = of(kind).map((one) => text(one, 'refusal'))
      expect(refusals.filter((one) => one === '').length).toBeGreaterThan(1)
      expect(refusals.filter((one) => one !== '').length).toBeGreaterThan(8)
    }
  })
})

describe('Go’s grants', () => {
  test.each(of('grant').map((one) => [text(one, 'name'), one] as const))('%s', async (_, one) => {
    const terms = grantTerms(fields(one['terms'], 'terms'))
    expect(await verifyGrant(terms, text(one, 'key'), text(one, 'signature'))).toBe(text(one, 'refusal') === '')
    const bytes = optionalText(one, 'bytes')
    if (bytes !== null) expect(encodeText(await grantSigned(terms))).toBe(bytes)
  })

  test('open their epoch for the device that they name', async () => {
    const good = of('grant').filter((one) => text(one, 'refusal') === '').map((one) => grantTerms(fields(one['terms'], 'terms')))
    for (const terms of good) {
      const device = await importDevice(all('devices').find((one) => one['kid'] === terms.device_id))
      const epoch = parseEpoch({
        suite: 2, created_at: null, ...all('epochs').find((one) => one['session_id'] === terms.session_id && one['epoch'] === terms.epoch),
      })
      const consent = all('consents').find((one) => one['id'] === epoch.consent_id)
      const given = consent === undefined ? undefined : parseConsent({ withdrawal_signature: null, ...consent })
      expect((await openEpoch(epoch, terms.wrap, given, device)).number).toBe(terms.epoch)
    }
    expect(good.length).toBeGreaterThan(1)
  })
})

describe('an epoch wrapped anew', () => {
  test('opens for that device and no other, and a bit of the wrap is what the signature covers', async () => {
    const [mine, next, other] = [await makeDevice(), await makeDevice(), await makeDevice()]
    const roster = await parseRoster([{ kid: mine.kid, role: Role.client, enc_pub: mine.encPub, sig_pub: mine.sigPub }])
    const { row } = await makeEpoch(mine, { sessionId: crypto.randomUUID(), number: 4, roster, consentId: null })
    const epoch = { ...row, created_at: null }
    const to = { kid: next.kid, encKey: await importEncPub(decodeSized('enc_pub', next.encPub, PointBytes)) }
    const wrap = await rewrapEpoch(epoch, row.wraps[mine.kid], undefined, mine, to)
    expect((await openEpoch(epoch, wrap, undefined, next)).roster.map((one) => one.kid)).toEqual([mine.kid])
    await expect(openEpoch(epoch, wrap, undefined, other)).rejects.toThrow(EnvelopeError)
    await expect(rewrapEpoch({ ...epoch, epoch: 5 }, row.wraps[mine.kid], undefined, mine, to)).rejects.toMatchObject({ refusal: 'signature' })

    const terms: GrantTerms = {
      session_id: epoch.session_id, epoch: 4, by_device_id: mine.kid, device_id: next.kid, role: Role.client, alert_id: null, wrap,
    }
    const signature = await signGrant(mine, terms)
    expect(await verifyGrant(terms, mine.sigPub, signature)).toBe(true)
    expect(await verifyGrant({ ...terms, wrap: `${wrap.slice(0, 5)}${wrap[5] === 'A' ? 'B' : 'A'}${wrap.slice(6)}` }, mine.sigPub, signature)).toBe(false)
    await expect(signGrant(next, terms)).rejects.toMatchObject({ refusal: 'format' })
  })
})

describe('a device', () => {
  test('cannot vouch for itself, nor for one of nobody, nor for an analysis key as a person’s', async () => {
    const device = await makeDevice()
    const row = { id: device.kid, user_id: crypto.randomUUID(), kind: DeviceKind.participant, enc_pub: device.encPub, sig_pub: device.sigPub }
    await expect(signDevice(device, row)).rejects.toMatchObject({ refusal: 'format' })
    const by = await makeDevice()
    await expect(signDevice(by, { ...row, kind: DeviceKind.analysis })).rejects.toMatchObject({ refusal: 'format' })
    await expect(signDevice(by, { ...row, user_id: null })).rejects.toMatchObject({ refusal: 'format' })
    expect(await verifyDevice(row, { id: by.kid, sig_pub: by.sigPub }, await signDevice(by, row))).toBe(true)
  })

  test('of any shape is refused without an exception', async () => {
    const [device, by] = [await makeDevice(), await makeDevice()]
    const row = { id: device.kid, user_id: crypto.randomUUID(), kind: DeviceKind.participant, enc_pub: device.encPub, sig_pub: device.sigPub }
    const signature = await signDevice(by, row)
    const mangle = (value: string, i: number): string => `${value.slice(0, i)}${'A!_'.charAt(i % 3)}${value.slice(i + 1 + (i % 2))}`
    for (let i = 0; i < 60; i++) {
      const fieldsOf = [{ ...row, enc_pub: mangle(row.enc_pub, i) }, { ...row, id: mangle(row.id, i % 36) }, { ...row, user_id: mangle(row.user_id, i % 36) }]
      for (const forged of fieldsOf) {
        const [id, user] = [forged.id.toLowerCase(), forged.user_id.toLowerCase()] // a uuid may be in capitals
        const same = forged.enc_pub === row.enc_pub && id === row.id && user === row.user_id
        expect(await verifyDevice(forged, { id: by.kid, sig_pub: by.sigPub }, signature)).toBe(same)
      }
      const mangled = mangle(signature, i)
      expect(await verifyDevice(row, { id: by.kid, sig_pub: by.sigPub }, mangled)).toBe(mangled === signature)
    }
  })
})

describe('what people compare', () => {
  test('is what Go shows', async () => {
    const keys = new Map(all('devices').map((one) => [text(one, 'kid'), { id: text(one, 'kid'), enc_pub: text(one, 'enc_pub'), sig_pub: text(one, 'sig_pub') }]))
    const some = (kid: unknown): { id: string; enc_pub: string; sig_pub: string } => {
      const found = keys.get(String(kid))
      if (found === undefined) throw new Error('the vectors have the device')
      return found
    }
    for (const one of all('safety')) {
      const devices = list(one['devices'], 'devices').map(some)
      expect(await safetyNumber(devices)).toBe(text(one, 'number'))
      expect(await safetyNumber(devices.toReversed())).toBe(text(one, 'number'))
    }
    for (const one of all('codes')) {
      expect(await deviceCode({ ...some(one['device_id']), user_id: text(one, 'user_id') })).toBe(text(one, 'code'))
    }
    expect([all('safety').length, all('codes').length].every((count) => count > 1)).toBe(true)
  })

  test('a code may be typed carelessly', () => {
    expect(readCode(' dkvm 1anb-O3ow')).toBe('DKVM-1ANB-030W')
    expect(readCode('DKVMLANB030W')).toBe('DKVM-1ANB-030W')
  })
})
