/**
 * The detector in a Worker of the browser: messages are assessed on the device, and nothing leaves it. The Worker and the
 * 1.4 MB of the module are loaded by load() or with the first message, not before.
 *
 *     const detector = new Detector({
 *       worker: () => new Worker(new URL('vigil-client/detect-worker', import.meta.url), { type: 'module' }),
 *       exec: new URL('wasm_exec.js', base).href, wasm: new URL('detect.wasm', base).href,
 *     })
 *     let state: Uint8Array | undefined
 *     const finding = await detector.assess(text, state)
 *     state = finding.state
 *
 * A page with a Content-Security-Policy allows it by script-src 'wasm-unsafe-eval'. It is not clinically validated.
 */
import type { DetectorFiles, Finding } from './detect-module.ts'
import { NotLoaded } from './detect-serve.ts'

export type { DetectorFiles, Finding, FindingEvidence } from './detect-module.ts'

/** As much of a Worker as is needed. */
export interface DetectorWorker {
  postMessage(message: unknown): void
  addEventListener(type: 'message', heard: (event: { readonly data: DetectorAnswer }) => void): void
  addEventListener(type: 'error', heard: () => void): void
  terminate(): void
}

/** What is asked of the Worker, and what it answers. */
export type DetectorCall =
  | { readonly kind: 'start'; readonly files: DetectorFiles }
  | { readonly kind: 'assess'; readonly id: number; readonly text: string; readonly state: Uint8Array | undefined }
export type DetectorAnswer = { readonly id: number; readonly finding: Finding } | { readonly id: number; readonly fault: string }

interface Waiting {
  readonly resolve: (finding: Finding) => void
  readonly reject: (reason: Error) => void
}

export class Detector {
  readonly #make: () => DetectorWorker
  readonly #files: DetectorFiles
  readonly #waiting = new Map<number, Waiting>()
  #worker: DetectorWorker | null = null
  #last = 0
  #closed = false

  constructor(deps: { readonly worker: () => DetectorWorker } & DetectorFiles) {
    this.#make = deps.worker
    this.#files = { exec: deps.exec, wasm: deps.wasm }
  }

  /** Loads it ahead of the first message. If that fails, the message loads it again. */
  load(): void {
    if (!this.#closed && this.#worker === null) this.#start()
  }

  /** Assesses one message, after the ones asked before it. It rejects when the detector cannot be loaded, or is closed. */
  async assess(text: string, state?: Uint8Array): Promise<Finding> {
    if (this.#closed) throw new Error('the detector is closed')
    const worker = this.#worker ?? this.#start()
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.postMessage({ kind: 'assess', id, text, state } satisfies DetectorCall)
    })
  }

  close(): void {
    this.#closed = true
    this.#stop('the detector is closed')
  }

  #start(): DetectorWorker {
    const worker = this.#make()
    this.#worker = worker
    worker.addEventListener('message', (event) => { if (this.#worker === worker) this.#hear(event.data) })
    worker.addEventListener('error', () => { if (this.#worker === worker) this.#stop('the detector’s worker failed') })
    worker.postMessage({ kind: 'start', files: this.#files } satisfies DetectorCall)
    return worker
  }

  #hear(answer: DetectorAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('finding' in answer) waiting?.resolve(answer.finding)
    else waiting?.reject(new Error(answer.fault))
    if ('fault' in answer && answer.fault === NotLoaded) this.#stop(NotLoaded) // the network may be back by the next message
  }

  /** The next message starts another worker, unless closed. */
  #stop(why: string): void {
    this.#worker?.terminate()
    this.#worker = null
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const one of waiting) one.reject(new Error(why))
  }
}
