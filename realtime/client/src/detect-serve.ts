import { startDetector, type Assess } from './detect-module.ts'
import type { DetectorAnswer, DetectorCall } from './detect.ts'

/** The Worker's side of a Detector: its scope, or a port. */
export interface DetectorPort {
  postMessage(message: DetectorAnswer): void
  addEventListener(type: 'message', heard: (event: { readonly data: DetectorCall }) => void): void
}

/** What is answered when the module did not load: the caller may ask a new Worker, which loads it again. */
export const NotLoaded = 'the detector could not be loaded'

/** Answers calls in their order. A detector that does not load says so to each; what it was given is in no fault. */
export function serveDetector(port: DetectorPort): void {
  let started: Promise<Assess> = Promise.reject(new Error('not started'))
  started.catch(() => undefined)
  port.addEventListener('message', ({ data: call }) => {
    if (call.kind === 'start') {
      started = startDetector(call.files)
      started.catch(() => undefined) // told to whoever asks
      return
    }
    started.then(
      (assess) => { port.postMessage(answer(assess, call)) },
      () => { port.postMessage({ id: call.id, fault: NotLoaded }) },
    )
  })
}

function answer(assess: Assess, call: Extract<DetectorCall, { readonly kind: 'assess' }>): DetectorAnswer {
  try {
    return { id: call.id, finding: assess(call.text, call.state) }
  } catch {
    return { id: call.id, fault: 'the detector failed on a message' }
  }
}
