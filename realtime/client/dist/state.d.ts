import { type Epoch } from './epoch.ts';
import type { Database } from './database.ts';
import type { Device } from './device.ts';
import type { Pins } from './pins.ts';
import { type ConsentRow, type DeviceRow, type ParticipantRow, type SessionRow } from './rows.ts';
export interface StateDeps {
    readonly id: string;
    readonly device: Device;
    readonly database: Database;
    readonly pins: Pins;
    readonly now: () => number;
}
/** What is known of a session, read again whenever something of it changed; and the epochs opened from it. */
export declare class State {
    #private;
    constructor(deps: StateDeps);
    get row(): SessionRow;
    get participants(): readonly ParticipantRow[];
    get devices(): readonly DeviceRow[];
    get consents(): readonly ConsentRow[];
    /** Reads everything again. What is open stays open for reading; sending looks at it anew. */
    refresh(): Promise<void>;
    /** The devices that must hold the next epoch's key, as the database expects them. */
    expectedDevices(): readonly DeviceRow[];
    /** The epoch of that number, opened for reading: also what was sent before a consent was withdrawn. */
    reading(number: number): Promise<Epoch>;
    /** Devices that a person must acknowledge before anything is sent. */
    unacknowledged(): Promise<readonly string[]>;
    /** The epoch to send under: the newest if it still fits, or a new one. */
    sending(): Promise<Epoch>;
    /** The next seq of this device in an epoch. It stays the next until `sent`. */
    nextSeq(epoch: number): Promise<number>;
    sent(epoch: number, seq: number): void;
}
