import { KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM, CipherSuite } from 'hpke';
import { PointBytes, decodeSized, encodeText } from "./bytes.js";
import { EnvelopeError, Refusal } from "./failure.js";
import { fields, id, text } from "./parse.js";
const ecdh = { name: 'ECDH', namedCurve: 'P-256' };
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' };
const signing = { name: 'ECDSA', hash: 'SHA-256' };
/** HPKE base mode as pe1 has it: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. */
export const hpke = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
/** Makes a device whose private keys no script can read. */
export async function makeDevice(kid = crypto.randomUUID()) {
    const enc = await crypto.subtle.generateKey(ecdh, false, ['deriveBits']);
    const sig = await crypto.subtle.generateKey(ecdsa, false, ['sign', 'verify']);
    return device(kid, enc, sig);
}
async function device(kid, enc, sig) {
    const [encPub, sigPub] = await Promise.all([rawText(enc.publicKey), rawText(sig.publicKey)]);
    return { kid, enc, sig, encPub, sigPub };
}
async function rawText(key) {
    return encodeText(new Uint8Array(await crypto.subtle.exportKey('raw', key)));
}
/**
 * Reads a device from a key file, as Go's envelope.Device.Marshal writes it, with its public keys beside it: for tests and for
 * Node programs that keep a key themselves. The imported private keys are non-extractable.
 */
export async function importDevice(value) {
    const key = fields(value, 'key');
    const [enc, sig] = await Promise.all([
        importPair(ecdh, text(key, 'enc'), text(key, 'enc_pub'), ['deriveBits']),
        importPair(ecdsa, text(key, 'sig'), text(key, 'sig_pub'), ['sign']),
    ]);
    return device(id(key, 'kid'), enc, sig);
}
async function importPair(algorithm, secret, publicText, usages) {
    const point = decodeSized('public key', publicText, PointBytes);
    const jwk = {
        kty: 'EC',
        crv: 'P-256',
        d: secret,
        x: encodeText(point.subarray(1, 33)),
        y: encodeText(point.subarray(33)),
    };
    try {
        const privateKey = await crypto.subtle.importKey('jwk', jwk, algorithm, false, usages);
        const verify = algorithm.name === ecdsa.name ? ['verify'] : [];
        const publicKey = await crypto.subtle.importKey('raw', point, algorithm, true, verify);
        return { publicKey, privateKey };
    }
    catch {
        throw new EnvelopeError(Refusal.format, 'key file holds no key of P-256');
    }
}
/** Raw r‖s over the bytes. */
export async function sign(signer, bytes) {
    return new Uint8Array(await crypto.subtle.sign(signing, signer.sig.privateKey, bytes));
}
/** Whether the raw r‖s signature is the key's over the bytes. */
export async function verify(key, bytes, signature) {
    return crypto.subtle.verify(signing, key, signature, bytes);
}
/** Imports a signing key; a point off the curve is refused as 'format'. */
export async function importSigPub(point) {
    try {
        return await crypto.subtle.importKey('raw', point, ecdsa, true, ['verify']);
    }
    catch {
        throw new EnvelopeError(Refusal.format, 'sig_pub is no point of P-256');
    }
}
/** Imports an encryption key; a point off the curve is refused as 'format'. */
export async function importEncPub(point) {
    try {
        return await crypto.subtle.importKey('raw', point, ecdh, true, []);
    }
    catch {
        throw new EnvelopeError(Refusal.format, 'enc_pub is no point of P-256');
    }
}
