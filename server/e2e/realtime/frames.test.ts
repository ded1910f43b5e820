// The golden frames, as the client's own serializers read and write them: the contract is a file, not two beliefs.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

interface Decoded {
  join_ref: string | null
  ref: string | null
  topic: string
  event: string
  payload: Record<string, unknown>
}

interface Golden {
  name: string
  vsn: string
  direction: 'client' | 'server'
  encoding: 'text' | 'base64'
  frame: string
  decoded: Decoded
}

interface Serializer {
  encode(message: Decoded, callback: (frame: string | ArrayBuffer) => void): void
  decode(frame: string | ArrayBuffer, callback: (message: Decoded) => void): void
}

const folder = fileURLToPath(new URL('../../../realtime/testdata/frames/', import.meta.url))
const all = readdirSync(folder).map((file) => JSON.parse(readFileSync(folder + file, 'utf8')) as Golden)

// The package does not export its serializer, which it hands to Phoenix for vsn 2.
const main = createRequire(import.meta.url).resolve('@supabase/realtime-js')
const loaded = (await import(pathToFileURL(join(dirname(main), 'lib', 'serializer.js')).href)) as { default: { default?: new () => Serializer } | (new () => Serializer) }
const Made = typeof loaded.default === 'function' ? loaded.default : loaded.default.default
if (!Made) throw new Error('the client has no serializer where it was')
const serializer = new Made()

function bytes(base64: string): ArrayBuffer {
  return Uint8Array.from(Buffer.from(base64, 'base64')).buffer
}

// Raw payloads stand as {base64: …} in the files.
function plain(payload: Record<string, unknown>): Record<string, unknown> {
  const inner = payload['payload']
  return inner instanceof ArrayBuffer ? { ...payload, payload: { base64: Buffer.from(inner).toString('base64') } } : payload
}

describe.each(all.filter((g) => g.vsn === '2.0.0' && g.direction === 'server'))('vsn 2, from the server: $name', (golden) => {
  it('is read as the file says', () => {
    serializer.decode(golden.encoding === 'text' ? golden.frame : bytes(golden.frame), (message) => {
      expect({ ...message, payload: plain(message.payload) }).toMatchObject({ ...golden.decoded })
    })
  })
})

describe.each(all.filter((g) => g.vsn === '2.0.0' && g.direction === 'client' && g.encoding === 'text' && g.decoded.event !== 'broadcast'))(
  'vsn 2, from the client: $name',
  (golden) => {
    it('is written as the file says', () => {
      serializer.encode(golden.decoded, (frame) => {
        expect(frame).toBe(golden.frame)
      })
    })
  },
)

describe.each(all.filter((g) => g.vsn === '1.0.0'))('vsn 1: $name', (golden) => {
  it('is JSON of the keys that Phoenix reads', () => {
    expect(JSON.parse(golden.frame)).toEqual(golden.decoded)
  })
})
