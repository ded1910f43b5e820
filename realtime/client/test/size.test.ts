/** What a page loads of the package: little, and nothing that it does not use. */
import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { expect, test } from 'vitest'

const MostGzipBytes = 25_000
const MostOfOneParser = 3_000
const root = fileURLToPath(new URL('../', import.meta.url))

interface Bundled {
  readonly code: string
  readonly gzip: number
  /** Modules of this package that the page loads at once. */
  readonly modules: readonly string[]
}

/** Bundles a module's source as a page's build would; supabase-js is the page's own. Later-loaded chunks are not counted. */
async function bundled(source: string): Promise<Bundled> {
  const bundle = await rolldown({
    input: 'page', external: [/^@supabase\//], platform: 'browser', logLevel: 'silent', cwd: root,
    plugins: [{
      name: 'page',
      resolveId: (id) => (id === 'page' ? '\0page' : null),
      load: (id) => (id === '\0page' ? { code: source, moduleType: 'ts' } : null),
    }],
  })
  try {
    const { output } = await bundle.generate({ format: 'es', minify: true, codeSplitting: true })
    const chunks = output.filter((one) => one.type === 'chunk')
    const entry = chunks.find((one) => one.isEntry)
    if (entry === undefined) throw new Error('nothing was bundled')
    const loaded = new Set([entry.fileName])
    for (const name of loaded) for (const other of chunks.find((one) => one.fileName === name)?.imports ?? []) loaded.add(other)
    const first = chunks.filter((one) => loaded.has(one.fileName))
    const code = first.map((one) => one.code).join('\n')
    const modules = first.flatMap((one) => one.moduleIds).map((id) => id.replace(root, ''))
    return { code, gzip: gzipSync(code, { level: 9 }).length, modules }
  } finally {
    await bundle.close()
  }
}

test('the whole main entry stays under 25,000 bytes of gzip, and brings no detector, Argon2 or age', async () => {
  const main = await bundled(`export * from ${JSON.stringify(`${root}src/index.ts`)}`)
  process.stdout.write(`vigil-client: ${main.gzip} bytes of gzip (at most ${MostGzipBytes})\n`)
  expect(main.gzip).toBeLessThan(MostGzipBytes)
  expect(main.gzip).toBeGreaterThan(10_000) // it is the whole of it
  expect(main.modules.filter((id) => /detect|strict|fold\.|file\.|attachments|export\.|recovery|argon2|noble|scure|\bage\b|tables/.test(id))).toEqual([])
  expect(main.modules.filter((id) => !id.startsWith('src/'))).toEqual(['\0page'])
})

test('what is not used is not loaded: one parser of it is small, and holds no cryptography', async () => {
  const parser = await bundled(`import { parseMessage } from ${JSON.stringify(`${root}src/index.ts`)}\nexport const parsed = parseMessage(JSON.parse(''))`)
  expect(parser.gzip).toBeLessThan(MostOfOneParser)
  expect(parser.modules.filter((id) => /hpke|session|state|outbox|vigil\.ts/.test(id))).toEqual([])
  expect(parser.code).not.toMatch(/pe1\/|AES-GCM|indexedDB/)
})

test.each([
  ['strict', 12_000], ['attachments', 8_000], ['export', 8_000], ['recovery', 15_000],
])('the entry %s is small beside what it loads when it is first used', async (entry, most) => {
  const own = await bundled(`export * from ${JSON.stringify(`${root}src/${entry}.ts`)}`)
  expect(own.gzip).toBeLessThan(most)
  expect(own.modules.filter((id) => /age-encryption|noble|scure/.test(id))).toEqual([])
})
