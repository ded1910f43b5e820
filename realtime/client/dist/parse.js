/**
 * The one place where what comes off the wire gets a type. Everything else in this package has no assertion.
 */
import { isUuid } from "./bytes.js";
import { EnvelopeError, Refusal } from "./failure.js";
function refuse(what) {
    return new EnvelopeError(Refusal.format, what);
}
export function fields(value, what) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw refuse(`${what} is no object`);
    return value;
}
export function list(value, what) {
    if (!Array.isArray(value))
        throw refuse(`${what} is no list`);
    return value;
}
/** Parses JSON text; the refusal quotes nothing. */
export function json(text, what) {
    try {
        return JSON.parse(text);
    }
    catch {
        throw refuse(`${what} is no JSON`);
    }
}
export function text(row, name) {
    const value = row[name];
    if (typeof value !== 'string')
        throw refuse(`${name} is no text`);
    return value;
}
export function id(row, name) {
    const value = text(row, name);
    if (!isUuid(value))
        throw refuse(`${name} is no uuid`);
    return value.toLowerCase();
}
export function optionalText(row, name) {
    return row[name] === null || row[name] === undefined ? null : text(row, name);
}
export function optionalId(row, name) {
    return row[name] === null || row[name] === undefined ? null : id(row, name);
}
/** A whole number within 2^53; PostgREST writes bigint as a number. */
export function whole(row, name) {
    const value = row[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
        throw refuse(`${name} is no whole number`);
    return value;
}
export function flag(row, name) {
    const value = row[name];
    if (typeof value !== 'boolean')
        throw refuse(`${name} is no boolean`);
    return value;
}
export function oneOf(row, name, set) {
    const value = text(row, name);
    for (const known of Object.values(set))
        if (known === value)
            return known;
    throw refuse(`${name} is none of the known ones`);
}
