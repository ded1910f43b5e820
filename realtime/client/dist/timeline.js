import { backoff } from "./clock.js";
import { PageRows } from "./database.js";
/** How often a row that was announced and does not show is looked for, before it counts as erased. */
const MaxLooks = 6;
/**
 * Puts a session's messages in order. Positions are dense in the table, and given under a lock: when a read shows position n,
 * every position below n that it does not show was erased. Live rows above a gap wait until the table was read.
 *
 *   live row ──▶ pending ──▶ next position? ── yes ─▶ deliver
 *   arrival, join, gap ────────▶ read the table ──────▲
 */
export class Timeline {
    #deps;
    #pending = new Map();
    #last = 0;
    /** The highest position heard of. */
    #heard = 0;
    #stale = false;
    #running;
    constructor(deps) {
        this.#deps = deps;
    }
    /** The position of the last message delivered. */
    get last() {
        return this.#last;
    }
    /** A row came over the socket. */
    offer(row) {
        if (row.position <= this.#last)
            return;
        this.#pending.set(row.position, row);
        this.heard(row.position);
    }
    /** A message of that position exists. */
    heard(position) {
        this.#heard = Math.max(this.#heard, position);
        void this.#kick();
    }
    /** Reads the table to its end; resolves when what it held is delivered. */
    catchUp() {
        this.#stale = true;
        return this.#kick();
    }
    #kick() {
        this.#running ??= this.#run().finally(() => {
            this.#running = undefined;
            const more = this.#stale || this.#heard > this.#last; // heard of since the last look
            if (more && !this.#deps.clock.closed)
                void this.#kick();
        });
        return this.#running;
    }
    async #run() {
        let attempt = 0;
        let looks = 0;
        while (!this.#deps.clock.closed) {
            try {
                await this.#deliverPending();
                if (!this.#stale && this.#heard <= this.#last)
                    return;
                const shown = await this.#readOn();
                attempt = 0;
                if (shown || this.#heard <= this.#last) {
                    looks = 0;
                }
                else if (++looks >= MaxLooks) {
                    this.#giveUp();
                }
                else {
                    await this.#deps.clock.wait(50 * 2 ** looks); // the log runs ahead of snapshots
                }
            }
            catch {
                // The network is away, or a row cannot be judged without it. What is wrong for good never throws here.
                await this.#deps.clock.wait(backoff(attempt++));
            }
        }
    }
    async #deliverPending() {
        for (let row = this.#pending.get(this.#last + 1); row !== undefined; row = this.#pending.get(this.#last + 1)) {
            await this.#deliver(row);
        }
    }
    /** Reads one page and delivers it; reports whether it showed anything. */
    async #readOn() {
        const whole = this.#stale;
        const page = await this.#deps.read(this.#last);
        for (const row of page)
            await this.#deliver(row);
        if (whole && page.length < PageRows)
            this.#stale = false;
        return page.length > 0;
    }
    async #deliver(row) {
        if (row.position > this.#last) {
            await this.#deps.deliver(row);
            this.#last = row.position;
        }
        for (const position of this.#pending.keys())
            if (position <= this.#last)
                this.#pending.delete(position);
    }
    /** What was announced is not in the table: erased. Goes on with what is here. */
    #giveUp() {
        const next = Math.min(this.#heard, ...this.#pending.keys());
        this.#last = this.#pending.has(next) ? next - 1 : next;
    }
}
