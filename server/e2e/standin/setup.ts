// Finds the project that the suites run against: the one that the environment names, or a stand-in of their own.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'

export interface Project {
  url: string
  publishableKey: string
  secretKey: string
  databaseURL: string
  replicationURL: string
  // The owner of the tables, role postgres: what an operator does in the SQL editor.
  ownerURL: string
  standin: boolean
  // The private key as a JWK, which only a stand-in tells: for tokens that nobody would issue.
  signingKey: string | null
}

declare module 'vitest' {
  interface ProvidedContext {
    project: Project
  }
}

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '..', '..', '..')

let serving: ChildProcess | undefined
let folder: string | undefined

function text(value: unknown, name: string): string {
  if (typeof value === 'object' && value !== null && name in value) {
    const found: unknown = Reflect.get(value, name)
    if (typeof found === 'string') return found
  }
  throw new Error(`the stand-in did not say its ${name}`)
}

async function startStandin(): Promise<Project> {
  folder = mkdtempSync(join(tmpdir(), 'vigil-e2e-'))
  const binary = join(folder, 'serve')
  const keys = join(folder, 'keys.json')
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', binary, './server/standin/serve'], { cwd: root, stdio: 'inherit' })
  const sql = join(here, 'fixture.sql')
  const child = spawn(binary, ['-hash-cost', '4', '-keys', keys, '-sql', sql], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  serving = child
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('error', reject)
    child.once('exit', (code) => {
      reject(new Error(`the stand-in ended with ${code ?? 'a signal'} before it said where it is`))
    })
  })
  const where: unknown = JSON.parse(line)
  const file: unknown = JSON.parse(readFileSync(keys, 'utf8'))
  const signingKey: unknown = typeof file === 'object' && file !== null ? Reflect.get(file, 'signing_key') : null
  return {
    url: text(where, 'supabase_url'),
    publishableKey: text(where, 'publishable_key'),
    secretKey: text(where, 'secret_key'),
    databaseURL: text(where, 'database_url'),
    replicationURL: text(where, 'replication_url'),
    ownerURL: text(where, 'owner_url'),
    standin: true,
    signingKey: JSON.stringify(signingKey),
  }
}

function named(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`SUPABASE_URL is set, so ${name} must be set too`)
  return value
}

export async function setup(suite: TestProject): Promise<void> {
  const url = process.env['SUPABASE_URL'] ?? ''
  const project: Project =
    url === ''
      ? await startStandin()
      : {
          url,
          publishableKey: named('SUPABASE_PUBLISHABLE_KEY'),
          secretKey: named('SUPABASE_SECRET_KEY'),
          databaseURL: process.env['DATABASE_URL'] ?? '',
          replicationURL: process.env['REPLICATION_URL'] ?? '',
          ownerURL: process.env['OWNER_URL'] ?? '',
          standin: false,
          signingKey: null,
        }
  suite.provide('project', project)
}

export async function teardown(): Promise<void> {
  const child = serving
  if (child?.exitCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.stdin?.end()
    await ended
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
