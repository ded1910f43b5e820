import type { SupabaseClient } from '@supabase/supabase-js';
import type { ConsentTerms } from './consent.ts';
import type { NewEpoch } from './epoch.ts';
import { type ConsentRow, type DeviceRow, type EpochRow, type MessageRow, type ParticipantRow, type SealedMessage, type SessionRow } from './rows.ts';
/** What the session needs of supabase-js. */
export type Supabase = Pick<SupabaseClient, 'from' | 'rpc' | 'auth' | 'realtime'>;
/** A page of history. */
export declare const PageRows = 500;
/** The tables and functions that a session uses, through plain supabase-js; every row is parsed once, here. */
export declare class Database {
    #private;
    constructor(supabase: Supabase);
    session(id: string): Promise<SessionRow | undefined>;
    participants(sessionId: string): Promise<readonly ParticipantRow[]>;
    /** All devices, revoked ones too, of these people; and the sidecar's. */
    devices(userIds: readonly string[]): Promise<readonly DeviceRow[]>;
    device(id: string): Promise<DeviceRow | undefined>;
    insertDevice(row: {
        id: string;
        user_id: string;
        enc_pub: string;
        sig_pub: string;
        label: string | null;
    }): Promise<void>;
    consents(sessionId: string): Promise<readonly ConsentRow[]>;
    insertConsent(row: ConsentTerms & {
        readonly signature: string;
    }): Promise<void>;
    withdrawConsent(consentId: string, signature: string): Promise<void>;
    epochs(sessionId: string): Promise<readonly EpochRow[]>;
    /** The device's own wraps, by epoch. */
    wraps(sessionId: string, deviceId: string): Promise<ReadonlyMap<number, string>>;
    createEpoch(row: NewEpoch): Promise<void>;
    /** Messages after a position, in order, at most PageRows. */
    messagesAfter(sessionId: string, position: number): Promise<readonly MessageRow[]>;
    stored(messageId: string): Promise<SealedMessage | undefined>;
    /** The highest seq that the device has used in an epoch, -1 for none. */
    lastSeq(sessionId: string, deviceId: string, epoch: number): Promise<number>;
    insertMessage(m: SealedMessage): Promise<void>;
}
