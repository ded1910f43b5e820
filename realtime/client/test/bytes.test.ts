import { describe, expect, test } from 'vitest'
import { compare, decodeText, encodeText, equal, uint32, uuidBytes } from '../src/bytes.ts'
import { parseRoster } from '../src/roster.ts'
import { parseContent, textContent } from '../src/message.ts'
import { utf8 } from '../src/bytes.ts'

describe('bytes', () => {
  test('base64url is that of Node, for every length and byte', () => {
    for (let length = 0; length < 70; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length * 11) % 256)
      const text = Buffer.from(bytes).toString('base64url')
      expect(encodeText(bytes)).toBe(text)
      expect(equal(decodeText(text), bytes)).toBe(true)
    }
  })

  test.each(['A', 'AB', 'AAB', 'AA=', 'AA==', 'A+', 'A/', 'AA\n', ' AA', 'ÄA', 'AAAAA'])('%j is refused', (text) => {
    expect(() => decodeText(text)).toThrow(expect.objectContaining({ refusal: 'format' }))
  })

  test('uuids and numbers', () => {
    expect(Buffer.from(uuidBytes('00010203-0405-0607-0809-0A0b0c0d0e0f')).toString('hex')).toBe('000102030405060708090a0b0c0d0e0f')
    expect([...uint32(4_294_967_295)]).toEqual([255, 255, 255, 255])
    expect([...uint32(1)]).toEqual([0, 0, 0, 1])
    for (const bad of [-1, 0.5, 2 ** 32, Number.NaN]) expect(() => uint32(bad)).toThrow()
    for (const bad of ['', '0001020304050607080900a0b0c0d0e0f', '{00010203-0405-0607-0809-0a0b0c0d0e0f}']) {
      expect(() => uuidBytes(bad)).toThrow()
    }
    expect(compare(Uint8Array.of(1, 2), Uint8Array.of(1, 255))).toBeLessThan(0)
  })

  test('content comes back, and what is none is refused without a word of it', () => {
    const at = new Date(1790000000000)
    expect(parseContent(textContent('grüße "🌙" <b>', at))).toEqual({ kind: 'text', body: 'grüße "🌙" <b>', at, files: [], seen: [] })
    for (const bad of ['secret', '{"t":""}', '{"body":"secret"}', '[]', 'null']) {
      expect(() => parseContent(utf8(bad))).toThrow(expect.objectContaining({ refusal: 'format' }))
      expect(() => parseContent(utf8(bad))).not.toThrow(/secret/)
    }
  })

  test.each([[null], [{}], [[null]], [[{ kid: 1 }]], [[{ kid: 'x', role: 1 }]], [Array.from({ length: 65 }, () => ({}))]])(
    'roster %j is refused',
    async (value) => {
      await expect(parseRoster(value)).rejects.toMatchObject({ refusal: 'format' })
    },
  )
})
