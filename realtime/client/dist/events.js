/**
 * Listeners by event: `Events` maps each event's name to what a listener is handed. A listener that throws is reported as an
 * uncaught error, and the others still hear.
 */
export class Emitter {
    #listeners = {};
    on(name, listener) {
        const listeners = (this.#listeners[name] ??= new Set());
        const own = (value) => {
            listener(value);
        };
        listeners.add(own);
        return () => {
            listeners.delete(own);
        };
    }
    emit(name, value) {
        for (const listener of this.#listeners[name] ?? [])
            call(listener, value);
    }
}
/** Calls one listener, so that what it throws ends nobody else's hearing. */
export function call(listener, value) {
    try {
        listener(value);
    }
    catch (thrown) {
        queueMicrotask(() => {
            throw thrown;
        });
    }
}
