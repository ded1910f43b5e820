/** Waits, so that tests can hold them and a closed session ends them. */
export class Clock {
    #ending = new Set();
    #closed = false;
    get closed() {
        return this.#closed;
    }
    /** Resolves after the milliseconds, or at once when woken or closed. */
    wait(ms) {
        if (this.#closed)
            return Promise.resolve();
        return new Promise((resolve) => {
            const end = () => {
                clearTimeout(timer);
                this.#ending.delete(end);
                resolve();
            };
            const timer = setTimeout(end, ms);
            this.#ending.add(end);
        });
    }
    /** Ends every wait: the network is back. */
    wake() {
        for (const end of this.#ending)
            end();
    }
    close() {
        this.#closed = true;
        this.wake();
    }
}
const FirstWait = 500;
const LongestWait = 30_000;
/** How long to wait before trying again, by how often it was tried: doubling from 0.5 s to 30 s, with jitter. */
export function backoff(attempt) {
    const whole = Math.min(LongestWait, FirstWait * 2 ** Math.min(attempt, 16));
    return whole / 2 + (Math.random() * whole) / 2;
}
