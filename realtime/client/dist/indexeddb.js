import { toError } from "./failure.js";
import { parseKeptDevice, parseKeptPin } from "./store.js";
const Devices = 'devices';
const PinsByAccount = 'pins';
/**
 * Keeps keys in IndexedDB as non-extractable CryptoKeys: a script of the page may use them and never read them. Clearing the
 * site's data loses the device, and with it the history that only it can open.
 */
export class IndexedDbStore {
    #name;
    #factory;
    #database;
    constructor(name = 'vigil', factory = indexedDB) {
        this.#name = name;
        this.#factory = factory;
    }
    async device(account) {
        const store = await this.#store(Devices, 'readonly');
        return parseKeptDevice(await done(store.get(account)));
    }
    async keepDevice(account, device) {
        const store = await this.#store(Devices, 'readwrite');
        const kept = parseKeptDevice(await done(store.get(account))); // one transaction: a second tab waits for it
        if (kept !== undefined)
            return kept;
        await done(store.put(device, account));
        return device;
    }
    async dropDevice(account) {
        const store = await this.#store(Devices, 'readwrite');
        await done(store.delete(account));
    }
    async pins(account) {
        const store = await this.#store(PinsByAccount, 'readonly');
        const kept = await done(store.index('account').getAll(account));
        return Array.isArray(kept) ? kept.map(parseKeptPin) : [];
    }
    async keepPin(account, pin) {
        const store = await this.#store(PinsByAccount, 'readwrite');
        await done(store.put({ ...pin, account }, [account, pin.kid]));
    }
    async #store(name, mode) {
        this.#database ??= this.#connect();
        return (await this.#database).transaction(name, mode).objectStore(name);
    }
    async #connect() {
        const request = this.#factory.open(this.#name, 1);
        request.onupgradeneeded = () => {
            request.result.createObjectStore(Devices);
            request.result.createObjectStore(PinsByAccount).createIndex('account', 'account');
        };
        await done(request);
        return request.result;
    }
}
function done(request) {
    return new Promise((resolve, reject) => {
        request.addEventListener('success', () => {
            resolve(request.result);
        });
        request.addEventListener('error', () => {
            reject(toError(request.error, 'use the key store'));
        });
    });
}
