import type { Device } from './device.ts';
/** What is remembered of a device that was seen: whose it is, and one hash over both its keys. */
export interface Pin {
    readonly kid: string;
    /** A user id, or 'analysis' for the sidecar's. */
    readonly owner: string;
    readonly fingerprint: string;
    /** False while a person has yet to acknowledge a device that appeared later. */
    readonly trusted: boolean;
}
/**
 * Where a device's keys and its pins are kept. `account` names the project and the signed-in user, so that two people on one
 * browser have two devices. Nothing else of a session is ever stored: no text, and no message that waits to be sent.
 */
export interface Store {
    device(account: string): Promise<Device | undefined>;
    /** Keeps the device unless the account has one already; returns the one that is kept. */
    keepDevice(account: string, device: Device): Promise<Device>;
    dropDevice(account: string): Promise<void>;
    pins(account: string): Promise<readonly Pin[]>;
    keepPin(account: string, pin: Pin): Promise<void>;
}
/** Forgets with the process: for tests, and for Node programs that are a new device each time. */
export declare class MemoryStore implements Store {
    #private;
    device(account: string): Promise<Device | undefined>;
    keepDevice(account: string, device: Device): Promise<Device>;
    dropDevice(account: string): Promise<void>;
    pins(account: string): Promise<readonly Pin[]>;
    keepPin(account: string, pin: Pin): Promise<void>;
}
/** Reads a device that was kept; undefined if none was. */
export declare function parseKeptDevice(value: unknown): Device | undefined;
/** Reads a pin that was kept. */
export declare function parseKeptPin(value: unknown): Pin;
