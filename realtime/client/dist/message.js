import { NonceBytes, SignatureBytes, TagBytes, concat, decodeText, encodeText, label, uint32, utf8, uuidBytes } from "./bytes.js";
import { sign, verify } from "./device.js";
import { messageKey } from "./epoch.js";
import { EnvelopeError, Refusal } from "./failure.js";
import { fields, json, text, whole } from "./parse.js";
import { participant } from "./roster.js";
const Version = 1;
const SealedAt = 1 + SignatureBytes;
/** What a body has over its plaintext. */
export const BodyOverhead = SealedAt + NonceBytes + TagBytes;
/** The largest body: 65,536 characters in SQL. */
export const MaxBodyBytes = 48 * 1024;
const MaxBodyCharacters = Math.floor((MaxBodyBytes * 4 + 2) / 3);
function additionalData(m) {
    return concat(label('pe1/aad'), uuidBytes(m.session_id), uuidBytes(m.id), uuidBytes(m.sender_device_id), uint32(m.epoch), uint32(m.seq));
}
function signed(aad, sealed) {
    return concat(label('pe1/sig'), aad, sealed);
}
/** Seals a plaintext as the device's message of that id and seq. */
export async function sealMessage(device, epoch, place, plaintext) {
    if (plaintext.length > MaxBodyBytes - BodyOverhead) {
        throw new EnvelopeError(Refusal.format, `message of ${plaintext.length} bytes is too long`);
    }
    participant(epoch.roster, device.kid);
    const m = { ...place, session_id: epoch.sessionId, sender_device_id: device.kid, epoch: epoch.number };
    const aad = additionalData(m);
    const nonce = crypto.getRandomValues(new Uint8Array(NonceBytes));
    const key = await messageKey(epoch, device.kid);
    const ciphertext = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce, additionalData: aad }, key, plaintext);
    const sealed = concat(nonce, new Uint8Array(ciphertext));
    const signature = await sign(device, signed(aad, sealed));
    return { ...m, body: encodeText(concat(Uint8Array.of(Version), signature, sealed)) };
}
function parseBody(body) {
    if (body.length > MaxBodyCharacters)
        throw new EnvelopeError(Refusal.format, `body of ${body.length} characters`);
    const bytes = decodeText(body);
    if (bytes.length < BodyOverhead)
        throw new EnvelopeError(Refusal.format, `body of ${bytes.length} bytes`);
    if (bytes[0] !== Version)
        throw new EnvelopeError(Refusal.suite, 'body of another version');
    return { signature: bytes.slice(1, SealedAt), sealed: bytes.slice(SealedAt) };
}
/** Verifies and opens a message of the epoch. */
export async function openMessage(epoch, m) {
    if (m.session_id !== epoch.sessionId || m.epoch !== epoch.number) {
        throw new EnvelopeError(Refusal.epoch, `message ${m.id} is of another epoch`);
    }
    const sender = participant(epoch.roster, m.sender_device_id);
    const { signature, sealed } = parseBody(m.body);
    const aad = additionalData(m);
    if (!(await verify(sender.sigKey, signed(aad, sealed), signature))) {
        throw new EnvelopeError(Refusal.signature, `signature of message ${m.id} does not verify`);
    }
    try {
        const iv = sealed.subarray(0, NonceBytes);
        const key = await messageKey(epoch, m.sender_device_id);
        const params = { name: 'AES-GCM', iv, additionalData: aad };
        return new Uint8Array(await crypto.subtle.decrypt(params, key, sealed.subarray(NonceBytes)));
    }
    catch (cause) {
        throw new EnvelopeError(Refusal.body, `message ${m.id} does not open`, { cause });
    }
}
export function textContent(body, at) {
    return utf8(JSON.stringify({ t: 'text', body, ts: Math.floor(at.getTime() / 1000) }));
}
export function parseContent(plaintext) {
    const row = fields(json(new TextDecoder().decode(plaintext), 'content'), 'content');
    const kind = text(row, 't');
    if (kind === '')
        throw new EnvelopeError(Refusal.format, 'content without a kind');
    return { kind, body: text(row, 'body'), at: new Date(whole(row, 'ts') * 1000) };
}
