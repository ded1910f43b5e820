import type { ChatMessage } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Store } from '../lib/store.ts'

/**
 *   sending ─▶ queued (no answer yet; tried again by itself) ─▶ stored ─▶ (the message itself shows)
 *      └───────────┴──▶ failed: surely not stored; the person sends it again, or takes it back
 */
export type OutgoingState = 'sending' | 'queued' | 'stored' | 'failed'

/** A text on its way. It lives in memory only. */
export interface Draft {
  readonly key: string
  readonly text: string
  readonly state: OutgoingState
  readonly problem: Problem | null
  readonly id: string | null
}

/** After how long a message that is not stored is said to wait. */
const QueuedAfterMs = 2500

/** What is being sent from here, in order. */
export class Outgoing {
  readonly drafts = new Store<readonly Draft[]>([])
  readonly #send: (text: string) => Promise<string>
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  #closed = false

  constructor(send: (text: string) => Promise<string>) {
    this.#send = send
  }

  /** Sends; resolves with the message's id once it is stored, with null when it was not. */
  async send(text: string): Promise<string | null> {
    const key = crypto.randomUUID()
    this.drafts.update((old) => [...old, { key, text, state: 'sending', problem: null, id: null }])
    const timer = setTimeout(() => { this.#change(key, (old) => (old.state === 'sending' ? { ...old, state: 'queued' } : old)) }, QueuedAfterMs)
    this.#timers.add(timer)
    try {
      const id = await this.#send(text)
      this.#change(key, (old) => ({ ...old, state: 'stored', id }))
      return id
    } catch (thrown) {
      this.#change(key, (old) => ({ ...old, state: 'failed', problem: problemOf(thrown, 'send the message') }))
      return null
    } finally {
      clearTimeout(timer)
      this.#timers.delete(timer)
    }
  }

  /** The message itself came: its draft need not be shown any more. It may come before `send` has heard that it is stored. */
  arrived(message: Pick<ChatMessage, 'id' | 'text'>): void {
    this.drafts.update((old) => {
      const stored = old.find((one) => one.id === message.id)
      const sending = old.find((one) => one.id === null && one.state !== 'failed' && one.text === message.text)
      const shown = stored ?? sending
      return shown === undefined ? old : old.filter((one) => one !== shown)
    })
  }

  /** Takes a failed text back; gives it, for the composer. */
  takeBack(key: string): string {
    const draft = this.drafts.get().find((one) => one.key === key)
    this.drafts.update((old) => old.filter((one) => one.key !== key))
    return draft?.text ?? ''
  }

  async retry(key: string): Promise<string | null> {
    return this.send(this.takeBack(key))
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #change(key: string, change: (draft: Draft) => Draft): void {
    if (this.#closed) return
    this.drafts.update((old) => old.map((one) => (one.key === key ? change(one) : one)))
  }
}
