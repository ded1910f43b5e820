export type Fields = Readonly<Record<string, unknown>>;
export declare function fields(value: unknown, what: string): Fields;
export declare function list(value: unknown, what: string): readonly unknown[];
/** Parses JSON text; the refusal quotes nothing. */
export declare function json(text: string, what: string): unknown;
export declare function text(row: Fields, name: string): string;
export declare function id(row: Fields, name: string): string;
export declare function optionalText(row: Fields, name: string): string | null;
export declare function optionalId(row: Fields, name: string): string | null;
/** A whole number within 2^53; PostgREST writes bigint as a number. */
export declare function whole(row: Fields, name: string): number;
export declare function flag(row: Fields, name: string): boolean;
export declare function oneOf<T extends string>(row: Fields, name: string, set: Readonly<Record<string, T>>): T;
