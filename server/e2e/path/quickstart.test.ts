// The README's quick start, as a reader runs it: in a folder of its own, against the package as it is built, checked by tsc.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { password, project } from '../standin/project.ts'
import { closeAll, enter, practice, schedule, sidecar, sql, start } from './people.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const client = join(root, 'realtime', 'client')
const example = join(client, 'examples', 'quickstart.ts')
const tsc = join(client, 'node_modules', 'typescript', 'bin', 'tsc')
const run = promisify(execFile)
// Node 20 has a WebSocket behind a flag; from 22 on it is just there.
const flags = 'WebSocket' in globalThis && Number(process.versions.node.split('.')[0]) >= 22 ? [] : ['--experimental-websocket']

let folder: string

// tsc says on standard output what is wrong.
async function compile(...args: string[]): Promise<void> {
  try {
    await run(process.execPath, [tsc, ...args], { cwd: folder })
  } catch (cause) {
    throw new Error(cause instanceof Error && 'stdout' in cause ? String(cause.stdout) : 'tsc did not run', { cause })
  }
}

// An app's folder: package.json, node_modules, and the file.
async function install(): Promise<void> {
  const modules = join(folder, 'node_modules')
  const own = join(modules, 'vigil-client')
  mkdirSync(own, { recursive: true })
  for (const name of ['@supabase', '@types', 'hpke']) symlinkSync(join(client, 'node_modules', name), join(modules, name))
  cpSync(join(client, 'package.json'), join(own, 'package.json'))
  await compile('-p', join(client, 'tsconfig.build.json'), '--noCheck', '--outDir', join(own, 'dist')) // lint checks the package
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  cpSync(example, join(folder, 'quickstart.ts'))
  await compile('--strict', '--target', 'es2023', '--module', 'nodenext', '--types', 'node', '--skipLibCheck', 'quickstart.ts')
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vigil-quickstart-'))
  await install()
}, 120_000)
afterEach(closeAll)
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

it('is what the README shows, in 25 lines at most', () => {
  const source = readFileSync(example, 'utf8')
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const shown = /<!-- quickstart -->\n([^]*?)<!-- \/quickstart -->/.exec(readme)?.[1]
  expect(shown).toBe(`\`\`\`ts\n${source}\`\`\`\n`)
  expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(25)
})

it('runs: a sealed word and its answer', async () => {
  const people = await practice()
  const { id } = await schedule(people, 'assisted')
  const therapist = await enter(people.therapist, id)
  const environment = {
    SUPABASE_URL: project.url, SUPABASE_PUBLISHABLE_KEY: project.publishableKey, VIGIL_URL: sidecar.url,
    VIGIL_EMAIL: people.client.email, VIGIL_PASSWORD: password, VIGIL_SESSION: id,
  }
  const program = run(process.execPath, [...flags, 'quickstart.js'], {
    cwd: folder, env: { ...process.env, ...environment, NODE_NO_WARNINGS: '1' }, timeout: 50_000,
  })
  await vi.waitFor(() => start(people, id), { timeout: 20_000, interval: 100 }) // refused until the client has a device
  await vi.waitFor(
    () => {
      expect(therapist.shown).toMatchObject([{ text: 'I had a rough night', badge: null, watched: true, from: { role: 'client' } }])
    },
    { timeout: 20_000, interval: 50 },
  )
  await therapist.chat.send('I am here')
  const { stdout } = await program // it lingers for the ten seconds of a timer that realtime-js leaves behind in disconnect()
  expect(stdout.trimEnd().split('\n')).toEqual(['client I had a rough night null', 'therapist I am here null'])
  await vi.waitFor(async () => {
    const assessed = await sql('select status, level from public.assessments where session_id = $1 order by position', [id])
    expect(assessed).toMatchObject([{ status: 'assessed' }, { status: 'assessed' }])
  }, 10_000)
})
