/**
 * The detector in the browser's form is the sidecar's, bit for bit: for one text of ten of the corpus, and for all of them by
 * `go tool task detect:wasm`. And the Worker's manners.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { Clock } from '../src/clock.ts'
import { startDetector, type Assess } from '../src/detect-module.ts'
import { serveDetector } from '../src/detect-serve.ts'
import { Detector, type DetectorAnswer, type DetectorCall, type DetectorWorker } from '../src/detect.ts'
import { Fold } from '../src/fold.ts'
import { scoreOf, scoreSigned } from '../src/score.ts'
import { corpus } from './corpus.ts'
import { written } from './written.ts'

const built = new URL('../dist/detect/', import.meta.url)
const exec = new URL('wasm_exec.js', built).href
const BuildMs = 300_000
const nowhere = '00000000-0000-0000-0000-000000000000'
const place = { session_id: nowhere, message_id: nowhere, epoch: 1, device_id: nowhere, side: 'sender', after_position: 0 } as const
const every = process.env['VIGIL_DETECT_EVERY'] ?? '10'

let wasm: Uint8Array<ArrayBuffer>
let assess: Assess
beforeAll(async () => {
  execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/detect-wasm.mjs', import.meta.url))], { stdio: 'inherit' })
  wasm = new Uint8Array(readFileSync(new URL('detect.wasm', built)))
  assess = await startDetector({ exec, wasm })
}, BuildMs)

describe('the detector as WebAssembly', () => {
  test('finds in the corpus what the sidecar finds, bit for bit, and goes on from the same states', async () => {
    let messages = 0
    let risky = 0
    let state: Uint8Array | undefined
    const different: string[] = []
    const took: number[] = []
    for await (const one of corpus(every)) {
      const began = performance.now()
      const got = assess(one.text, one.goes ? state : undefined)
      took.push(performance.now() - began)
      state = got.state
      messages++
      if (got.level >= 4) risky++
      if (written(got) !== one.finding) different.push(one.text)
      scoreSigned({ ...scoreOf(got), ...place }) // whatever is found can be signed
    }
    expect(different.slice(0, 5)).toEqual([])
    expect(messages).toBeGreaterThan(12_000 / Number(every))
    expect(risky).toBeGreaterThan(100)
    const median = took.sort((a, b) => a - b)[took.length >> 1] ?? Infinity
    process.stdout.write(`the detector in WebAssembly: half of ${messages} messages took at most ${median.toFixed(3)} ms\n`)
    if (every === '1') expect(median).toBeLessThan(1) // the suite's other tests share the machine
  }, BuildMs)

  test('goes on over rows that nobody can read from the state before them, as the sidecar does', async () => {
    const texts = [null, 'I hate my job', null, null, 'I cannot stand it any more', 'I have been thinking about it again', null, 'I am going to do it tonight']
    const fold = new Fold({
      assessor: { assess: (text, state) => Promise.resolve(assess(text, state)) }, clock: new Clock(), failed: (thrown) => { expect(thrown).toBeUndefined() },
    })
    let state: Uint8Array | undefined // as the test above holds it to the sidecar's
    for (const [i, text] of texts.entries()) {
      if (text === null) {
        fold.pass(i + 1)
        continue
      }
      const want = assess(text, state)
      const alone = assess(text)
      if (state !== undefined) expect(written(want)).not.toBe(written(alone)) // the state says something
      const found = await fold.next(i + 1, text)
      expect(found?.after).toBe(i)
      expect(found === undefined ? '' : written(found.finding)).toBe(written(want))
      const again = await fold.again(text, i)
      expect(again === undefined ? '' : written(again)).toBe(written(want))
      state = want.state
    }
  })

  test('takes any input: nothing, half a character, a megabyte, a state that is none', () => {
    for (const strange of ['', '\ud83d', '\u202eworromot', '\u0000', '😀'.repeat(1000), 'a '.repeat(1 << 19)]) {
      const found = assess(strange, new Uint8Array([255, 1, 2]))
      expect(found.level).toBeGreaterThanOrEqual(0)
      expect(found.state.length).toBeGreaterThan(0)
      for (const one of found.evidence) expect(one.end).toBeLessThanOrEqual(strange.length)
    }
    expect(assess('I am going to kill myself tonight').alert).toBe(true)
  })
})

/** A Worker in this thread: what is posted to one side is heard at the other, later. */
class NearWorker implements DetectorWorker {
  static made = 0
  ended = false
  readonly #heard: ((event: { readonly data: DetectorAnswer }) => void)[] = []
  readonly #failed: (() => void)[] = []
  readonly #calls: ((event: { readonly data: DetectorCall }) => void)[] = []

  constructor() {
    NearWorker.made++
    serveDetector({
      postMessage: (data) => { queueMicrotask(() => { if (!this.ended) for (const heard of this.#heard) heard({ data }) }) },
      addEventListener: (_, heard) => { this.#calls.push(heard) },
    })
  }

  postMessage(data: DetectorCall): void {
    queueMicrotask(() => { for (const call of this.#calls) call({ data }) })
  }

  addEventListener(type: 'message' | 'error', heard: (event: { readonly data: DetectorAnswer }) => void): void {
    if (type === 'message') this.#heard.push(heard)
    else this.#failed.push(() => { heard({ data: { id: 0, fault: '' } }) })
  }

  fail(): void {
    for (const failed of this.#failed) failed()
  }

  terminate(): void {
    this.ended = true
  }
}

describe('a Detector', () => {
  test('starts its worker with the first message, and answers each in its order', async () => {
    const before = NearWorker.made
    const detector = new Detector({ worker: () => new NearWorker(), exec, wasm })
    expect(NearWorker.made).toBe(before)
    const [calm, grave] = await Promise.all([detector.assess('see you on Monday'), detector.assess('I am going to kill myself tonight')])
    expect(NearWorker.made).toBe(before + 1)
    expect([calm.alert, grave.alert]).toEqual([false, true])
    expect(written(await detector.assess('and I mean it', grave.state))).toBe(written(assess('and I mean it', grave.state)))
    detector.close()
  })

  test('that is loaded ahead starts its worker once, and none when it is closed', async () => {
    const before = NearWorker.made
    const detector = new Detector({ worker: () => new NearWorker(), exec, wasm: new Uint8Array([1, 2, 3]) })
    detector.load()
    detector.load()
    expect(NearWorker.made).toBe(before + 1)
    await expect(detector.assess('one')).rejects.toThrow('could not be loaded')
    expect(NearWorker.made).toBe(before + 1)
    detector.close()
    detector.load()
    expect(NearWorker.made).toBe(before + 1)
  })

  test('that cannot load its module says so to whoever asks, and quotes nothing', async () => {
    const detector = new Detector({ worker: () => new NearWorker(), exec, wasm: new Uint8Array([1, 2, 3]) })
    await expect(detector.assess('a secret')).rejects.toThrow(/^the detector could not be loaded$/)
    detector.close()
  })

  test('that could not load its module tries again with the next message, in another worker', async () => {
    const made: NearWorker[] = []
    const detector = new Detector({ worker: () => { const one = new NearWorker(); made.push(one); return one }, exec, wasm: new Uint8Array([1, 2, 3]) })
    await expect(Promise.all([detector.assess('one'), detector.assess('two')])).rejects.toThrow('could not be loaded')
    expect(made.map((one) => one.ended)).toEqual([true])
    await expect(detector.assess('three')).rejects.toThrow('could not be loaded')
    expect(made.length).toBe(2) // another Worker, which tried again
    detector.close()
  })

  test('whose worker fails lets nobody wait, and starts another; one that is closed starts none', async () => {
    const workers: NearWorker[] = []
    const detector = new Detector({ worker: () => { const one = new NearWorker(); workers.push(one); return one }, exec, wasm })
    const lost = detector.assess('one')
    workers[0]?.fail()
    await expect(lost).rejects.toThrow('worker failed')
    expect(workers[0]?.ended).toBe(true)
    expect((await detector.assess('two')).level).toBe(0)
    expect(workers.length).toBe(2)
    const cut = detector.assess('three')
    detector.close()
    await expect(cut).rejects.toThrow('closed')
    await expect(detector.assess('four')).rejects.toThrow('closed')
    expect(workers.length).toBe(2)
  }, BuildMs) // it loads the module twice
})
