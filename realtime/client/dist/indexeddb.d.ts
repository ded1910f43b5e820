import { type Pin, type Store } from './store.ts';
import type { Device } from './device.ts';
/**
 * Keeps keys in IndexedDB as non-extractable CryptoKeys: a script of the page may use them and never read them. Clearing the
 * site's data loses the device, and with it the history that only it can open.
 */
export declare class IndexedDbStore implements Store {
    #private;
    constructor(name?: string, factory?: IDBFactory);
    device(account: string): Promise<Device | undefined>;
    keepDevice(account: string, device: Device): Promise<Device>;
    dropDevice(account: string): Promise<void>;
    pins(account: string): Promise<readonly Pin[]>;
    keepPin(account: string, pin: Pin): Promise<void>;
}
