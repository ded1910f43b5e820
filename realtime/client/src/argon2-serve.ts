/** The Worker's side of Argon2id. Apart from the page's, so that a bundler finds no Worker within the Worker. */
import { argon2idAsync } from '@noble/hashes/argon2.js'
import type { Argon2, Argon2Answer, Argon2Call } from './argon2.ts'
import { KeyBytes } from './bytes.ts'

/** In this thread, which goes on answering meanwhile. */
export const argon2Here: Argon2 = async (passphrase, salt, parameters) => {
  const { memoryKiB: m, passes: t, lanes: p } = parameters
  return new Uint8Array(await argon2idAsync(passphrase, salt, { m, t, p, dkLen: KeyBytes }))
}

/** The Worker's scope, or a port. */
export interface Argon2Port {
  postMessage(message: Argon2Answer): void
  addEventListener(type: 'message', heard: (event: { readonly data: Argon2Call }) => void): void
}

/** Answers each call. What it was given is in no fault. */
export function serveArgon2(port: Argon2Port): void {
  port.addEventListener('message', ({ data: call }) => {
    argon2Here(call.passphrase, call.salt, call).then(
      (key) => { port.postMessage({ key }) },
      () => { port.postMessage({ fault: `no key could be derived: it takes ${call.memoryKiB} KiB of memory` }) },
    ).finally(() => { call.passphrase.fill(0) })
  })
}
