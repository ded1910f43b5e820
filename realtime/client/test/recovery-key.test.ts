/** The sealed recovery key, held to Go's vectors; and what a passphrase is stretched with. */
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ageRecipient } from '../src/age.ts'
import { argon2Here, serveArgon2 } from '../src/argon2-serve.ts'
import { argon2In, type Argon2, type Argon2Answer, type Argon2Call, type Argon2Worker } from '../src/argon2.ts'
import { decodeText, encodeText, sha256, utf8, type Bytes } from '../src/bytes.ts'
import { sign, verify } from '../src/device.ts'
import { EnvelopeError } from '../src/failure.ts'
import { fields, list, text, whole, type Fields } from '../src/parse.ts'
import { makeRecoveryKey, openSecrets, recoveryDevice, sealSecrets } from '../src/recovery-key.ts'
import type { RecoveryKeyRow } from '../src/rows.ts'
import { goTestdata, ownTestdata, readJson } from './bundle.ts'

const file = fields(readJson(new URL('recovery.json', goTestdata)), 'recovery')
const cases = list(file['cases'], 'cases').map((one) => fields(one, 'case'))

function rowOf(one: Fields): RecoveryKeyRow {
  return {
    version: 1, device_id: text(one, 'device_id'), memory_kib: whole(one, 'memory_kib'), passes: whole(one, 'passes'), lanes: whole(one, 'lanes'),
    salt: text(one, 'salt'), wrapped: text(one, 'wrapped'), age_recipient: '',
  }
}

/** Knows the cases' passphrases, and derives nonsense from others; counts how often it was asked. */
function knowing(): { argon2: Argon2; readonly asked: { count: number } } {
  const asked = { count: 0 }
  return {
    asked,
    argon2: (passphrase) => {
      asked.count++
      const typed = new TextDecoder().decode(passphrase)
      const known = cases.find((one) => text(one, 'nfkc') === typed)
      return known === undefined ? sha256(passphrase) : Promise.resolve(decodeText(text(known, 'kek')))
    },
  }
}

const secretsOf = (one: Fields): string => ['enc', 'sig', 'age'].map((name) => encodeText(decodeText(text(one, name)))).join(' ')
const split = (secrets: Bytes): string => [0, 32, 64].map((at) => encodeText(secrets.subarray(at, at + 32))).join(' ')

describe('Go’s recovery keys', () => {
  test.each(cases.map((one) => [text(one, 'name'), one] as const))('%s', async (_, one) => {
    const secrets = await openSecrets(rowOf(one), text(one, 'user_id'), text(one, 'passphrase'), knowing().argon2)
    expect(split(secrets)).toBe(secretsOf(one))
    const device = await recoveryDevice(secrets, { id: text(one, 'device_id'), enc_pub: text(one, 'enc_pub'), sig_pub: text(one, 'sig_pub') })
    expect(await verify(device.sig.publicKey, utf8('x'), await sign(device, utf8('x')))).toBe(true)
    expect([device.enc.privateKey.extractable, device.sig.privateKey.extractable]).toEqual([false, false])
    expect(await ageRecipient(secrets.slice(64))).toMatch(/^age1[0-9a-z]{58}$/)
  })

  test.each(list(file['forgeries'], 'forgeries').map((one) => [text(fields(one, 'forgery'), 'name'), fields(one, 'forgery')] as const))(
    'refuse %s', async (_, forgery) => {
      const one = { ...cases[whole(forgery, 'case')], ...fields(forgery['set'], 'set') }
      const known = knowing()
      const opened = openSecrets(rowOf(one), text(one, 'user_id'), text(one, 'passphrase'), known.argon2)
      const refusal = text(forgery, 'refusal')
      await expect(opened).rejects.toMatchObject({ name: 'EnvelopeError', refusal: refusal === 'open' ? 'wrap' : 'format' })
      expect(known.asked.count).toBe(refusal === 'open' ? 1 : 0) // nothing is derived from what may not be
    },
  )

  test('are refused under the keys of another row', async () => {
    const [one, other] = cases
    if (one === undefined || other === undefined) throw new Error('there are some')
    const secrets = await openSecrets(rowOf(one), text(one, 'user_id'), text(one, 'passphrase'), knowing().argon2)
    const row = { id: text(one, 'device_id'), enc_pub: text(other, 'enc_pub'), sig_pub: text(other, 'sig_pub') }
    await expect(recoveryDevice(secrets, row)).rejects.toBeInstanceOf(EnvelopeError)
  })
})

/** A Worker in this thread: what is posted is copied, as between threads. */
function worker(): Argon2Worker & { ended: boolean } {
  type Hear<T> = (event: { readonly data: T }) => void
  const calls: Hear<Argon2Call>[] = []
  const answers: Hear<Argon2Answer>[] = []
  serveArgon2({
    postMessage: (data) => { for (const hear of answers) hear({ data: structuredClone(data) }) },
    addEventListener: (_, hear) => { calls.push(hear) },
  })
  return {
    ended: false,
    postMessage(message) {
      const data = parseCall(structuredClone(message))
      for (const hear of calls) hear({ data })
    },
    addEventListener(type: 'message' | 'error', hear: Hear<Argon2Answer> | (() => void)) {
      if (type === 'message') answers.push(hear)
    },
    terminate() {
      this.ended = true
    },
  }
}

function parseCall(value: unknown): Argon2Call {
  const call = fields(value, 'call')
  const [passphrase, salt] = [call['passphrase'], call['salt']]
  if (!(passphrase instanceof Uint8Array) || !(salt instanceof Uint8Array)) throw new Error('bytes are posted')
  return {
    passphrase: new Uint8Array(passphrase), salt: new Uint8Array(salt), memoryKiB: whole(call, 'memoryKiB'), passes: whole(call, 'passes'),
    lanes: whole(call, 'lanes'),
  }
}

describe('Argon2id', () => {
  test('in the Worker gives Go’s key at full strength, and the Worker ends', async () => {
    const [, one] = cases // the one that NFKC changes
    if (one === undefined) throw new Error('there is one')
    const made = worker()
    const row = rowOf(one)
    const typed = utf8(text(one, 'nfkc'))
    const kek = await argon2In(() => made)(typed, decodeText(row.salt), { memoryKiB: row.memory_kib, passes: row.passes, lanes: row.lanes })
    expect(encodeText(kek)).toBe(text(one, 'kek'))
    expect(made.ended).toBe(true)
  }, 90_000)

  test('says what a device cannot bear, without the passphrase, and the Worker ends', async () => {
    const made = worker()
    const derived = argon2In(() => made)(utf8('correct horse'), new Uint8Array(16), { memoryKiB: 1, passes: 0, lanes: 1 })
    await expect(derived).rejects.toThrow('no key could be derived: it takes 1 KiB of memory')
    expect(made.ended).toBe(true)
  })

  test('that fails as a whole says so', async () => {
    const failing: Argon2Worker = {
      postMessage: () => undefined,
      addEventListener: (type: 'message' | 'error', hear: ((event: { readonly data: Argon2Answer }) => void) | (() => void)) => {
        if (type === 'error') queueMicrotask(() => { Reflect.apply(hear, undefined, []) })
      },
      terminate: () => undefined,
    }
    await expect(argon2In(() => failing)(new Uint8Array(1), new Uint8Array(16), { memoryKiB: 65536, passes: 3, lanes: 1 })).rejects.toThrow('failed')
  })
})

describe('a recovery key', () => {
  const weak: Argon2 = (passphrase, salt) => argon2Here(passphrase, salt, { memoryKiB: 8, passes: 1, lanes: 1 })

  test('is asked for at 64 MiB and 3 passes, opens for its person, and under no other', async () => {
    const asked: unknown[] = []
    const argon2: Argon2 = (passphrase, salt, parameters) => {
      asked.push(parameters)
      return weak(passphrase, salt, parameters)
    }
    const { device, secrets } = await makeRecoveryKey()
    const userId = crypto.randomUUID()
    const sealed = await sealSecrets(secrets, 'fünf Wörter über Käse', { userId, kid: device.kid, version: 1 }, argon2)
    const row = { ...sealed, device_id: device.kid }
    expect(asked).toEqual([{ memoryKiB: 65536, passes: 3, lanes: 1 }])
    expect(split(await openSecrets(row, userId, 'fünf Wörter über Käse'.normalize('NFD'), argon2))).toBe(split(secrets))
    await expect(openSecrets(row, crypto.randomUUID(), 'fünf Wörter über Käse', argon2)).rejects.toMatchObject({ refusal: 'wrap' })
    await expect(openSecrets(row, userId, 'funf Worter uber Kase', argon2)).rejects.toMatchObject({ refusal: 'wrap' })
    const again = await sealSecrets(secrets, 'fünf Wörter über Käse', { userId, kid: device.kid, version: 2 }, argon2)
    expect(again.salt).not.toBe(sealed.salt)
    expect(again.wrapped).not.toBe(sealed.wrapped)
  })

  test('leaves neither the passphrase nor the derived key in memory that it owns', async () => {
    const seen: Bytes[] = []
    const argon2: Argon2 = async (passphrase, salt, parameters) => {
      const key = await weak(passphrase, salt, parameters)
      seen.push(passphrase, key)
      return key
    }
    const { device, secrets } = await makeRecoveryKey()
    const userId = crypto.randomUUID()
    const sealed = await sealSecrets(secrets, 'a passphrase', { userId, kid: device.kid, version: 1 }, argon2)
    await openSecrets({ ...sealed, device_id: device.kid }, userId, 'a passphrase', argon2)
    expect(seen.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true, true, true, true])
  })

  test('of any shape is refused without anything but an EnvelopeError', async () => {
    const { device, secrets } = await makeRecoveryKey()
    const userId = crypto.randomUUID()
    const row = { ...(await sealSecrets(secrets, 'a passphrase', { userId, kid: device.kid, version: 1 }, weak)), device_id: device.kid }
    const random = (most: number): number => Math.floor(Math.random() * most)
    const mangle = (value: string): string => {
      const i = random(value.length)
      return `${value.slice(0, i)}${['A', '!', '', '_-', 'é'][random(5)] ?? ''}${value.slice(i + 1)}`
    }
    for (let i = 0; i < 80; i++) {
      const forged = { ...row, [i % 2 === 0 ? 'wrapped' : 'salt']: mangle(i % 2 === 0 ? row.wrapped : row.salt) }
      const same = forged.wrapped === row.wrapped && forged.salt === row.salt
      const opened = openSecrets(forged, userId, 'a passphrase', weak)
      if (same) await opened
      else await expect(opened).rejects.toBeInstanceOf(EnvelopeError)
    }
  })

  test('made by WebCrypto is there for Go to open', async () => {
    const kept = new URL('recovery-webcrypto.json', ownTestdata)
    if (process.env['UPDATE_VECTORS'] === '1') writeFileSync(kept, `${JSON.stringify(await vectors(), null, 2)}\n`)
    const found = fields(readJson(kept), 'recovery')
    for (const value of list(found['cases'], 'cases')) {
      const one = fields(value, 'case')
      const kek: Argon2 = () => Promise.resolve(decodeText(text(one, 'kek')))
      expect(split(await openSecrets(rowOf(one), text(one, 'user_id'), text(one, 'passphrase'), kek))).toBe(secretsOf(one))
    }
  }, 120_000)
})

/** A recovery key with everything that is in it, under the real Argon2id. */
async function vectors(): Promise<unknown> {
  const made = []
  for (const [name, passphrase] of [['as a browser sets it', 'vier Wörter über ﬁsche'], ['another', 'correct horse battery staple']] as const) {
    const { device, secrets } = await makeRecoveryKey()
    const userId = crypto.randomUUID()
    let kek = ''
    const argon2: Argon2 = async (typed, salt, parameters) => {
      const key = await argon2Here(typed, salt, parameters)
      kek = encodeText(key)
      return key
    }
    const sealed = await sealSecrets(secrets, passphrase, { userId, kid: device.kid, version: 1 }, argon2)
    const [enc, sig, age] = split(secrets).split(' ')
    made.push({
      name, user_id: userId, device_id: device.kid, memory_kib: sealed.memory_kib, passes: sealed.passes, lanes: sealed.lanes, salt: sealed.salt,
      wrapped: sealed.wrapped, passphrase, nfkc: passphrase.normalize('NFKC'), kek, enc, sig, age, enc_pub: device.encPub, sig_pub: device.sigPub,
    })
  }
  return { note: 'Test keys and passphrases, made by WebCrypto; read by both ends. Refresh: UPDATE_VECTORS=1 npx vitest run', cases: made, forgeries: [] }
}
