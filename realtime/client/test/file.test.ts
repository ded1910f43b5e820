/** The bytes of an attachment: what is opened is what was sealed, and nothing else opens. */
import { describe, expect, test } from 'vitest'
import { concat, encodeText, equal, sha256, type Bytes } from '../src/bytes.ts'
import { EnvelopeError, Refusal } from '../src/failure.ts'
import { MaxFileBytes, MaxNameCharacters, MaxSealedBytes, openSealedFile, openSize, safeName, safeType, sealFile } from '../src/file.ts'
import { parseFile, type AttachedFile } from '../src/message.ts'

const Chunk = 1 << 16
const Tag = 16
const sessionId = crypto.randomUUID()

/** Bytes that differ from place to place. */
function bytesOf(size: number): Bytes {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2654435761)
  return new Uint8Array(words.buffer, 0, size)
}

async function sealed(size: number, content = bytesOf(size)): Promise<{ body: Bytes; file: AttachedFile }> {
  const made = await sealFile(sessionId, new File([content], 'letter.pdf', { type: 'application/pdf' }))
  return { body: new Uint8Array(await made.body.arrayBuffer()), file: made.file }
}

/** A file that names this body as its own, as a storage that wants to be believed could not, but a sender could. */
async function claiming(file: AttachedFile, body: Bytes): Promise<AttachedFile> {
  return { ...file, bytes: body.length, sha256: encodeText(await sha256(body)) }
}

async function refusalOf(open: Promise<unknown>): Promise<string> {
  const thrown: unknown = await open.then(() => 'it opened', (reason: unknown) => reason)
  return thrown instanceof EnvelopeError ? thrown.refusal : String(thrown)
}

describe('a sealed file', () => {
  const sizes = [0, 1, 15, Chunk - 1, Chunk, Chunk + 1, 3 * Chunk, 3 * Chunk + 5, 20_000_000]
  test.each(sizes)('of %i bytes opens as it was', async (size) => {
    const content = bytesOf(size)
    const { body, file } = await sealed(size, content)
    expect(body.length).toBe(size + Math.max(1, Math.ceil(size / Chunk)) * Tag)
    expect([file.bytes, openSize(file.bytes)]).toEqual([body.length, size])
    const blob = await openSealedFile(sessionId, parseFile(JSON.parse(JSON.stringify(file))), new Blob([body]))
    expect([blob.size, blob.type]).toEqual([size, 'application/pdf'])
    expect(Buffer.compare(new Uint8Array(await blob.arrayBuffer()), content)).toBe(0)
  })

  test('does not show what is in it, nor twice the same', async () => {
    const [one, other] = [await sealed(1000), await sealed(1000)]
    expect(equal(one.body, other.body)).toBe(false)
    expect(Array.from(one.body).join()).not.toContain(Array.from(bytesOf(1000).subarray(0, 16)).join())
    expect(one.file.key).not.toBe(other.file.key)
  })

  test('is refused with one bit changed, wherever, even if its hash were right', async () => {
    const { body, file } = await sealed(2 * Chunk + 100)
    for (const at of [0, 100, Chunk - 1, Chunk, Chunk + Tag - 1, Chunk + Tag, 2 * (Chunk + Tag), body.length - 1]) {
      const changed = body.slice()
      changed[at] = (changed[at] ?? 0) ^ (1 << at % 8)
      expect(await refusalOf(openSealedFile(sessionId, file, new Blob([changed]))), `at ${at}`).toBe(Refusal.body)
      const claimed = await claiming(file, changed)
      expect(await refusalOf(openSealedFile(sessionId, claimed, new Blob([changed]))), `claimed, at ${at}`).toBe(Refusal.body)
    }
  })

  const whole = Chunk + Tag
  const moves: Readonly<Record<string, (body: Bytes) => Bytes>> = {
    'its last chunk cut off': (body) => body.subarray(0, 2 * whole),
    'all but its first chunk cut off': (body) => body.subarray(0, whole),
    'a chunk cut short': (body) => body.subarray(0, body.length - 1),
    'only a tag left of the last': (body) => body.subarray(0, 2 * whole + Tag),
    'two chunks in another order': (body) => concat(body.subarray(whole, 2 * whole), body.subarray(0, whole), body.subarray(2 * whole)),
    'a chunk twice': (body) => concat(body.subarray(0, whole), body.subarray(0, whole), body.subarray(whole)),
    'a chunk left out': (body) => concat(body.subarray(0, whole), body.subarray(2 * whole)),
    'something added': (body) => concat(body, new Uint8Array(40)),
    'nothing of it': () => new Uint8Array(0),
    'less than a tag': () => new Uint8Array(15),
  }
  test.each(Object.entries(moves))('is refused with %s', async (_, move) => {
    const { body, file } = await sealed(2 * Chunk + 100)
    const moved = move(body).slice()
    expect(await refusalOf(openSealedFile(sessionId, file, new Blob([moved])))).toBe(Refusal.body)
    expect(await refusalOf(openSealedFile(sessionId, await claiming(file, moved), new Blob([moved])))).toBe(Refusal.body)
  })

  test('is refused under another session, another id, another key, or as another file', async () => {
    const [one, other] = [await sealed(500), await sealed(500)]
    const blob = new Blob([one.body])
    expect(await refusalOf(openSealedFile(crypto.randomUUID(), one.file, blob))).toBe(Refusal.body)
    expect(await refusalOf(openSealedFile(sessionId, { ...one.file, id: other.file.id }, blob))).toBe(Refusal.body)
    expect(await refusalOf(openSealedFile(sessionId, { ...one.file, key: other.file.key }, blob))).toBe(Refusal.body)
    expect(await refusalOf(openSealedFile(sessionId, one.file, new Blob([other.body])))).toBe(Refusal.body)
    expect(await refusalOf(openSealedFile(sessionId, { ...one.file, key: 'short' }, blob))).toBe(Refusal.format)
  })

  test('of random bytes is refused, and never opens', async () => {
    const { file } = await sealed(10)
    for (let i = 0; i < 200; i++) {
      const body = crypto.getRandomValues(new Uint8Array(i * 7))
      expect(await refusalOf(openSealedFile(sessionId, await claiming(file, body), new Blob([body])))).toBe(Refusal.body)
    }
  })

  test('is of a size that the bucket takes', async () => {
    const most = new File([new Uint8Array(MaxFileBytes)], 'most')
    const { body } = await sealFile(sessionId, most)
    expect(body.size).toBeLessThanOrEqual(MaxSealedBytes)
    const more = new File([new Uint8Array(MaxFileBytes + 1)], 'more')
    expect(await refusalOf(sealFile(sessionId, more))).toBe(Refusal.format)
  })
})

describe('what the sender says of a file', () => {
  test('its type runs nothing in the page that shows it', () => {
    expect(['image/png', 'application/pdf', 'text/plain; charset=utf-8', 'IMAGE/JPEG'].map(safeType)).toEqual([
      'image/png', 'application/pdf', 'text/plain', 'image/jpeg',
    ])
    for (const type of ['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/javascript', 'text/xml', '', 'image/png\ntext/html', 'nonsense']) {
      expect(safeType(type), type).toBe('application/octet-stream')
    }
  })

  test('its name holds no path, hides no ending, and is short', () => {
    const names: Readonly<Record<string, string>> = {
      'letter.pdf': 'letter.pdf', '../../etc/passwd': 'passwd', 'C:\\Users\\x\\a.txt': 'a.txt', '': 'file', '..': 'file', ' . ': 'file',
      'invoice\u202Efdp.exe': 'invoicefdp.exe', 'a\u0000b\n.txt': 'ab.txt', 'ärztlicher Brief 日本.pdf': 'ärztlicher Brief 日本.pdf',
    }
    for (const [name, safe] of Object.entries(names)) expect(safeName(name), name).toBe(safe)
    const long = safeName(`${'ab'.repeat(500)}.jpeg`)
    expect(Array.from(long).length).toBe(MaxNameCharacters)
    expect(long.endsWith('.jpeg')).toBe(true)
  })
})
