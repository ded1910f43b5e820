// Finds the browser, builds the console and a sidecar that holds it, and chooses where that sidecar lives. Each file of tests
// starts it (stack.ts), for some kill it; folder, slot and port stay, so that it comes back where it was.
import { execFileSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import { environment, freeAddress } from '../path/process.ts'

export interface Stack {
  root: string
  chromium: string
  binary: string
  folder: string
  env: NodeJS.ProcessEnv
}

declare module 'vitest' {
  interface ProvidedContext {
    stack: Stack
  }
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

let folder: string | undefined

// The program that CHROMIUM names, else the first on the PATH.
function chromium(): string {
  const named = process.env['CHROMIUM'] ?? ''
  const places = (process.env['PATH'] ?? '').split(delimiter)
  const found = named === '' ? names.flatMap((name) => places.map((place) => join(place, name))) : [named]
  for (const program of found) {
    try {
      accessSync(program, constants.X_OK)
      return program
    } catch {
      // The next one.
    }
  }
  if (named !== '') throw new Error(`CHROMIUM names ${named}, which is no program`)
  throw new Error('there is no Chromium: install it (Debian: apt-get install chromium), or name one with CHROMIUM')
}

// The console as the tree has it, built as for a release: vitest's own NODE_ENV would make a development build of it.
function buildConsole(): void {
  const env = { ...process.env, NODE_ENV: 'production' }
  execFileSync('go', ['run', './server/pgtest/suite', 'build'], { cwd: root, env, stdio: 'inherit' })
}

export async function setup(suite: TestProject): Promise<void> {
  const { project } = suite.getProvidedContext()
  const program = chromium()
  buildConsole()
  folder = mkdtempSync(join(tmpdir(), 'vigil-browser-'))
  const binary = join(folder, 'vigil')
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './server'], { cwd: root, stdio: 'inherit' })
  const address = await freeAddress()
  const env = { ...(await environment(project, folder, address)), VIGIL_CONSOLE: 'true' }
  suite.provide('stack', { root, chromium: program, binary, folder, env })
  suite.provide('sidecar', { url: `http://${address}`, log: join(folder, 'sidecar.log') })
}

// A file's own process may have been killed before it could stop the sidecar.
function endLeftover(folder: string): void {
  try {
    process.kill(Number(readFileSync(join(folder, 'sidecar.pid'), 'utf8')), 'SIGKILL')
  } catch {
    // There is none.
  }
}

export function teardown(): void {
  if (folder === undefined) return
  endLeftover(folder)
  rmSync(folder, { recursive: true, force: true })
}
