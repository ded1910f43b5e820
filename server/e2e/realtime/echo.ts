// Starts realtime/internal/echoserver, which makes servers of the channels with their logs and grants in memory.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))

export class Echo {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(): Promise<Echo> {
    const folder = mkdtempSync(join(tmpdir(), 'vigil-echo-'))
    const binary = join(folder, 'echoserver')
    execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './realtime/internal/echoserver'], { cwd: root, stdio: 'inherit' })
    const child = spawn(binary, [], { stdio: ['pipe', 'pipe', 'inherit'] })
    const line = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).once('line', resolve)
      child.once('error', reject)
      child.once('exit', (code) => {
        reject(new Error(`the echo server ended with ${code ?? 'a signal'} before it said where it is`))
      })
    })
    const said: unknown = JSON.parse(line)
    const url: unknown = typeof said === 'object' && said !== null ? Reflect.get(said, 'url') : undefined
    if (typeof url !== 'string') throw new Error('the echo server did not say where it is')
    return new Echo(url, child, folder)
  }

  // Ends it with every server that it made, and waits until it has gone.
  async stop(): Promise<void> {
    const gone = new Promise<number | null>((resolve) => {
      if (this.child.exitCode !== null) resolve(this.child.exitCode)
      this.child.once('exit', resolve)
    })
    this.child.stdin?.end()
    const code = await gone
    rmSync(this.folder, { recursive: true, force: true })
    if (code !== 0) throw new Error(`the echo server ended with ${code ?? 'a signal'}`)
  }
}
