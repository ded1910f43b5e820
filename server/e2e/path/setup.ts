// Starts the sidecar beside the project that standin/setup.ts found, unless VIGIL_URL names one that runs already. It takes what
// the environment says of it (VIGIL_SLOT, VIGIL_ANALYSIS_KEY_FILE, …): a real project should be given the names it will keep.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import type { Project } from '../standin/setup.ts'
import { environment, freeAddress, SidecarProcess } from './process.ts'

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

let serving: SidecarProcess | undefined
let folder: string | undefined

async function start(project: Project): Promise<Sidecar> {
  folder = mkdtempSync(join(tmpdir(), 'vigil-path-'))
  const binary = join(folder, 'vigil')
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './server'], { cwd: root, stdio: 'inherit' })
  serving = new SidecarProcess(binary, folder, await environment(project, folder, await freeAddress()))
  await serving.start()
  return { url: serving.url, log: serving.log }
}

export async function setup(suite: TestProject): Promise<void> {
  const url = process.env['VIGIL_URL'] ?? ''
  suite.provide('sidecar', url === '' ? await start(suite.getProvidedContext().project) : { url, log: null })
}

export async function teardown(): Promise<void> {
  await serving?.stop()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
