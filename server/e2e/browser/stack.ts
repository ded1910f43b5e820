// The sidecar of a file of tests: killed and started again at will, always where it was.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, inject } from 'vitest'
import { SidecarProcess } from '../path/process.ts'

export const stack = inject('stack')

const note = join(stack.folder, 'sidecar.pid')

class Sidecar extends SidecarProcess {
  override async start(): Promise<void> {
    const started = super.start()
    writeFileSync(note, String(this.pid))
    await started
  }

  override async stop(): Promise<void> {
    await super.stop()
    rmSync(note, { force: true })
  }

  override async kill(): Promise<void> {
    await super.kill()
    rmSync(note, { force: true })
  }
}

export const sidecar = new Sidecar(stack.binary, stack.folder, stack.env)

// Starts it before a file's tests and stops it after them.
export function withSidecar(): void {
  beforeAll(() => sidecar.start())
  afterAll(() => sidecar.stop())
}
