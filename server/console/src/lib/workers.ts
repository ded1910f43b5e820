import argon2Worker from 'vigil-client/argon2-worker?worker&url'
import detectWorker from 'vigil-client/detect-worker?worker&url'
import { Detector } from 'vigil-client/detect'

interface Trusting {
  createPolicy(name: string, rules: { createScriptURL: (address: string) => string }): { createScriptURL: (address: string) => string }
}

declare global {
  interface Window {
    /** Where a browser has it. The DOM's types do not know of it yet. */
    readonly trustedTypes?: Trusting
  }
}

/** The one policy that the page makes: an address of a Worker, of this server. */
const policy = window.trustedTypes?.createPolicy('vigil-workers', {
  createScriptURL: (address) => {
    const whole = new URL(address, document.baseURI)
    if (whole.origin !== window.location.origin) throw new TypeError('a Worker of another server')
    return whole.href
  },
})

function worker(address: string): Worker {
  return new Worker(policy?.createScriptURL(address) ?? address, { type: 'module' })
}

const at = (name: string): string => new URL(name, document.baseURI).href

/** A detector in a Worker of its own; nothing of it is loaded before its first message, or load(). */
export function deviceDetector(): Detector {
  return new Detector({ worker: () => worker(detectWorker), exec: at('detect/wasm_exec.js'), wasm: at('detect/detect.wasm') })
}

/** What is left of a private session whose screen is gone: it stores the scores of what was sent or heard there. */
const leaving = new Set<Promise<void>>()

/** Ends a watch, and its detector after it, once what it heard is scored and stored: at the latest after half a minute. */
export function leaveWatch(watch: { finish(): Promise<void> }, detector: { close(): void }): void {
  const left = watch.finish().finally(() => {
    detector.close()
    leaving.delete(left)
  })
  leaving.add(left)
}

/** The Worker that turns a passphrase into a key. */
export function argon2(): Worker {
  return worker(argon2Worker)
}
