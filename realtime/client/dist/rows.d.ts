export declare const SessionMode: {
    readonly strict: "strict";
    readonly assisted: "assisted";
};
export type SessionMode = (typeof SessionMode)[keyof typeof SessionMode];
export declare const SessionStatus: {
    readonly scheduled: "scheduled";
    readonly active: "active";
    readonly paused: "paused";
    readonly ended: "ended";
};
export type SessionStatus = (typeof SessionStatus)[keyof typeof SessionStatus];
export declare const ParticipantRole: {
    readonly client: "client";
    readonly therapist: "therapist";
};
export type ParticipantRole = (typeof ParticipantRole)[keyof typeof ParticipantRole];
export declare const DeviceKind: {
    readonly participant: "participant";
    readonly analysis: "analysis";
};
export type DeviceKind = (typeof DeviceKind)[keyof typeof DeviceKind];
export interface SessionRow {
    readonly id: string;
    readonly organization_id: string;
    readonly mode: SessionMode;
    readonly status: SessionStatus;
    readonly min_epoch: number;
}
export interface ParticipantRow {
    readonly session_id: string;
    readonly user_id: string;
    readonly role: ParticipantRole;
    readonly ended_at: string | null;
}
export interface DeviceRow {
    readonly id: string;
    readonly user_id: string | null;
    readonly kind: DeviceKind;
    readonly enc_pub: string;
    readonly sig_pub: string;
    readonly created_at: string;
    readonly revoked_at: string | null;
}
export interface ConsentRow {
    readonly id: string;
    readonly session_id: string;
    readonly device_id: string;
    readonly scope: readonly string[];
    readonly text_hash: string;
    readonly signature: string;
    readonly withdrawn_at: string | null;
    readonly withdrawal_signature: string | null;
}
/** A row of session_epochs; the reader's own wrap is beside it, for its own table has it. */
export interface EpochRow {
    readonly session_id: string;
    readonly epoch: number;
    readonly device_id: string;
    readonly roster: unknown;
    readonly roster_hash: string;
    readonly key_commit: string;
    readonly consent_id: string | null;
    readonly signature: string;
    readonly suite: number;
    readonly created_at: string | null;
}
/** What pe1 binds of a row of messages. */
export interface SealedMessage {
    readonly id: string;
    readonly session_id: string;
    readonly sender_device_id: string;
    readonly epoch: number;
    readonly seq: number;
    readonly body: string;
}
export interface MessageRow extends SealedMessage {
    readonly sender_id: string;
    readonly position: number;
    readonly assisted: boolean;
    readonly created_at: string;
}
export declare function parseSession(value: unknown): SessionRow;
export declare function parseParticipant(value: unknown): ParticipantRow;
export declare function parseDevice(value: unknown): DeviceRow;
export declare function parseConsent(value: unknown): ConsentRow;
export declare function parseEpoch(value: unknown): EpochRow;
export declare function parseSealed(value: unknown): SealedMessage;
export declare function parseMessage(value: unknown): MessageRow;
