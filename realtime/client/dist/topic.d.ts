import type { RealtimeClient } from '@supabase/realtime-js';
import { type Fields } from './parse.ts';
/** A durable broadcast of the sidecar: the row that was committed, and its place in the log. */
export interface TopicEvent {
    readonly event: string;
    /** The row; still unknown until its own parse function has seen it. */
    readonly row: Fields;
}
export declare const TopicStatus: {
    readonly joined: "joined";
    readonly waiting: "waiting";
    readonly ended: "ended";
};
/** joined; waiting for a connection or a grant, and trying by itself; ended by the server, for good. */
export type TopicStatus = (typeof TopicStatus)[keyof typeof TopicStatus];
export interface TopicListener {
    readonly event: (event: TopicEvent) => void;
    readonly status: (status: TopicStatus) => void;
}
/**
 * One private topic over a plain RealtimeClient. Each broadcast's cursor goes into the payload of the next join, so that a
 * re-join is sent what it missed; the listener reads the tables anew on every `joined`, so nothing rests on that.
 */
export declare class Topic {
    #private;
    constructor(client: RealtimeClient, name: string, listener: TopicListener);
    /** Joins, with a token in place: a join without one would be refused and tried again a second later. */
    join(): Promise<void>;
    leave(): Promise<void>;
}
