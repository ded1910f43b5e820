/** Waits, so that tests can hold them and a closed session ends them. */
export declare class Clock {
    #private;
    get closed(): boolean;
    /** Resolves after the milliseconds, or at once when woken or closed. */
    wait(ms: number): Promise<void>;
    /** Ends every wait: the network is back. */
    wake(): void;
    close(): void;
}
/** How long to wait before trying again, by how often it was tried: doubling from 0.5 s to 30 s, with jitter. */
export declare function backoff(attempt: number): number;
