import { type Device } from './device.ts';
import { type Roster } from './roster.ts';
import type { ConsentRow } from './rows.ts';
export declare const ConsentScope: {
    readonly analysis: "analysis";
    readonly crisisAccess: "crisis_access";
    readonly externalModels: "external_models";
};
export type ConsentScope = (typeof ConsentScope)[keyof typeof ConsentScope];
/** What is signed of a consent. */
export type ConsentTerms = Pick<ConsentRow, 'id' | 'session_id' | 'device_id' | 'scope' | 'text_hash'>;
/** The row with which a client's device consents to the text being used within the scope. */
export declare function signConsent(device: Device, consent: {
    readonly id: string;
    readonly sessionId: string;
    readonly text: string;
    readonly scope: readonly ConsentScope[];
}): Promise<ConsentTerms & {
    readonly signature: string;
}>;
/** The signature with which the consent's own device withdraws it. */
export declare function signWithdrawal(device: Device, terms: ConsentTerms): Promise<string>;
/** Whether a withdrawal is signed by the key: for the record, since a withdrawal counts without it. */
export declare function verifyWithdrawal(consent: ConsentRow, sigKey: CryptoKey): Promise<boolean>;
/** Whether the consent was withdrawn, by its own device or by the database's word alone. */
export declare function isWithdrawn(consent: ConsentRow): boolean;
/** Refuses, as 'consent', what is not signed by a client's device on the roster. Withdrawal is not looked at. */
export declare function verifyConsent(consent: ConsentRow, roster: Roster): Promise<void>;
