/**
 * The package as npm would publish it: packed, unpacked into an empty folder beside nothing but what it says it depends on, taken
 * by a strict TypeScript program and by Node.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fields, json, list, text } from '../src/parse.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const BuildMs = 120_000
const manifest = fields(json(readFileSync(join(root, 'package.json'), 'utf8'), 'manifest'), 'manifest')
const workers = ['argon2-worker', 'detect-worker'] // they speak to the scope that they are in
const entries = Object.entries(fields(manifest['exports'], 'exports')).filter(([name]) => name !== './detect/*' && name !== './package.json')

/** The name by which a program imports an entry. */
const nameOf = (entry: string): string => `vigil-client${entry.slice(1)}`
/** What this package's own build, run elsewhere, leaves in the folder that is packed. */
const staged = ['package.json', 'README.md', 'SECURITY.md', 'LICENSE', 'examples/quickstart.ts']

let folder: string
let installed: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vigil-pack-'))
  const stage = join(folder, 'stage')
  mkdirSync(stage)
  for (const file of staged) cpSync(join(root, file), join(stage, file))
  // Types are checked by the linters; here it is only to emit.
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(stage, 'dist'), '--noCheck'], { cwd: root, stdio: 'inherit' })
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: stage, stdio: 'ignore' })
  const packed = `${text(manifest, 'name')}-${text(manifest, 'version')}.tgz`
  installed = join(folder, 'app/node_modules/vigil-client')
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, packed), '--strip-components=1', '-C', installed])
  for (const kind of ['dependencies', 'peerDependencies']) {
    for (const name of Object.keys(fields(manifest[kind], kind))) {
      const at = join(folder, 'app/node_modules', name)
      mkdirSync(dirname(at), { recursive: true })
      symlinkSync(join(root, 'node_modules', name), at)
    }
  }
  writeFileSync(join(folder, 'app/package.json'), '{"type":"module","private":true}')
}, BuildMs)
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('the packed package', () => {
  test('holds its entries, their types, its papers and its licence; no source, no test, no key', () => {
    for (const [name, target] of entries) {
      const { types, default: code } = fields(target, name)
      for (const file of [types, code]) expect(existsSync(join(installed, String(file))), `${name}: ${String(file)}`).toBe(true)
    }
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    for (const file of staged) expect(files).toContain(file)
    expect(files.filter((file) => !staged.includes(file) && /test|fixture|vector|\.env|(?<!\.d)\.ts$/.test(file))).toEqual([])
    for (const file of list(manifest['sideEffects'], 'sideEffects')) {
      expect(existsSync(join(installed, String(file))), String(file)).toBe(true)
    }
  })

  test('says what a registry wants of it, and is not private', () => {
    expect(manifest['private']).toBeUndefined()
    expect(manifest).toMatchObject({ name: 'vigil-client', license: 'Apache-2.0', type: 'module', publishConfig: { access: 'public' } })
    expect(text(manifest, 'version')).toMatch(/^\d+\.\d+\.\d+$/)
    expect(text(manifest, 'description').length).toBeGreaterThan(20)
    for (const version of Object.values(fields(manifest['dependencies'], 'dependencies'))) expect(String(version)).toMatch(/^\d+\.\d+\.\d+$/)
  })

  test('type-checks in a strict program that uses every entry', () => {
    const program = [
      "import { createClient } from '@supabase/supabase-js'",
      "import { vigil, type ChatMessage, type Session } from 'vigil-client'",
      "import { setRecovery, recover } from 'vigil-client/recovery'",
      "import { Detector } from 'vigil-client/detect'",
      "import { StrictWatch } from 'vigil-client/strict'",
      "import { attach, openFile } from 'vigil-client/attachments'",
      "import { exportSession } from 'vigil-client/export'",
      "import type { VigilDatabase } from 'vigil-client/tables'",
      'export async function use(url: string, key: string, file: File): Promise<Blob> {',
      '  const supabase = createClient<VigilDatabase>(url, key)',
      '  const v = await vigil(supabase, url)',
      "  await setRecovery(v, 'seven quiet herons wade')",
      "  await recover(v, 'seven quiet herons wade')",
      '  const session: Session = await v.session(crypto.randomUUID())',
      "  const detector = new Detector({ worker: () => new Worker('w'), exec: '/e', wasm: '/w' })",
      '  const watch = new StrictWatch(session, detector)',
      "  const undo = session.on('message', (message: ChatMessage) => { watch.badgesOf(message.id) })",
      '  const attached = await attach(session, supabase.storage, file)',
      "  await session.send('the letter', { files: [attached] })",
      '  await openFile(session, supabase.storage, attached)',
      '  undo()',
      "  return exportSession(session, { passphrase: 'seven quiet herons wade' })",
      '}',
      '// @ts-expect-error: a session is named by an id',
      'export const wrong = (session: Session): Promise<string> => session.send(7)',
    ].join('\n')
    const options = {
      compilerOptions: {
        target: 'ES2023', lib: ['ES2023', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'], module: 'NodeNext', moduleResolution: 'NodeNext', strict: true,
        exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, types: [], skipLibCheck: true, noEmit: true,
      },
      files: ['use.ts'],
    }
    writeFileSync(join(folder, 'app/use.ts'), program)
    writeFileSync(join(folder, 'app/tsconfig.json'), JSON.stringify(options))
    expect(run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'])).toBe('')
  }, BuildMs)

  test('loads in Node, every entry, and needs nothing that it does not name', () => {
    const names = entries.map(([name]) => name).filter((name) => !workers.some((worker) => name.endsWith(worker)))
    const program = `for (const name of ${JSON.stringify(names.map(nameOf))}) {
      const loaded = await import(name)
      process.stdout.write(name + ' ' + Object.keys(loaded).length + '\\n')
    }
    const { ageIdentity } = await import(${JSON.stringify(join(installed, 'dist/age.js'))})
    process.stdout.write((await ageIdentity(new Uint8Array(32))).slice(0, 16) + '\\n')`
    writeFileSync(join(folder, 'app/load.mjs'), program)
    const lines = run(process.execPath, ['load.mjs']).trim().split('\n')
    expect(lines.at(-1)).toBe('AGE-SECRET-KEY-1')
    expect(lines.slice(0, -1).map((line) => line.split(' ')[0])).toEqual(names.map(nameOf))
    for (const line of lines.slice(0, -1)) if (!line.includes('/tables')) expect(Number(line.split(' ')[1]), line).toBeGreaterThan(0)
  })
})

/** What a program in the empty folder prints; its output too if it fails. */
function run(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { cwd: join(folder, 'app'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (thrown) {
    const { stdout, stderr } = fields(thrown, 'fault')
    return `${String(stdout)}${String(stderr)}`
  }
}
