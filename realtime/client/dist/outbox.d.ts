import { type Clock } from './clock.ts';
import type { SealedMessage } from './rows.ts';
/** What an outbox needs; `seal` may make an epoch on the way. */
export interface OutboxDeps {
    readonly seal: (id: string, text: string) => Promise<SealedMessage>;
    readonly insert: (m: SealedMessage) => Promise<void>;
    readonly stored: (id: string) => Promise<SealedMessage | undefined>;
    /** Called once a message is surely stored. */
    readonly sent: (m: SealedMessage) => void;
    /** Reads the session again: it is another than the one the message was sealed for. */
    readonly refresh: () => Promise<void>;
    readonly clock: Clock;
}
/**
 * Sends one message after the other, in the order given.
 *
 *   draft ─seal─▶ sealed ─insert─▶ stored                         resolve(id)
 *     ▲             │ ├─ no answer ─▶ wait ─▶ the same row again  (a doubled id of its own is "stored")
 *     └─ seal anew ─┘ └─ refused    ─▶ stored after all? else     reject(error)
 *
 * Guarantees: a message is stored once, whatever the network answered; a later one never overtakes an earlier one; a seq is
 * used up only by a stored message, so a refusal leaves no hole.
 */
export declare class Outbox {
    #private;
    constructor(deps: OutboxDeps);
    /** How many messages are waiting. */
    get waiting(): number;
    /** Resolves with the message's id when it is stored. */
    send(text: string, id?: string): Promise<string>;
}
