import { type Clock } from './clock.ts';
import type { MessageRow } from './rows.ts';
export interface TimelineDeps {
    /** Rows after a position, in order, at most PageRows. */
    readonly read: (position: number) => Promise<readonly MessageRow[]>;
    /** Called for each message once, by rising position. May throw when the network is away: it is called again then. */
    readonly deliver: (row: MessageRow) => Promise<void>;
    readonly clock: Clock;
}
/**
 * Puts a session's messages in order. Positions are dense in the table, and given under a lock: when a read shows position n,
 * every position below n that it does not show was erased. Live rows above a gap wait until the table was read.
 *
 *   live row ──▶ pending ──▶ next position? ── yes ─▶ deliver
 *   arrival, join, gap ────────▶ read the table ──────▲
 */
export declare class Timeline {
    #private;
    constructor(deps: TimelineDeps);
    /** The position of the last message delivered. */
    get last(): number;
    /** A row came over the socket. */
    offer(row: MessageRow): void;
    /** A message of that position exists. */
    heard(position: number): void;
    /** Reads the table to its end; resolves when what it held is delivered. */
    catchUp(): Promise<void>;
}
