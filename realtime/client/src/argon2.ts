/** Argon2id: in a Worker of the browser, loaded when a passphrase is first used; where there is none (Node), in turns with the rest. */
import type { Bytes } from './bytes.ts'

export interface Argon2Parameters {
  readonly memoryKiB: number
  readonly passes: number
  readonly lanes: number
}

/** Derives 32 bytes from a passphrase. */
export type Argon2 = (passphrase: Bytes, salt: Bytes, parameters: Argon2Parameters) => Promise<Bytes>

/** As much of a Worker as is needed. */
export interface Argon2Worker {
  postMessage(message: unknown): void
  addEventListener(type: 'message', heard: (event: { readonly data: Argon2Answer }) => void): void
  addEventListener(type: 'error', heard: () => void): void
  terminate(): void
}

/** What is asked of the Worker, and what it answers. */
export interface Argon2Call extends Argon2Parameters {
  readonly passphrase: Bytes
  readonly salt: Bytes
}
export type Argon2Answer = { readonly key: Bytes } | { readonly fault: string }

/**
 * Argon2id in a Worker that the page makes: one for each derivation, which takes its memory with it when it ends. For pages whose
 * Content-Security-Policy asks for trusted types, and for bundlers that make a Worker's address themselves.
 *
 *     argon2In(() => new Worker(new URL('vigil-client/argon2-worker', import.meta.url), { type: 'module' }))
 */
export function argon2In(worker: () => Argon2Worker): Argon2 {
  return (passphrase, salt, parameters) => new Promise((resolve, reject) => {
    const running = worker()
    const end = (settle: () => void): void => {
      running.terminate()
      settle()
    }
    running.addEventListener('message', ({ data }) => {
      end(() => {
        if ('key' in data) resolve(data.key)
        else reject(new Error(data.fault))
      })
    })
    running.addEventListener('error', () => {
      end(() => {
        reject(new Error(`the Worker that derives keys failed: it takes ${parameters.memoryKiB} KiB of memory`))
      })
    })
    running.postMessage({ passphrase, salt, ...parameters } satisfies Argon2Call)
  })
}

/** In the Worker beside this module where there are Workers. */
export const argon2: Argon2 = async (passphrase, salt, parameters) => {
  if (typeof Worker === 'undefined') {
    const { argon2Here } = await import('./argon2-serve.ts')
    return argon2Here(passphrase, salt, parameters)
  }
  return argon2In(() => new Worker(new URL('./argon2-worker.js', import.meta.url), { type: 'module' }))(passphrase, salt, parameters)
}
