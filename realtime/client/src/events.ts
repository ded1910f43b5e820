/** Ends what it was returned for. Calling it again does nothing. */
export type Undo = () => void

type Listeners<Events> = { [Name in keyof Events]?: Set<(value: Events[Name]) => void> }

/**
 * Listeners by event: `Events` maps each event's name to what a listener is handed. A listener that throws is reported as an
 * uncaught error, and the others still hear.
 */
export class Emitter<Events> {
  readonly #listeners: Listeners<Events> = {}

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): Undo {
    const listeners = (this.#listeners[name] ??= new Set())
    const own = (value: Events[Name]): void => {
      listener(value)
    }
    listeners.add(own)
    return () => {
      listeners.delete(own)
    }
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of this.#listeners[name] ?? []) call(listener, value)
  }
}

/** Calls one listener, so that what it throws ends nobody else's hearing. */
export function call<T>(listener: (value: T) => void, value: T): void {
  try {
    listener(value)
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown
    })
  }
}
