import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { fields, flag, json, list, text, whole } from '../src/parse.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

export interface Found {
  readonly text: string
  /** It goes on from the state that the one before left. */
  readonly goes: boolean
  /** What the sidecar finds in it, as written() has it. */
  readonly finding: string
}

/** One message and one conversation of so many of the corpus, with what the sidecar's own code finds in them. */
export async function* corpus(every: string): AsyncGenerator<Found> {
  const go = spawn('go', ['run', './server/internal/assess/wasm', '-every', every], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended: Promise<unknown[]> = once(go, 'close')
  for await (const line of createInterface({ input: go.stdout })) {
    const row = fields(json(line, 'line'), 'finding')
    yield { text: text(row, 'text'), goes: flag(row, 'goes'), finding: written(row) }
  }
  const [code] = await ended
  if (code !== 0) throw new Error(`the program that assesses the corpus ended with ${String(code)}`)
}

function written(row: ReturnType<typeof fields>): string {
  const words = list(row['words'], 'words').map((one) => one ?? [])
  const evidence = (row['evidence'] === null ? [] : list(row['evidence'], 'evidence')).map((value) => {
    const one = fields(value, 'evidence')
    return [text(one, 'rule'), whole(one, 'start_16'), whole(one, 'end_16')]
  })
  return JSON.stringify([row['level'], row['flags'], row['items'], row['bits'], words, evidence, row['state']])
}
