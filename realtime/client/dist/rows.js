/** Rows as SQL has them (sql/README.md), each with the one function that may make it from what came off the wire. */
import { fields, flag, id, list, oneOf, optionalId, optionalText, text, whole } from "./parse.js";
export const SessionMode = { strict: 'strict', assisted: 'assisted' };
export const SessionStatus = { scheduled: 'scheduled', active: 'active', paused: 'paused', ended: 'ended' };
export const ParticipantRole = { client: 'client', therapist: 'therapist' };
export const DeviceKind = { participant: 'participant', analysis: 'analysis' };
export function parseSession(value) {
    const row = fields(value, 'session');
    return {
        id: id(row, 'id'),
        organization_id: id(row, 'organization_id'),
        mode: oneOf(row, 'mode', SessionMode),
        status: oneOf(row, 'status', SessionStatus),
        min_epoch: whole(row, 'min_epoch'),
    };
}
export function parseParticipant(value) {
    const row = fields(value, 'participant');
    return {
        session_id: id(row, 'session_id'),
        user_id: id(row, 'user_id'),
        role: oneOf(row, 'role', ParticipantRole),
        ended_at: optionalText(row, 'ended_at'),
    };
}
export function parseDevice(value) {
    const row = fields(value, 'device');
    return {
        id: id(row, 'id'),
        user_id: optionalId(row, 'user_id'),
        kind: oneOf(row, 'kind', DeviceKind),
        enc_pub: text(row, 'enc_pub'),
        sig_pub: text(row, 'sig_pub'),
        created_at: text(row, 'created_at'),
        revoked_at: optionalText(row, 'revoked_at'),
    };
}
export function parseConsent(value) {
    const row = fields(value, 'consent');
    return {
        id: id(row, 'id'),
        session_id: id(row, 'session_id'),
        device_id: id(row, 'device_id'),
        scope: list(row['scope'], 'scope').map((scope) => text({ scope }, 'scope')),
        text_hash: text(row, 'text_hash'),
        signature: text(row, 'signature'),
        withdrawn_at: optionalText(row, 'withdrawn_at'),
        withdrawal_signature: optionalText(row, 'withdrawal_signature'),
    };
}
export function parseEpoch(value) {
    const row = fields(value, 'epoch');
    return {
        session_id: id(row, 'session_id'),
        epoch: whole(row, 'epoch'),
        device_id: id(row, 'device_id'),
        roster: row['roster'],
        roster_hash: text(row, 'roster_hash'),
        key_commit: text(row, 'key_commit'),
        consent_id: optionalId(row, 'consent_id'),
        signature: text(row, 'signature'),
        suite: whole(row, 'suite'),
        created_at: optionalText(row, 'created_at'),
    };
}
export function parseSealed(value) {
    const row = fields(value, 'message');
    return {
        id: id(row, 'id'),
        session_id: id(row, 'session_id'),
        sender_device_id: id(row, 'sender_device_id'),
        epoch: whole(row, 'epoch'),
        seq: whole(row, 'seq'),
        body: text(row, 'body'),
    };
}
export function parseMessage(value) {
    const row = fields(value, 'message');
    return {
        ...parseSealed(value),
        sender_id: id(row, 'sender_id'),
        position: whole(row, 'position'),
        assisted: flag(row, 'assisted'),
        created_at: text(row, 'created_at'),
    };
}
