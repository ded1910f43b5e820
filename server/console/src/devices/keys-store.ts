import { DeviceState, EnvelopeError, type HistoryState, type OwnDevice, type Vigil, type WaitingDevice } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { whileLookedAt } from '../lib/again.ts'
import { Store, type Undo } from '../lib/store.ts'

/** What stands about the keys of the person who is signed in. */
export type KeysView =
  | { readonly phase: 'loading' }
  | { readonly phase: 'failed'; readonly problem: Problem }
  | {
      readonly phase: 'ready'
      readonly vigil: Vigil
      readonly state: DeviceState
      readonly code: string
      readonly history: HistoryState
      readonly waiting: readonly WaitingDevice[]
      readonly devices: readonly OwnDevice[]
      /** Others of one's own that nobody has confirmed to this one. */
      readonly unacknowledged: readonly string[]
      /** What somebody else put among the recovery keys. */
      readonly forged?: Problem
    }

const forgedWords: Problem = {
  title: 'Somebody else added a recovery key under your name', next: 'It was passed over and is given nothing. Change your login password, look at your devices below, and tell an administrator.', code: 'recovery_forged',
}

/** How often one looks while this device waits for another, which its owner has in the other hand. */
const SoonMs = 2000

/** This device, the person's others, and whether their history could be lost: always in sight, for a loss is noticed too late. */
export class KeysStore {
  readonly view = new Store<KeysView>({ phase: 'loading' })
  readonly #vigil: () => Promise<Vigil>
  readonly #undo: Undo[] = []
  #closed = false
  #following = false

  constructor(vigil: () => Promise<Vigil>) {
    this.#vigil = vigil
  }

  open(): void {
    this.#undo.push(whileLookedAt(() => { void this.read() }), whileLookedAt(() => { if (this.#awaits()) void this.read() }, SoonMs))
    void this.read()
  }

  /** Whether something is due any moment: this device let in, or another one. */
  #awaits(): boolean {
    const view = this.view.get()
    return view.phase === 'ready' && (view.state === DeviceState.waiting || view.history.state === 'locked')
  }

  close(): void {
    this.#closed = true
    for (const undo of this.#undo.splice(0)) undo()
  }

  /** Reads anew; what changes by itself comes by the events. */
  async read(): Promise<void> {
    try {
      const vigil = await this.#vigil()
      const devices = await vigil.devices.list()
      if (this.#closed) return
      this.view.update((old) => ({
        phase: 'ready', vigil, state: vigil.devices.state, code: vigil.devices.code, history: vigil.history, devices,
        ...(old.phase === 'ready' && old.forged !== undefined ? { forged: old.forged } : {}),
        waiting: old.phase === 'ready' ? old.waiting : [], unacknowledged: old.phase === 'ready' ? old.unacknowledged : [],
      }))
      this.#follow(vigil)
    } catch (thrown) {
      if (!this.#closed && this.view.get().phase !== 'ready') this.view.set({ phase: 'failed', problem: problemOf(thrown, 'read your devices') })
    }
  }

  #follow(vigil: Vigil): void {
    if (this.#following) return
    this.#following = true
    const change = (next: Partial<Extract<KeysView, { readonly phase: 'ready' }>>): void => {
      this.view.update((old) => (old.phase === 'ready' ? { ...old, ...next } : old))
    }
    this.#undo.push(
      vigil.on('device', (state) => {
        change({ state, code: vigil.devices.code })
        void this.read()
      }),
      vigil.on('history', (history) => { change({ history }) }),
      vigil.on('unacknowledged', (unacknowledged) => { change({ unacknowledged }) }),
      vigil.on('error', (error) => {
        if (error instanceof EnvelopeError) change({ forged: forgedWords })
      }),
      vigil.on('waiting', (waiting) => {
        change({ waiting })
        void this.read()
      }),
    )
  }
}
