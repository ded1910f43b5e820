// A page with the detector in a Worker: what detector.test.ts bundles, and calls.
import { Detector } from '../../../realtime/client/src/detect.ts'
import { written } from '../../../realtime/client/test/written.ts'

interface Assessed {
  written: string[]
  took: number[] // ms, from asking to being told
  longest: number // ms, in which the page came to nothing else
}

declare global {
  interface Window {
    // The policy of a page may have it that the address of a Worker is a trusted one. The DOM's types do not know of that.
    trustedTypes: { createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => { createScriptURL: (url: string) => string } }
    assessAll: (all: { text: string; goes: boolean }[]) => Promise<Assessed>
    assessOne: (text: string) => Promise<string>
  }
}

const trusted = window.trustedTypes.createPolicy('detector', { createScriptURL: (url) => new URL(url, document.baseURI).href })
const at = (name: string): string => new URL(name, document.baseURI).href
const detector = new Detector({
  worker: () => new Worker(trusted.createScriptURL('worker.js'), { type: 'module' }), exec: at('wasm_exec.js'), wasm: at('detect.wasm'),
})

// Comes to itself as often as a timer does, and notes how long it could not.
function watch(): () => number {
  let [last, longest] = [performance.now(), 0]
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  })
  return () => {
    clearInterval(timer)
    return longest
  }
}

window.assessAll = async (all) => {
  const found: Assessed = { written: [], took: [], longest: 0 }
  const stop = watch()
  let state: Uint8Array | undefined
  for (const { text, goes } of all) {
    const asked = performance.now()
    const finding = await detector.assess(text, goes ? state : undefined)
    found.took.push(performance.now() - asked)
    found.written.push(written(finding))
    state = finding.state
  }
  found.longest = stop()
  return found
}

window.assessOne = async (text) => {
  try {
    return written(await detector.assess(text))
  } catch (thrown) {
    return String(thrown)
  }
}
