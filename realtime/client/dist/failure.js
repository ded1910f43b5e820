/** Why an envelope, an epoch or a consent is refused: the same codes as Go's envelope.Failure. */
export const Refusal = {
    format: 'format',
    suite: 'suite',
    roster: 'roster',
    signature: 'signature',
    pin: 'pin',
    consent: 'consent',
    wrap: 'wrap',
    commitment: 'commitment',
    epoch: 'epoch',
    body: 'body',
};
/** A refusal, with its code. Its message names ids and sizes, never text, ciphertext or keys. */
export class EnvelopeError extends Error {
    name = 'EnvelopeError';
    refusal;
    constructor(refusal, message, options) {
        super(message, options);
        this.refusal = refusal;
    }
}
/** What the database or the network answered, normalised. `code` is the SQLSTATE or PostgREST's code, '' for none. */
export class RequestError extends Error {
    name = 'RequestError';
    code;
    status;
    details;
    constructor(attempt, code, status, message, details = '', options) {
        super(`${attempt}: ${message}`, options);
        this.code = code;
        this.status = status;
        this.details = details;
    }
    /** Whether the same request may succeed later: no answer, too many, a login being refreshed, a server at fault. */
    get temporary() {
        return this.status === 0 || this.status === 401 || this.status === 408 || this.status === 429 || this.status >= 500;
    }
}
/** Devices whose keys changed, or that appeared for someone already known: sending waits for an acknowledgement. */
export class DeviceChangedError extends Error {
    name = 'DeviceChangedError';
    devices;
    constructor(devices) {
        super(`keys have changed: acknowledge devices ${devices.join(', ')} before sending`);
        this.devices = devices;
    }
}
/** Nothing was sent, and the reason lies in the session, not in the envelope. */
export class SessionError extends Error {
    name = 'SessionError';
    reason;
    constructor(reason, message, options) {
        super(message, options);
        this.reason = reason;
    }
}
/** Makes an Error of anything that was thrown, keeping it as the cause. */
export function toError(thrown, attempt) {
    return thrown instanceof Error ? thrown : new Error(attempt, { cause: thrown });
}
