/** Ends what it was returned for. Calling it again does nothing. */
export type Undo = () => void;
/**
 * Listeners by event: `Events` maps each event's name to what a listener is handed. A listener that throws is reported as an
 * uncaught error, and the others still hear.
 */
export declare class Emitter<Events> {
    #private;
    on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): Undo;
    emit<Name extends keyof Events>(name: Name, value: Events[Name]): void;
}
/** Calls one listener, so that what it throws ends nobody else's hearing. */
export declare function call<T>(listener: (value: T) => void, value: T): void;
