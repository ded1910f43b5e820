// The detector where it is meant to be: in a module Worker of a page, under the console's own policy. It finds there what the sidecar
// finds, bit for bit, for one text of twenty of the corpus (VIGIL_DETECT_EVERY=1: for each, and within its time); the page's own
// thread never has it.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { corpus, type Found } from '../../../realtime/client/test/corpus.ts'
import { bundle } from './bundle.ts'
import { consoleURL, withBrowsers } from './seats.ts'
import { stack, withSidecar } from './stack.ts'

withSidecar() // for the console's policy
const seats = withBrowsers()

const every = process.env['VIGIL_DETECT_EVERY'] ?? '20'
const most = 1 // ms, for half of the messages
const client = fileURLToPath(new URL('../../../realtime/client/', import.meta.url))

let served: Server
let address: string
let all: Found[]

interface File {
  readonly type: string
  readonly body: string | Buffer
}

// Pages of this machine alone, at / under the console's policy, at /strict/ under the same without leave for WebAssembly.
async function serve(files: ReadonlyMap<string, File>): Promise<Server> {
  const policy = (await fetch(consoleURL)).headers.get('content-security-policy')
  const strict = policy?.replace(" 'wasm-unsafe-eval'", '')
  if (policy === null || strict === undefined || policy === strict) throw new Error(`the console's policy has changed: ${policy ?? 'there is none'}`)
  const server = createServer((request, response) => {
    const [, folder, name = ''] = /^(\/strict)?\/(.*)$/.exec(request.url ?? '') ?? []
    const file = files.get(name)
    const headers = { 'content-security-policy': folder === undefined ? policy : strict, 'x-content-type-options': 'nosniff' }
    if (file === undefined) response.writeHead(204, headers).end() // an icon
    else response.writeHead(200, { ...headers, 'content-type': file.type }).end(file.body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function made(): Promise<Map<string, File>> {
  const out = join(stack.folder, 'detect')
  execFileSync(process.execPath, [join(client, 'scripts', 'detect-wasm.mjs'), '--out', out], { stdio: 'inherit' })
  const [page, worker] = await Promise.all([
    bundle(fileURLToPath(new URL('detector-page.ts', import.meta.url)), 'es'), bundle(join(client, 'src', 'detect-worker.ts'), 'es'),
  ])
  const script = (body: string | Buffer): File => ({ type: 'text/javascript', body })
  return new Map([
    ['', { type: 'text/html', body: '<!doctype html><title>A detector</title><script type="module" src="page.js"></script>' }],
    ['page.js', script(page)],
    ['worker.js', script(worker)],
    ['wasm_exec.js', script(readFileSync(join(out, 'wasm_exec.js')))],
    ['detect.wasm', { type: 'application/wasm', body: readFileSync(join(out, 'detect.wasm')) }],
  ])
}

async function collect(): Promise<Found[]> {
  const found: Found[] = []
  for await (const one of corpus(every)) found.push(one)
  return found
}

beforeAll(async () => {
  all = await collect()
  served = await serve(await made())
  const bound = served.address()
  if (bound === null || typeof bound === 'string') throw new Error('it listens nowhere')
  address = `http://127.0.0.1:${bound.port}`
}, 300_000)
afterAll(async () => {
  await new Promise((closed) => {
    served.close(closed)
    served.closeAllConnections()
  })
})

it('finds in a Worker of the browser what the sidecar finds, bit for bit, and leaves the page its thread', { timeout: 300_000 }, async () => {
  const { page } = await seats.sit('reader', 0, { url: `${address}/` })
  expect(page.workers(), 'before the first message').toEqual([])
  const began = performance.now()
  await page.evaluate(() => window.assessOne('I am going to kill myself tonight'))
  const loaded = performance.now() - began
  expect(page.workers().map((worker) => worker.url())).toEqual([`${address}/worker.js`])

  const found = await page.evaluate((all) => window.assessAll(all), all.map(({ text, goes }) => ({ text, goes })))
  const different = all.filter(({ finding }, at) => found.written[at] !== finding).map(({ text }) => text)
  expect(different.slice(0, 5)).toEqual([])
  expect(found.written.length).toBe(all.length)
  expect(all.length).toBeGreaterThan(12_000 / Number(every))
  expect(all.filter(({ goes }) => goes).length, 'turns of conversations').toBeGreaterThan(20)
  expect(await page.evaluate(() => typeof globalThis.Go), 'Go’s runtime in the page').toBe('undefined')

  const took = found.took.toSorted((one, other) => one - other)
  const of = (share: number): string => (took[Math.floor(share * (took.length - 1))] ?? 0).toFixed(2)
  console.info(
    `the detector in Chromium: ${loaded.toFixed(0)} ms to the first answer, then of ${took.length} messages ${of(0.5)} ms each (median), ` +
    `${of(0.99)} ms (99 of 100); the page was held up for ${found.longest.toFixed(0)} ms at the longest`,
  )
  if (every === '1') expect(Number(of(0.5)), 'of all messages, the median in ms').toBeLessThan(most) // few, beside other tests, say too little
})

it('says that it could not be loaded where the policy forbids it, and quotes nothing', async () => {
  const seat = await seats.sit('reader', 0, { url: `${address}/strict/` })
  seat.expecting(/unsafe-eval|Content Security Policy/)
  expect(await seat.page.evaluate(() => window.assessOne('a secret'))).toBe('Error: the detector could not be loaded')
})
