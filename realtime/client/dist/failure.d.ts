/** Why an envelope, an epoch or a consent is refused: the same codes as Go's envelope.Failure. */
export declare const Refusal: {
    readonly format: "format";
    readonly suite: "suite";
    readonly roster: "roster";
    readonly signature: "signature";
    readonly pin: "pin";
    readonly consent: "consent";
    readonly wrap: "wrap";
    readonly commitment: "commitment";
    readonly epoch: "epoch";
    readonly body: "body";
};
export type Refusal = (typeof Refusal)[keyof typeof Refusal];
/** A refusal, with its code. Its message names ids and sizes, never text, ciphertext or keys. */
export declare class EnvelopeError extends Error {
    readonly name = "EnvelopeError";
    readonly refusal: Refusal;
    constructor(refusal: Refusal, message: string, options?: ErrorOptions);
}
/** What the database or the network answered, normalised. `code` is the SQLSTATE or PostgREST's code, '' for none. */
export declare class RequestError extends Error {
    readonly name = "RequestError";
    readonly code: string;
    readonly status: number;
    readonly details: string;
    constructor(attempt: string, code: string, status: number, message: string, details?: string, options?: ErrorOptions);
    /** Whether the same request may succeed later: no answer, too many, a login being refreshed, a server at fault. */
    get temporary(): boolean;
}
/** Devices whose keys changed, or that appeared for someone already known: sending waits for an acknowledgement. */
export declare class DeviceChangedError extends Error {
    readonly name = "DeviceChangedError";
    readonly devices: readonly string[];
    constructor(devices: readonly string[]);
}
/** Nothing was sent, and the reason lies in the session, not in the envelope. */
export declare class SessionError extends Error {
    readonly name = "SessionError";
    readonly reason: 'not_active' | 'consent_missing' | 'not_participant' | 'closed';
    constructor(reason: SessionError['reason'], message: string, options?: ErrorOptions);
}
/** Makes an Error of anything that was thrown, keeping it as the cause. */
export declare function toError(thrown: unknown, attempt: string): Error;
