import { type Roster } from './roster.ts';
import { type DeviceRow } from './rows.ts';
import type { Store } from './store.ts';
/** The owner under which the sidecar's devices are pinned. */
export declare const AnalysisOwner = "analysis";
/**
 * Keys pinned on first use. All devices that a person has when first met are trusted; one that appears later waits for an
 * acknowledgement, and one whose keys changed is refused. Without this, someone with the database in hand could replace a
 * whole roster, or add a device of their own to it.
 */
export declare class Pins {
    #private;
    constructor(store: Store, account: string);
    /** Refuses, as 'pin', a roster with a known device under other keys. */
    checkRoster(roster: Roster): Promise<void>;
    /** Remembers the devices of a roster that opened, without a word on whose they are. They are not yet trusted. */
    keepRoster(roster: Roster): Promise<void>;
    /**
     * Meets the rows of `devices`: pins the devices of people not met before. Returns the kids that must be acknowledged before
     * anything is sent: those with other keys than pinned, and those new for someone already known.
     */
    meet(rows: readonly DeviceRow[]): Promise<readonly string[]>;
    /** Trusts a device with the keys it has now: a person compared the safety number, or did not care to. */
    acknowledge(row: DeviceRow): Promise<void>;
    isTrusted(kid: string): Promise<boolean>;
}
