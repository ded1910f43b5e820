import { EnvelopeError, Refusal } from "./failure.js";
export const KeyBytes = 32;
export const HashBytes = 32;
export const PointBytes = 65;
export const SignatureBytes = 64;
export const NonceBytes = 12;
export const TagBytes = 16;
export const WrapBytes = PointBytes + KeyBytes + TagBytes;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const values = new Map(Array.from(alphabet, (letter, value) => [letter, value]));
const encoder = new TextEncoder();
export function utf8(text) {
    return encoder.encode(text);
}
/** base64url without padding, as columns hold bytes. */
export function encodeText(bytes) {
    let out = '';
    for (let i = 0; i < bytes.length; i += 3) {
        const [a = 0, b = 0, c = 0] = bytes.subarray(i, i + 3);
        const word = (a << 16) | (b << 8) | c;
        const letters = Math.min(bytes.length - i, 3) + 1;
        for (let j = 0; j < letters; j++)
            out += alphabet.charAt((word >> (18 - 6 * j)) & 63);
    }
    return out;
}
/** Reads base64url without padding; anything else, trailing bits and line breaks included, is refused as 'format'. */
export function decodeText(text) {
    const rest = text.length % 4;
    if (rest === 1)
        throw new EnvelopeError(Refusal.format, 'base64url text of an impossible length');
    const out = new Uint8Array(Math.floor((text.length * 3) / 4));
    let word = 0;
    let at = 0;
    for (let i = 0; i < text.length; i++) {
        const value = values.get(text.charAt(i));
        if (value === undefined)
            throw new EnvelopeError(Refusal.format, 'text is not base64url');
        word = ((word << 6) | value) & 0xffffff;
        if (i % 4 === 1)
            out[at++] = word >> 4;
        if (i % 4 === 2)
            out[at++] = word >> 2;
        if (i % 4 === 3)
            out[at++] = word;
    }
    const spare = rest === 2 ? 0b1111 : rest === 3 ? 0b11 : 0;
    if ((word & spare) !== 0)
        throw new EnvelopeError(Refusal.format, 'base64url text with trailing bits');
    return out;
}
/** decodeText for a field of known length. */
export function decodeSized(field, text, size) {
    const bytes = decodeText(text);
    if (bytes.length !== size) {
        throw new EnvelopeError(Refusal.format, `${field} of ${bytes.length} bytes instead of ${size}`);
    }
    return bytes;
}
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export function isUuid(text) {
    return uuidForm.test(text);
}
/** A uuid's 16 bytes. */
export function uuidBytes(id) {
    if (!isUuid(id))
        throw new EnvelopeError(Refusal.format, 'id is no uuid');
    const hex = id.replaceAll('-', '');
    return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
/** A 32-bit number, big-endian. */
export function uint32(n) {
    if (!Number.isInteger(n) || n < 0 || n > 0xffffffff) {
        throw new EnvelopeError(Refusal.format, 'number beyond 32 bits');
    }
    const out = new Uint8Array(4);
    new DataView(out.buffer).setUint32(0, n);
    return out;
}
/** A label: the text followed by one zero byte. */
export function label(text) {
    return concat(utf8(text), new Uint8Array(1));
}
export function concat(...parts) {
    const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
        out.set(part, at);
        at += part.length;
    }
    return out;
}
export function equal(a, b) {
    return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
export function compare(a, b) {
    const i = a.findIndex((byte, at) => byte !== b[at]);
    return i < 0 ? a.length - b.length : (a[i] ?? 0) - (b[i] ?? 0);
}
export async function sha256(bytes) {
    return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
