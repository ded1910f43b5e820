/**
 * Builds the detector for browsers into dist/detect, or into the folder that --out names: detect.wasm, and Go's own
 * wasm_exec.js that it needs. With --brotli it prints how large it is as it travels, and fails when that is too much; with
 * --compress it writes that beside it too, as detect.wasm.br, unless it is there of the same module.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { brotliCompressSync, constants } from 'node:zlib'

const MaxBrotliBytes = 1_500_000

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { out, brotli, compress } = parseArgs({
  options: {
    out: { type: 'string', default: fileURLToPath(new URL('../dist/detect', import.meta.url)) }, brotli: { type: 'boolean', default: false },
    compress: { type: 'boolean', default: false },
  },
}).values

function go(args, env = {}) {
  const ran = spawnSync('go', args, { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  if (ran.error !== undefined || ran.status !== 0) throw new Error(`go ${args[0]} failed`, { cause: ran.error })
  return ran.stdout.trim()
}

/** triage names ids by a type of google/uuid, which brings fmt, os, reflect and cryptography along: 140 kB that no browser needs. */
function slimUUID(folder) {
  mkdirSync(join(folder, 'uuid'), { recursive: true })
  writeFileSync(join(folder, 'uuid', 'go.mod'), 'module github.com/google/uuid\n\ngo 1.26\n')
  writeFileSync(join(folder, 'uuid', 'uuid.go'), 'package uuid\n\ntype UUID [16]byte\n\nvar Nil UUID\n')
  const mod = readFileSync(join(root, 'go.mod'), 'utf8')
  writeFileSync(join(folder, 'wasm.mod'), `${mod}\nreplace github.com/google/uuid => ${JSON.stringify(join(folder, 'uuid'))}\n`)
  copyFileSync(join(root, 'go.sum'), join(folder, 'wasm.sum'))
  return join(folder, 'wasm.mod')
}

function squeeze(built) {
  return brotliCompressSync(built, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: built.length },
  })
}

mkdirSync(out, { recursive: true })
const wasm = join(out, 'detect.wasm')
const folder = join(out, '.build') // its name is in what is built: the same each time, so that the module is
mkdirSync(folder, { recursive: true })
try {
  const target = { GOOS: 'js', GOARCH: 'wasm', GOFLAGS: '' }
  go(['build', '-mod=mod', `-modfile=${slimUUID(folder)}`, '-trimpath', '-ldflags=-s -w', '-o', wasm, './server/internal/assess/wasm'], target)
} finally {
  rmSync(folder, { recursive: true })
}
copyFileSync(join(go(['env', 'GOROOT']), 'lib', 'wasm', 'wasm_exec.js'), join(out, 'wasm_exec.js'))

const squeezed = `${wasm}.br`
const mark = `${squeezed}.sha256`

/** Whether the squeezed module that lies here is of this one: to squeeze takes longer than to compile. */
function known(hash) {
  return existsSync(squeezed) && existsSync(mark) && readFileSync(mark, 'utf8') === hash
}

if (brotli || compress) {
  const built = readFileSync(wasm)
  const hash = createHash('sha256').update(built).digest('hex')
  const small = known(hash) ? readFileSync(squeezed) : squeeze(built)
  if (compress) {
    writeFileSync(squeezed, small)
    writeFileSync(mark, hash)
  }
  if (brotli) process.stdout.write(`detect.wasm: ${built.length} bytes, ${small.length} as brotli (at most ${MaxBrotliBytes})\n`)
  if (small.length > MaxBrotliBytes) throw new Error(`detect.wasm is ${small.length} bytes as brotli: at most ${MaxBrotliBytes} may travel`)
}
