import { CipherSuite } from 'hpke';
import { type Bytes } from './bytes.ts';
/** A key pair of one device. Private keys made here are non-extractable. */
export interface KeyPair {
    readonly publicKey: CryptoKey;
    readonly privateKey: CryptoKey;
}
/** This browser's (or process') device: its id is its row's in `devices`. Structured-clonable, so IndexedDB can keep it. */
export interface Device {
    readonly kid: string;
    readonly enc: KeyPair;
    readonly sig: KeyPair;
    /** 65 bytes, base64url: devices.enc_pub. */
    readonly encPub: string;
    /** 65 bytes, base64url: devices.sig_pub. */
    readonly sigPub: string;
}
/** HPKE base mode as pe1 has it: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. */
export declare const hpke: CipherSuite<CryptoKey>;
/** Makes a device whose private keys no script can read. */
export declare function makeDevice(kid?: string): Promise<Device>;
/**
 * Reads a device from a key file, as Go's envelope.Device.Marshal writes it, with its public keys beside it: for tests and for
 * Node programs that keep a key themselves. The imported private keys are non-extractable.
 */
export declare function importDevice(value: unknown): Promise<Device>;
/** Raw r‖s over the bytes. */
export declare function sign(signer: Device, bytes: Bytes): Promise<Bytes>;
/** Whether the raw r‖s signature is the key's over the bytes. */
export declare function verify(key: CryptoKey, bytes: Bytes, signature: Bytes): Promise<boolean>;
/** Imports a signing key; a point off the curve is refused as 'format'. */
export declare function importSigPub(point: Bytes): Promise<CryptoKey>;
/** Imports an encryption key; a point off the curve is refused as 'format'. */
export declare function importEncPub(point: Bytes): Promise<CryptoKey>;
