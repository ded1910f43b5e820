import { type Bytes } from './bytes.ts';
import { type Device } from './device.ts';
import { type Epoch } from './epoch.ts';
import type { SealedMessage } from './rows.ts';
/** What a body has over its plaintext. */
export declare const BodyOverhead: number;
/** The largest body: 65,536 characters in SQL. */
export declare const MaxBodyBytes: number;
/** Seals a plaintext as the device's message of that id and seq. */
export declare function sealMessage(device: Device, epoch: Epoch, place: {
    readonly id: string;
    readonly seq: number;
}, plaintext: Bytes): Promise<SealedMessage>;
/** Verifies and opens a message of the epoch. */
export declare function openMessage(epoch: Epoch, m: SealedMessage): Promise<Bytes>;
/** The plaintext of a message: {"t":"text","body":"…","ts":unix seconds by the sender's clock}. */
export interface Content {
    readonly kind: string;
    readonly body: string;
    /** As the sender says: never order or decide by it. */
    readonly at: Date;
}
export declare function textContent(body: string, at: Date): Bytes;
export declare function parseContent(plaintext: Bytes): Content;
