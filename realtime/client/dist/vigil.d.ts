import { RealtimeClient, type RealtimeClientOptions } from '@supabase/realtime-js';
import { Database, type Supabase } from './database.ts';
import { type Device } from './device.ts';
import { Session } from './session.ts';
import { type Store } from './store.ts';
/** Options of vigil(); all have defaults. */
export interface VigilOptions {
    /** Where keys are kept. Default: IndexedDB; where there is none (Node), memory: a new device for each process. */
    readonly store?: Store;
    /** What the person calls this device. */
    readonly label?: string;
    /** The WebSocket to use. Default: the one that the supabase client was given. */
    readonly transport?: NonNullable<RealtimeClientOptions['transport']>;
    /** The project's publishable key. Default: the supabase client's. */
    readonly apiKey?: string;
    /**
     * What to do with a device that appears later for someone already known. 'ask' (default) refuses to send until it is
     * acknowledged; 'trust' takes the database's word for it, which gives up the protection against a replaced device.
     */
    readonly newDevices?: 'ask' | 'trust';
}
/** The sidecar, as the signed-in person's app sees it. Made by vigil(). */
export declare class Vigil {
    #private;
    /** A plain RealtimeClient on the sidecar: every feature of realtime-js is there. */
    readonly realtime: RealtimeClient;
    readonly userId: string;
    constructor(parts: {
        readonly realtime: RealtimeClient;
        readonly userId: string;
        readonly database: Database;
        readonly store: Store;
        readonly account: string;
        readonly device: Device;
        readonly trust: boolean;
    });
    /** The id of this device in `devices`. */
    get deviceId(): string;
    /** Opens a session of the signed-in person's. Its history is on the way when this resolves. */
    session(id: string): Promise<Session>;
    /** Closes every session and the socket. The device stays. */
    close(): Promise<void>;
    /** Ends with the login, and tries again what waits when the network is back. Called by vigil(). */
    follow(supabase: Supabase): void;
}
/**
 * Puts Vigil beside a signed-in supabase client: makes this browser's device once, registers it, and connects to the sidecar
 * at url. Sign-in, tables and policies stay supabase-js' own.
 */
export declare function vigil(supabase: Supabase, url: string, options?: VigilOptions): Promise<Vigil>;
