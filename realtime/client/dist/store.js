import { EnvelopeError, Refusal } from "./failure.js";
import { fields, flag, id, text } from "./parse.js";
/** Forgets with the process: for tests, and for Node programs that are a new device each time. */
export class MemoryStore {
    #devices = new Map();
    #pins = new Map();
    device(account) {
        return Promise.resolve(this.#devices.get(account));
    }
    keepDevice(account, device) {
        const kept = this.#devices.get(account) ?? device;
        this.#devices.set(account, kept);
        return Promise.resolve(kept);
    }
    dropDevice(account) {
        this.#devices.delete(account);
        return Promise.resolve();
    }
    pins(account) {
        return Promise.resolve([...(this.#pins.get(account)?.values() ?? [])]);
    }
    keepPin(account, pin) {
        const pins = this.#pins.get(account) ?? new Map();
        this.#pins.set(account, pins.set(pin.kid, pin));
        return Promise.resolve();
    }
}
/** Reads a device that was kept; undefined if none was. */
export function parseKeptDevice(value) {
    if (value === undefined)
        return undefined;
    const row = fields(value, 'device');
    return {
        kid: id(row, 'kid'),
        enc: parsePair(row, 'enc'),
        sig: parsePair(row, 'sig'),
        encPub: text(row, 'encPub'),
        sigPub: text(row, 'sigPub'),
    };
}
function parsePair(row, name) {
    const pair = fields(row[name], name);
    const { publicKey, privateKey } = pair;
    if (!(publicKey instanceof CryptoKey) || !(privateKey instanceof CryptoKey)) {
        throw new EnvelopeError(Refusal.format, `${name} is no key pair`);
    }
    return { publicKey, privateKey };
}
/** Reads a pin that was kept. */
export function parseKeptPin(value) {
    const row = fields(value, 'pin');
    return { kid: id(row, 'kid'), owner: text(row, 'owner'), fingerprint: text(row, 'fingerprint'), trusted: flag(row, 'trusted') };
}
