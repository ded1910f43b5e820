/** Bytes that WebCrypto accepts: never over a shared buffer. */
export type Bytes = Uint8Array<ArrayBuffer>;
export declare const KeyBytes = 32;
export declare const HashBytes = 32;
export declare const PointBytes = 65;
export declare const SignatureBytes = 64;
export declare const NonceBytes = 12;
export declare const TagBytes = 16;
export declare const WrapBytes: number;
export declare function utf8(text: string): Bytes;
/** base64url without padding, as columns hold bytes. */
export declare function encodeText(bytes: Uint8Array): string;
/** Reads base64url without padding; anything else, trailing bits and line breaks included, is refused as 'format'. */
export declare function decodeText(text: string): Bytes;
/** decodeText for a field of known length. */
export declare function decodeSized(field: string, text: string, size: number): Bytes;
export declare function isUuid(text: string): boolean;
/** A uuid's 16 bytes. */
export declare function uuidBytes(id: string): Bytes;
/** A 32-bit number, big-endian. */
export declare function uint32(n: number): Bytes;
/** A label: the text followed by one zero byte. */
export declare function label(text: string): Bytes;
export declare function concat(...parts: readonly Uint8Array[]): Bytes;
export declare function equal(a: Uint8Array, b: Uint8Array): boolean;
export declare function compare(a: Uint8Array, b: Uint8Array): number;
export declare function sha256(bytes: Bytes): Promise<Bytes>;
