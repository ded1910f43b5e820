/**
 * Builds the detector for browsers into dist/detect, or into the folder that --out names: detect.wasm, and Go's own
 * wasm_exec.js that it needs. With --brotli it prints how large it is as it travels, and fails when that is too much.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { brotliCompressSync, constants } from 'node:zlib'

const MaxBrotliBytes = 1_500_000

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { out, brotli } = parseArgs({
  options: { out: { type: 'string', default: fileURLToPath(new URL('../dist/detect', import.meta.url)) }, brotli: { type: 'boolean', default: false } },
}).values

function go(args, env = {}) {
  const ran = spawnSync('go', args, { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  if (ran.error !== undefined || ran.status !== 0) throw new Error(`go ${args[0]} failed`, { cause: ran.error })
  return ran.stdout.trim()
}

/** triage names ids by a type of google/uuid, which brings fmt, os, reflect and cryptography along: 140 kB that no browser needs. */
function slimUUID(folder) {
  mkdirSync(join(folder, 'uuid'))
  writeFileSync(join(folder, 'uuid', 'go.mod'), 'module github.com/google/uuid\n\ngo 1.26\n')
  writeFileSync(join(folder, 'uuid', 'uuid.go'), 'package uuid\n\ntype UUID [16]byte\n\nvar Nil UUID\n')
  const mod = readFileSync(join(root, 'go.mod'), 'utf8')
  writeFileSync(join(folder, 'wasm.mod'), `${mod}\nreplace github.com/google/uuid => ${JSON.stringify(join(folder, 'uuid'))}\n`)
  copyFileSync(join(root, 'go.sum'), join(folder, 'wasm.sum'))
  return join(folder, 'wasm.mod')
}

mkdirSync(out, { recursive: true })
const wasm = join(out, 'detect.wasm')
const folder = mkdtempSync(join(tmpdir(), 'vigil-wasm-'))
try {
  const target = { GOOS: 'js', GOARCH: 'wasm', GOFLAGS: '' }
  go(['build', '-mod=mod', `-modfile=${slimUUID(folder)}`, '-trimpath', '-ldflags=-s -w', '-o', wasm, './server/internal/assess/wasm'], target)
} finally {
  rmSync(folder, { recursive: true })
}
copyFileSync(join(go(['env', 'GOROOT']), 'lib', 'wasm', 'wasm_exec.js'), join(out, 'wasm_exec.js'))

if (brotli) {
  const built = readFileSync(wasm)
  const small = brotliCompressSync(built, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: built.length },
  })
  process.stdout.write(`detect.wasm: ${built.length} bytes, ${small.length} as brotli (at most ${MaxBrotliBytes})\n`)
  if (small.length > MaxBrotliBytes) process.exitCode = 1
}
