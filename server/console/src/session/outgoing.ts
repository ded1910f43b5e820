import { SessionError, type AttachedFile, type ChatMessage, type QueuedText } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Store } from '../lib/store.ts'

/**
 *   sending ─▶ queued (no answer yet; tried again by itself) ─▶ stored ─▶ (the message itself shows)
 *      │  └──▶ held: waits for a decision of the person; it goes by itself after it
 *      └──────▶ failed: surely not stored; the person sends it again, or takes it back
 */
export type OutgoingState = 'sending' | 'queued' | 'held' | 'stored' | 'failed'

/** A text on its way. Here it lives in memory; what waits for the network or a decision is kept by vigil-client, sealed. */
export interface Draft {
  readonly key: string
  readonly text: string
  readonly files: readonly AttachedFile[]
  readonly state: OutgoingState
  readonly problem: Problem | null
  readonly id: string | null
}

/** After how long a message that is not stored is said to wait. */
const QueuedAfterMs = 2500

type Send = (text: string, files: readonly AttachedFile[]) => Promise<string>

/** What is being sent from here, in order, and what an earlier visit left. */
export class Outgoing {
  readonly drafts = new Store<readonly Draft[]>([])
  readonly #send: Send
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  #closed = false

  constructor(send: Send) {
    this.#send = send
  }

  /** Sends; resolves with the message's id once it is stored, with null when it was not. */
  async send(text: string, files: readonly AttachedFile[] = []): Promise<string | null> {
    const key = crypto.randomUUID()
    this.drafts.update((old) => [...old, { key, text, files, state: 'sending', problem: null, id: null }])
    const timer = setTimeout(() => { this.#change(key, (old) => (old.state === 'sending' ? { ...old, state: 'queued' } : old)) }, QueuedAfterMs)
    this.#timers.add(timer)
    try {
      const id = await this.#send(text, files)
      this.#change(key, (old) => ({ ...old, state: 'stored', problem: null, id }))
      return id
    } catch (thrown) {
      if (thrown instanceof SessionError && thrown.reason === 'taken_back') return null
      this.#change(key, (old) => ({ ...old, state: 'failed', problem: problemOf(thrown, 'send the message') }))
      return null
    } finally {
      clearTimeout(timer)
      this.#timers.delete(timer)
    }
  }

  /** Takes what vigil-client says of its queue: what waits and why, also what an earlier visit left; what left it is stored or taken out. */
  queued(queue: readonly QueuedText[]): void {
    this.drafts.update((old) => {
      const claimed = new Set(old.map((one) => one.id))
      const known = old.map((draft) => {
        const next = held(draft, queue, claimed)
        claimed.add(next.id)
        return next
      })
      const left = queue.filter((one) => !claimed.has(one.id)).map(leftOver)
      return [...known.filter((one) => one.key !== one.id || queue.some((waiting) => waiting.id === one.id)), ...left]
    })
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
    const files = this.drafts.get().find((one) => one.key === key)?.files ?? []
    return this.send(this.takeBack(key), files)
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

/** A draft as the queue has it: by its id, or by its text before the queue has named it. */
function held(draft: Draft, queue: readonly QueuedText[], claimed: ReadonlySet<string | null>): Draft {
  if (draft.state === 'failed' || draft.state === 'stored') return draft
  const waiting = queue.find((one) => one.id === draft.id) ?? (draft.id === null ? queue.find((one) => one.text === draft.text && !claimed.has(one.id)) : undefined)
  if (waiting === undefined) return draft
  const problem = waiting.held === null ? null : problemOf(waiting.held, 'send the message')
  const state = problem === null ? (draft.state === 'held' ? 'sending' : draft.state) : 'held'
  return { ...draft, id: waiting.id, state, problem }
}

/** What waits from an earlier visit; its key is its id, for nobody here asked for it. */
function leftOver(one: QueuedText): Draft {
  const problem = one.held === null ? null : problemOf(one.held, 'send the message')
  return { key: one.id, text: one.text, files: one.files, state: problem === null ? 'queued' : 'held', problem, id: one.id }
}
