/** The detector, compiled to WebAssembly: what `go tool task detect:wasm` builds, made callable. Not clinically validated. */

/** Where a rule found something, in UTF-16 units as strings here count. A topic's key phrase has a rule `topic.<name>`. */
export interface FindingEvidence {
  readonly rule: string
  readonly start: number
  readonly end: number
}

/** What the detector found in one message, the same that the sidecar would find under the default policy. */
export interface Finding {
  /** Self-harm on the Columbia scale, 0 to 6. */
  readonly level: number
  readonly harmOthers: boolean
  readonly abuse: boolean
  readonly distress: boolean
  /** The six items of the C-SSRS screener: 0 unknown, 1 absent, 2 present. */
  readonly items: readonly number[]
  /** Probabilities, as calibrated: of risk, harm to others, abuse, distress. */
  readonly scores: readonly number[]
  /** Categories that a hard rule forced. */
  readonly hard: readonly string[]
  readonly sentiment: number
  readonly emotions: readonly string[]
  readonly topics: readonly string[]
  /** ISO 639-1; empty is unknown. */
  readonly language: string
  readonly evidence: readonly FindingEvidence[]
  readonly alert: boolean
  readonly escalate: boolean
  readonly model: string
  readonly ruleset: string
  /** Hand it in with the session's next message. It holds numbers, never text. */
  readonly state: Uint8Array
}

export type Assess = (text: string, state?: Uint8Array) => Finding

/** What is loaded: Go's wasm_exec.js by its address, and the module. */
export interface DetectorFiles {
  readonly exec: string
  readonly wasm: BufferSource | string
}

interface GoRuntime {
  readonly importObject: WebAssembly.Imports
  run(instance: WebAssembly.Instance): Promise<void>
}

// What wasm_exec.js puts into the global scope, and what the module looks for there.
declare global {
  var Go: (new () => GoRuntime) | undefined
  var vigilDetectorReady: ((assess: Assess) => void) | undefined
}

/** Loads the detector into this thread, which it then keeps busy for as long as a message takes: prefer Detector. */
export async function startDetector(files: DetectorFiles): Promise<Assess> {
  await import(/* @vite-ignore */ files.exec)
  if (globalThis.Go === undefined) throw new Error('wasm_exec.js defines no Go')
  const runtime = new globalThis.Go()
  const instance = await instantiate(files.wasm, runtime.importObject)
  try {
    return await new Promise<Assess>((resolve, reject) => {
      globalThis.vigilDetectorReady = resolve
      const ended = (): void => { reject(new Error('the detector has ended')) }
      runtime.run(instance).then(ended, ended)
    })
  } finally {
    globalThis.vigilDetectorReady = undefined
  }
}

async function instantiate(wasm: BufferSource | string, imports: WebAssembly.Imports): Promise<WebAssembly.Instance> {
  if (typeof wasm !== 'string') return (await WebAssembly.instantiate(wasm, imports)).instance
  const answer = await fetch(wasm)
  if (!answer.ok) throw new Error(`the detector was not found: ${answer.status}`)
  return (await WebAssembly.instantiate(await answer.arrayBuffer(), imports)).instance
}
