/** What is inside a message: parsed from what another person's device sealed, so from outside. */
import { describe, expect, test } from 'vitest'
import { decodeText, encodeText, utf8 } from '../src/bytes.ts'
import { EnvelopeError, Refusal } from '../src/failure.ts'
import { fields, list, optionalText, text, whole as number } from '../src/parse.ts'
import { parseContent, rowHash, textContent, type AttachedFile } from '../src/message.ts'
import { SeenRows } from '../src/seen.ts'
import type { MessageRow } from '../src/rows.ts'
import { goTestdata, readJson } from './bundle.ts'

const hash = encodeText(new Uint8Array(8))
const file: AttachedFile = {
  id: crypto.randomUUID(), key: encodeText(new Uint8Array(32)), name: 'report.pdf', type: 'application/pdf', bytes: 9,
  sha256: encodeText(new Uint8Array(32)),
}
const content = (more: object): Uint8Array<ArrayBuffer> => utf8(JSON.stringify({ t: 'text', body: 'x', ts: 1, ...more }))

const table = list(fields(readJson(new URL('content.json', goTestdata)), 'table')['contents'], 'contents').map((value) => {
  const row = fields(value, 'content')
  const bytes = optionalText(row, 'bytes')
  const refusal = optionalText(row, 'refusal')
  const read = refusal === null ? { kind: text(row, 'kind'), body: text(row, 'body'), at: new Date(number(row, 'ts') * 1000) } : null
  return { name: text(row, 'name'), plaintext: bytes === null ? utf8(text(row, 'text')) : decodeText(bytes), refusal, read }
})

describe('what the sidecar reads is what is shown, or neither reads it', () => {
  test.each(table)('$name', ({ plaintext, refusal, read }) => {
    if (read !== null) expect(parseContent(plaintext)).toEqual({ ...read, files: [], seen: [] })
    else expect(() => parseContent(plaintext)).toThrow(expect.objectContaining({ refusal }))
  })

  test('content of any depth is refused at once', () => {
    expect(table.length).toBeGreaterThan(60)
    for (const n of [9, 9000, 100_000]) {
      expect(() => parseContent(utf8(`{"t":"text","body":"x","ts":1,"more":${'['.repeat(n)}${']'.repeat(n)}}`))).toThrow(expect.objectContaining({ refusal: Refusal.format }))
    }
  })

  test('what was cut in half as it was typed is sent so that all read it', () => {
    expect(parseContent(textContent('a\ud83cb\udf19', new Date(0))).body).toBe('a\ufffdb\ufffd')
    expect(parseContent(textContent('\ufeffa\u0000', new Date(0))).body).toBe('\ufeffa\u0000')
  })
})

describe('content', () => {
  test('carries what was seen and files, and nothing where there is none', () => {
    const at = new Date(1790000000000)
    const seen = [[7, hash], [8, hash]] as const
    expect(parseContent(textContent('hello', at, { seen, files: [file] }))).toEqual({ kind: 'text', body: 'hello', at, seen, files: [file] })
    expect(new TextDecoder().decode(textContent('hello', at))).toBe('{"t":"text","body":"hello","ts":1790000000}')
    expect(parseContent(content({ later: { versions: 'know more' } }))).toMatchObject({ body: 'x', seen: [], files: [] })
  })

  test.each([
    ['seen is no list', { seen: 'x' }], ['nine were seen', { seen: Array(9).fill([1, hash]) }], ['a place without a hash', { seen: [[1]] }],
    ['a place that is no number', { seen: [['1', hash]] }], ['a hash of another length', { seen: [[1, 'AAAA']] }],
    ['eleven files', { files: Array(11).fill(file) }], ['a file without a key', { files: [{ ...file, key: undefined }] }],
    ['a key of another length', { files: [{ ...file, key: hash }] }], ['a name that is a path', { files: [{ ...file, name: '../../etc/passwd' }] }],
    ['a name with a backslash', { files: [{ ...file, name: 'a\\b' }] }], ['a negative size', { files: [{ ...file, bytes: -1 }] }],
    ['an id that is none', { files: [{ ...file, id: 'x' }] }], ['no body', { body: null }], ['no kind', { t: '' }],
  ])('refuses %s', (_, more) => {
    expect(() => parseContent(content(more))).toThrow(EnvelopeError)
  })

  test('whatever bytes come, it is read or refused, and nothing else is thrown', () => {
    const whole = textContent('hello', new Date(), { seen: [[7, hash]], files: [file] })
    let state = 5
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state % below
    }
    let read = 0
    for (let i = 0; i < 4000; i++) {
      const bytes = whole.slice(0, random(4) === 0 ? random(whole.length) : whole.length)
      for (let j = random(3); j >= 0; j--) if (bytes.length > 0) bytes[random(bytes.length)] = 32 + random(95)
      try {
        const { seen, files } = parseContent(bytes)
        expect([seen.length <= 8, files.length <= 10]).toEqual([true, true])
        read++
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(EnvelopeError)
      }
    }
    expect(read).toBeGreaterThan(100)
  })
})

const row = (position: number, body = encodeText(utf8(`body ${position}`))): MessageRow => ({
  id: `00000000-0000-4000-8000-${String(position).padStart(12, '0')}`, session_id: '', sender_id: '', sender_device_id: '', epoch: 1, seq: 0, body,
  position, assisted: false, created_at: '',
})

describe('seen', () => {
  test('names the last eight that were verified, and knows its own again', async () => {
    const seen = new SeenRows()
    for (let i = 1; i <= 12; i++) await seen.shown(row(i), i !== 10)
    expect(seen.recent.map(([position]) => position)).toEqual([4, 5, 6, 7, 8, 9, 11, 12])
    expect(seen.compare(row(13), seen.recent)).toEqual({ split: [], withheld: [] })
    expect(await rowHash(row(4))).toBe(seen.recent[0]?.[1])
    expect(await rowHash(row(4))).not.toBe(await rowHash({ ...row(4), body: row(5).body }))
  })

  test('history that does not begin with the first message is not taken for withheld', async () => {
    const seen = new SeenRows()
    for (const position of [5, 7]) await seen.shown(row(position), true)
    expect(seen.compare(row(8), [[3, hash], [4, hash], [6, hash]])).toEqual({ split: [], withheld: [6] })
  })

  test('a body that is no base64url was verified by nobody, and keeps its place', async () => {
    const seen = new SeenRows()
    await seen.shown(row(1), true)
    await seen.shown(row(2, '%%%'), false)
    expect(seen.compare(row(3), [[2, hash]])).toEqual({ split: [2], withheld: [] })
    expect(seen.compare(row(4), [[2, hash]])).toEqual({ split: [], withheld: [] })
  })
})
