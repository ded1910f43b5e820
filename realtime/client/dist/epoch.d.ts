import { type Device } from './device.ts';
import { type MemberJson, type Roster } from './roster.ts';
import type { ConsentRow, EpochRow } from './rows.ts';
/** The only suite that is made and opened. Suite 1 signed no consent id; one old test vector has it. */
export declare const Suite = 2;
/** An epoch that was verified and opened, or made here. Its key is a non-extractable CryptoKey. */
export interface Epoch {
    readonly sessionId: string;
    readonly number: number;
    readonly by: string;
    readonly roster: Roster;
    readonly consentId: string | null;
    /** HKDF input for message keys. */
    readonly key: CryptoKey;
}
/** What the reader of an epoch asks beyond the row itself. */
export interface OpenOptions {
    /** Called with a roster whose epoch is signed, before anything is opened; throws 'pin' if a known device has other keys. */
    readonly checkPins?: (roster: Roster) => Promise<void>;
    /**
     * Read what was sent before a consent was withdrawn: the participants keep their history. Never set it for sending, nor on
     * a device that analyses.
     */
    readonly history?: boolean;
}
/**
 * Verifies an epoch and unwraps its key for the device. The checks come in the same order as Go's envelope.OpenEpoch: suite,
 * format, roster hash, maker, signature, pins, consent, wrap, commitment.
 */
export declare function openEpoch(row: EpochRow, wrap: string | undefined, consent: ConsentRow | undefined, device: Device, options?: OpenOptions): Promise<Epoch>;
/** Opens the one vector of suite 1, which knew no consent. For the test of it only; not exported by the package. */
export declare function openFirstVector(row: EpochRow, wrap: string | undefined, device: Device): Promise<Epoch>;
/** What create_epoch takes. */
export interface NewEpoch {
    readonly session_id: string;
    readonly epoch: number;
    readonly device_id: string;
    readonly roster: readonly MemberJson[];
    readonly roster_hash: string;
    readonly key_commit: string;
    readonly consent_id: string | null;
    readonly signature: string;
    readonly suite: number;
    readonly wraps: Readonly<Record<string, string>>;
}
/** Makes an epoch's key, wraps it for every device of the roster, and signs it. The device must stand on the roster. */
export declare function makeEpoch(device: Device, terms: {
    readonly sessionId: string;
    readonly number: number;
    readonly roster: Roster;
    readonly consentId: string | null;
}): Promise<{
    readonly epoch: Epoch;
    readonly row: NewEpoch;
}>;
/** The AES-256-GCM key of one sender in an epoch, derived once. */
export declare function messageKey(epoch: Epoch, sender: string): Promise<CryptoKey>;
