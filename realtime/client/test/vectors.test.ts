import { describe, expect, test } from 'vitest'
import { verifyWithdrawal } from '../src/consent.ts'
import { importDevice } from '../src/device.ts'
import { openEpoch, openFirstVector } from '../src/epoch.ts'
import { openMessage, parseContent } from '../src/message.ts'
import { fields, list, text, whole } from '../src/parse.ts'
import { parseEpoch } from '../src/rows.ts'
import { goTestdata, openIn, ownTestdata, parseBundle, readJson } from './bundle.ts'

const decoder = new TextDecoder()

describe('vectors', () => {
  test.each([
    ['made by Go', new URL('pe1-go.json', goTestdata)],
    ['made by WebCrypto', new URL('pe1-webcrypto.json', ownTestdata)],
  ])('%s open as every device', async (_, url) => {
    const bundle = await parseBundle(readJson(url))
    expect(bundle.messages.length).toBeGreaterThanOrEqual(3)
    for (const { device } of bundle.devices) {
      for (const { row, plaintext } of bundle.messages) {
        const epoch = bundle.epochs.find((one) => one.row.session_id === row.session_id && one.row.epoch === row.epoch)
        if (epoch?.wraps[device.kid] === undefined) continue // a strict session: the analysis device is not on its roster
        const opened = await openMessage(await openIn(bundle, device, row.session_id, row.epoch), row)
        expect(decoder.decode(opened)).toBe(plaintext)
        expect(parseContent(opened).kind).toBe('text')
      }
    }
  })

  test('withdrawals made by Go verify, and a consent does not pass as one', async () => {
    const bundle = await parseBundle(readJson(new URL('pe1-go.json', goTestdata)))
    const withdrawn = bundle.consents.filter((consent) => consent.withdrawal_signature !== null)
    expect(withdrawn).toHaveLength(1)
    for (const consent of withdrawn) {
      const signer = bundle.devices.find(({ device }) => device.kid === consent.device_id)
      if (signer === undefined) throw new Error('signer is missing')
      const key = signer.device.sig.publicKey
      expect(await verifyWithdrawal(consent, key)).toBe(true)
      expect(await verifyWithdrawal({ ...consent, withdrawal_signature: consent.signature }, key)).toBe(false)
    }
  })

  test('the first vector, of suite 1, opens only through its own door', async () => {
    const vector = fields(readJson(new URL('pe1-p256.json', goTestdata)), 'vector')
    const roster = list(vector['roster'], 'roster').map((value) => {
      const member = fields(value, 'member')
      return { kid: text(member, 'kid'), role: whole(member, 'role'), enc_pub: text(member, 'pub'), sig_pub: text(member, 'sig') }
    })
    const row = parseEpoch({
      session_id: vector['session'], epoch: vector['epoch'], device_id: vector['by'], roster,
      roster_hash: vector['rosterHash'], key_commit: vector['commit'], signature: vector['epochSig'], suite: 1,
    })
    const kid = text(vector, 'analysisKid')
    const encPub = roster.find((member) => member.kid === kid)?.enc_pub ?? ''
    // The vector's analysis device has no signing key; the importer wants one, so it borrows the encryption key.
    const secret = text(vector, 'analysisPrivateKey')
    const device = await importDevice({ kid, enc: secret, enc_pub: encPub, sig: secret, sig_pub: encPub })
    const wrap = text(fields(vector['wraps'], 'wraps'), kid)
    const epoch = await openFirstVector(row, wrap, device)
    for (const value of list(vector['messages'], 'messages')) {
      const m = fields(value, 'message')
      const opened = await openMessage(epoch, {
        id: text(m, 'id'), session_id: text(m, 'session'), sender_device_id: text(m, 'sender'),
        epoch: whole(m, 'epoch'), seq: whole(m, 'seq'), body: text(m, 'body'),
      })
      expect(decoder.decode(opened)).toBe(text(m, 'plaintext'))
    }
    await expect(openEpoch(row, wrap, undefined, device)).rejects.toMatchObject({ refusal: 'suite' })
  })
})
