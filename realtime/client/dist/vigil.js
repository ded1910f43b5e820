import { RealtimeClient } from '@supabase/realtime-js';
import { Database } from "./database.js";
import { makeDevice } from "./device.js";
import { RequestError, SessionError } from "./failure.js";
import { IndexedDbStore } from "./indexeddb.js";
import { Pins } from "./pins.js";
import { Session } from "./session.js";
import { MemoryStore } from "./store.js";
/** The sidecar, as the signed-in person's app sees it. Made by vigil(). */
export class Vigil {
    /** A plain RealtimeClient on the sidecar: every feature of realtime-js is there. */
    realtime;
    userId;
    #database;
    #store;
    #account;
    #device;
    #trust;
    #sessions = new Set();
    #undo = [];
    constructor(parts) {
        this.realtime = parts.realtime;
        this.userId = parts.userId;
        this.#database = parts.database;
        this.#store = parts.store;
        this.#account = parts.account;
        this.#device = parts.device;
        this.#trust = parts.trust;
    }
    /** The id of this device in `devices`. */
    get deviceId() {
        return this.#device.kid;
    }
    /** Opens a session of the signed-in person's. Its history is on the way when this resolves. */
    async session(id) {
        const session = new Session({
            id: id.toLowerCase(),
            userId: this.userId,
            device: this.#device,
            database: this.#database,
            pins: new Pins(this.#store, this.#account),
            realtime: this.realtime,
            trustNewDevices: this.#trust,
        });
        await session.start();
        this.#sessions.add(session);
        return session;
    }
    /** Closes every session and the socket. The device stays. */
    async close() {
        for (const undo of this.#undo.splice(0))
            undo();
        await Promise.all([...this.#sessions].map((session) => session.close()));
        this.#sessions.clear();
        await this.realtime.disconnect();
    }
    /** Ends with the login, and tries again what waits when the network is back. Called by vigil(). */
    follow(supabase) {
        const { data } = supabase.auth.onAuthStateChange((event) => {
            if (event === 'SIGNED_OUT')
                void this.close();
        });
        this.#undo.push(() => {
            data.subscription.unsubscribe();
        });
        if (typeof window === 'undefined')
            return;
        const wake = () => {
            for (const session of this.#sessions)
                session.wake();
        };
        window.addEventListener('online', wake);
        this.#undo.push(() => {
            window.removeEventListener('online', wake);
        });
    }
}
/**
 * Puts Vigil beside a signed-in supabase client: makes this browser's device once, registers it, and connects to the sidecar
 * at url. Sign-in, tables and policies stay supabase-js' own.
 */
export async function vigil(supabase, url, options = {}) {
    const { data, error } = await supabase.auth.getSession();
    if (error !== null)
        throw new RequestError('read login', error.code ?? '', error.status ?? 0, error.message, '', { cause: error });
    if (data.session === null)
        throw new SessionError('not_participant', 'sign in first');
    const userId = data.session.user.id;
    const database = new Database(supabase);
    const store = options.store ?? (typeof indexedDB === 'undefined' ? new MemoryStore() : new IndexedDbStore());
    const account = `${new URL(url).origin} ${userId}`;
    const device = await registeredDevice(database, store, account, userId, options.label ?? null);
    const v = new Vigil({
        realtime: connect(supabase, url, options),
        userId, database, store, account, device,
        trust: options.newDevices === 'trust',
    });
    v.follow(supabase);
    return v;
}
/** The device of the account: kept, or made now; its row is there, or is made now. A revoked one is replaced. */
async function registeredDevice(database, store, account, userId, label) {
    const device = (await store.device(account)) ?? (await store.keepDevice(account, await makeDevice()));
    const row = await database.device(device.kid);
    if (row !== undefined && row.revoked_at !== null) {
        await store.dropDevice(account);
        return registeredDevice(database, store, account, userId, label);
    }
    if (row === undefined) {
        try {
            await database.insertDevice({ id: device.kid, user_id: userId, enc_pub: device.encPub, sig_pub: device.sigPub, label });
        }
        catch (thrown) {
            const another = thrown instanceof RequestError && thrown.code === '23505'; // a second tab was quicker
            if (!another)
                throw thrown;
        }
    }
    return device;
}
function connect(supabase, url, options) {
    const apikey = options.apiKey ?? supabase.realtime.apiKey;
    if (apikey === null)
        throw new SessionError('not_participant', 'no publishable key: pass options.apiKey');
    const endpoint = new URL(url);
    endpoint.protocol = endpoint.protocol.replace('http', 'ws');
    return new RealtimeClient(`${endpoint.href.replace(/\/$/, '')}/realtime/v1`, {
        params: { apikey },
        accessToken: async () => (await supabase.auth.getSession()).data.session?.access_token ?? null,
        transport: options.transport ?? supabase.realtime.transport,
    });
}
