import type { RealtimeClient } from '@supabase/realtime-js';
import { ConsentScope } from './consent.ts';
import { type Undo } from './events.ts';
import { type Refusal } from './failure.ts';
import { type Fields } from './parse.ts';
import { type ConsentRow, type DeviceRow, type ParticipantRole as PersonRole, type SessionRow } from './rows.ts';
import { TopicStatus } from './topic.ts';
import type { Database } from './database.ts';
import type { Device } from './device.ts';
import type { Pins } from './pins.ts';
/** Why a message is shown with a mark: it cannot be read, or it comes from a device that nobody has acknowledged. */
export type Badge = {
    readonly kind: 'unreadable';
    readonly refusal: Refusal;
} | {
    readonly kind: 'new_device';
    readonly deviceId: string;
};
/** A message, verified and opened; or its place, with a badge that says why not. */
export interface ChatMessage {
    readonly id: string;
    readonly position: number;
    readonly from: {
        readonly userId: string;
        readonly deviceId: string;
        readonly role: PersonRole | null;
        readonly me: boolean;
    };
    /** null when the badge is 'unreadable'. */
    readonly text: string | null;
    readonly badge: Badge | null;
    /** Whether the sidecar watches this message. */
    readonly watched: boolean;
    /** How many messages of the same device and epoch are missing just before this one. */
    readonly missing: number;
    /** By the database's clock. */
    readonly at: Date;
}
/** What a session's listeners hear. */
export interface SessionEvents {
    message: ChatMessage;
    /** The session's row, at first and whenever it changed. */
    session: SessionRow;
    /** The consents, whenever one was given or withdrawn. */
    consent: readonly ConsentRow[];
    /** Devices to acknowledge before sending: new ones of people already known, or known ones with other keys. */
    devices: readonly string[];
    status: TopicStatus;
    /** Clinicians: a row of assessments or alerts, as it was committed (topic care:<session>). */
    assessment: Fields;
    alert: Fields;
    /** What went wrong in the background. Never holds text. */
    error: Error;
}
export interface SessionDeps {
    readonly id: string;
    readonly userId: string;
    readonly device: Device;
    readonly database: Database;
    readonly pins: Pins;
    readonly realtime: RealtimeClient;
    readonly trustNewDevices: boolean;
}
/** One therapy session, as one of its people sees it. Made by Vigil.session. */
export declare class Session {
    #private;
    readonly id: string;
    constructor(deps: SessionDeps);
    /** Reads the session, pins whom it meets, and joins its topic; history follows by itself. Called by Vigil.session. */
    start(): Promise<void>;
    /** The session's row, as last read. */
    get row(): SessionRow;
    get status(): TopicStatus;
    /** Whether the sidecar is to watch what is sent now; if not, both screens say so. */
    get watched(): boolean;
    /** Messages that are not stored yet. */
    get waiting(): number;
    /** The devices that can read what is sent now: always shown. */
    get readers(): readonly DeviceRow[];
    /**
     * Listens. For 'message': first the messages there are, in order, then each new one once. For 'session': the row as it is,
     * then its changes. Returns the undo.
     */
    on<Name extends keyof SessionEvents>(name: Name, listener: (value: SessionEvents[Name]) => void): Undo;
    /**
     * Seals and sends a text; resolves with the message's id when it is stored. While the network is away it waits, in order,
     * in memory. Rejects with SessionError, DeviceChangedError, EnvelopeError or RequestError, and then it was surely not stored.
     */
    send(text: string): Promise<string>;
    /** Verifies and opens one row of `messages`, wherever it comes from. */
    open(row: unknown): Promise<ChatMessage>;
    /** The consent of the session's client. */
    readonly consent: {
        /** Signs and stores a consent to the text that was shown; resolves with its id. The client's only. */
        give: (terms: {
            readonly text: string;
            readonly scope?: readonly ConsentScope[];
        }) => Promise<string>;
        /** Withdraws a consent: what is sent after it is under another epoch. */
        withdraw: (id: string) => Promise<void>;
        /** All consents of the session, as last read. */
        list: () => readonly ConsentRow[];
    };
    /** Trusts a device with the keys it has now: the people compared the safety number. */
    acknowledge(deviceId: string): Promise<void>;
    /** Tries at once what waits for the network: call it when the browser is online again. */
    wake(): void;
    /** Leaves the topics. What was not stored is rejected as 'closed'. */
    close(): Promise<void>;
}
