import { type Bytes } from './bytes.ts';
/** What a device is in a roster; epoch_wraps.role has the same numbers. */
export declare const Role: {
    readonly client: 1;
    readonly therapist: 2;
    readonly onCall: 3;
    readonly analysis: 9;
};
export type Role = (typeof Role)[keyof typeof Role];
/** One device of a roster, its keys checked to lie on the curve. */
export interface Member {
    readonly kid: string;
    readonly role: Role;
    readonly encPub: Bytes;
    readonly sigPub: Bytes;
    readonly encKey: CryptoKey;
    /** undefined only for an analysis device without a signing key, as the first test vector has it. */
    readonly sigKey: CryptoKey | undefined;
}
/** A member as session_epochs.roster holds it. */
export interface MemberJson {
    readonly kid: string;
    readonly role: Role;
    readonly enc_pub: string;
    readonly sig_pub: string;
}
export type Roster = readonly Member[];
/** Reads session_epochs.roster: every key on the curve, every kid once, every role known; else 'format'. */
export declare function parseRoster(value: unknown): Promise<Roster>;
/** The roster as session_epochs.roster holds it. */
export declare function rosterJson(roster: Roster): MemberJson[];
/** SHA-256 over the label and, by rising kid, kid ‖ role ‖ SHA-256(enc_pub) ‖ SHA-256(sig_pub). */
export declare function rosterHash(roster: Roster): Promise<Bytes>;
export declare function findMember(roster: Roster, kid: string): Member | undefined;
/** Whether the roster holds an analysis key. */
export declare function isWatched(roster: Roster): boolean;
/** The member if it is a participant's device, which may make epochs and send; else 'roster'. */
export declare function participant(roster: Roster, kid: string): Member & {
    readonly sigKey: CryptoKey;
};
/** One hash over both keys of a member: what is pinned. */
export declare function fingerprint(keys: {
    readonly encPub: Bytes;
    readonly sigPub: Bytes;
}): Promise<string>;
