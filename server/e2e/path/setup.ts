// Starts the sidecar beside the project that standin/setup.ts found, unless VIGIL_URL names one that runs already. It takes what
// the environment says of it (VIGIL_SLOT, VIGIL_ANALYSIS_KEY_FILE, …): a real project should be given the names it will keep.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import type { Project } from '../standin/setup.ts'

export interface Sidecar {
  url: string
  // All that it wrote; null when somebody else runs it.
  log: string | null
}

declare module 'vitest' {
  interface ProvidedContext {
    sidecar: Sidecar
  }
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const readyWithin = 60_000

let serving: ChildProcess | undefined
let folder: string | undefined

function needed(value: string, name: string): string {
  if (value === '') throw new Error(`SUPABASE_URL is set, so ${name} must be set too, or VIGIL_URL to a sidecar that runs`)
  return value
}

// An address of this machine that nothing listens on: below the range that outgoing connections take theirs from, so that none of
// them takes it before the sidecar does.
async function freeAddress(): Promise<string> {
  const lowest = 10_000
  const highest = 20_000
  for (let tries = 0; tries < 100; tries++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => { resolve(false) })
      server.listen(port, '127.0.0.1', () => { resolve(true) })
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return `127.0.0.1:${port}`
  }
  throw new Error('no port is free')
}

async function environment(project: Project, folder: string, address: string): Promise<NodeJS.ProcessEnv> {
  return {
    VIGIL_DATA_DIR: join(folder, 'data'),
    VIGIL_ANALYSIS_KEY_FILE: join(folder, 'analysis-key.json'),
    VIGIL_HEARTBEAT_INTERVAL: '1s',
    VIGIL_RATE_PER_SECOND: '10000', // everybody here comes from one address
    VIGIL_LOG_LEVEL: 'debug',
    VIGIL_ALLOWED_ORIGINS: '*',
    VIGIL_ADDR: address,
    VIGIL_OPERATOR_ADDR: await freeAddress(),
    ...process.env,
    DATABASE_URL: needed(project.databaseURL, 'DATABASE_URL'),
    REPLICATION_URL: needed(project.replicationURL, 'REPLICATION_URL'),
    SUPABASE_URL: project.url,
    SUPABASE_PUBLISHABLE_KEY: project.publishableKey,
    SUPABASE_SECRET_KEY: project.secretKey,
  }
}

async function ready(child: ChildProcess, url: string, log: string): Promise<void> {
  const until = Date.now() + readyWithin
  let answered = 'no answer'
  while (Date.now() < until && child.exitCode === null && child.signalCode === null) {
    try {
      const response = await fetch(`${url}/readyz`)
      answered = await response.text()
      if (response.ok) return
    } catch {
      // It does not listen yet.
    }
    await wait(50)
  }
  child.kill('SIGKILL')
  throw new Error(`the sidecar is not ready (${answered}); the end of what it wrote:\n${readFileSync(log, 'utf8').slice(-4000)}`)
}

async function start(project: Project): Promise<Sidecar> {
  folder = mkdtempSync(join(tmpdir(), 'vigil-path-'))
  const binary = join(folder, 'vigil')
  const log = join(folder, 'sidecar.log')
  execFileSync('go', ['build', '-o', binary, './server'], { cwd: root, stdio: 'inherit' })
  const env = await environment(project, folder, await freeAddress())
  const output = openSync(log, 'w', 0o600)
  const child = spawn(binary, ['serve'], { cwd: folder, env, stdio: ['ignore', output, output] })
  closeSync(output) // the child has its own
  serving = child
  process.once('exit', () => child.kill('SIGKILL'))
  const url = `http://${env['VIGIL_ADDR'] ?? ''}`
  await ready(child, url, log)
  return { url, log }
}

export async function setup(suite: TestProject): Promise<void> {
  const url = process.env['VIGIL_URL'] ?? ''
  suite.provide('sidecar', url === '' ? await start(suite.getProvidedContext().project) : { url, log: null })
}

export async function teardown(): Promise<void> {
  const child = serving
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
