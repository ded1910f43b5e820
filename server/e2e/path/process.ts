// The sidecar as a process of its own, beside the project that standin/setup.ts found. It may be killed, and started again on the
// same data, slot and port.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Project } from '../standin/setup.ts'

const readyWithin = 60_000

function needed(value: string, name: string): string {
  if (value === '') throw new Error(`SUPABASE_URL is set, so ${name} must be set too, or VIGIL_URL to a sidecar that runs`)
  return value
}

// An address of this machine that nothing listens on: below the range that outgoing connections take theirs from, so that none of
// them takes it before the sidecar does, or while it is away.
export async function freeAddress(): Promise<string> {
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

export async function environment(project: Project, folder: string, address: string): Promise<NodeJS.ProcessEnv> {
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

export class SidecarProcess {
  readonly url: string
  readonly log: string
  readonly #binary: string
  readonly #folder: string
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined

  constructor(binary: string, folder: string, env: NodeJS.ProcessEnv) {
    this.url = `http://${env['VIGIL_ADDR'] ?? ''}`
    this.log = join(folder, 'sidecar.log')
    this.#binary = binary
    this.#folder = folder
    this.#env = env
    process.once('exit', () => this.#child?.kill('SIGKILL'))
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  // Resolves when it is ready.
  async start(): Promise<void> {
    const output = openSync(this.log, 'a', 0o600)
    const child = spawn(this.#binary, ['serve'], { cwd: this.#folder, env: this.#env, stdio: ['ignore', output, output] })
    closeSync(output) // the child has its own
    this.#child = child
    const until = Date.now() + readyWithin
    let answered = 'no answer'
    while (Date.now() < until && running(child)) {
      try {
        const response = await fetch(`${this.url}/readyz`)
        answered = await response.text()
        if (response.ok) return
      } catch {
        // It does not listen yet.
      }
      await wait(50)
    }
    child.kill('SIGKILL')
    throw new Error(`the sidecar is not ready (${answered}); the end of what it wrote:\n${readFileSync(this.log, 'utf8').slice(-4000)}`)
  }

  // Asks it to drain and waits for its end.
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || !running(child)) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }
}

function running(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}
