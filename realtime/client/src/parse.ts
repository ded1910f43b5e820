/**
 * The one place where what comes off the wire gets a type. Everything else in this package has no assertion.
 */
import { isUuid } from './bytes.ts'
import { EnvelopeError, Refusal } from './failure.ts'

export type Fields = Readonly<Record<string, unknown>>

function refuse(what: string): EnvelopeError {
  return new EnvelopeError(Refusal.format, what)
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(`${what} is no object`)
  return value as Fields
}

export function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw refuse(`${what} is no list`)
  return value as readonly unknown[]
}

/** Parses JSON text; the refusal quotes nothing. */
export function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw refuse(`${what} is no JSON`)
  }
}

export function text(row: Fields, name: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw refuse(`${name} is no text`)
  return value
}

export function id(row: Fields, name: string): string {
  const value = text(row, name)
  if (!isUuid(value)) throw refuse(`${name} is no uuid`)
  return value.toLowerCase()
}

export function optionalText(row: Fields, name: string): string | null {
  return row[name] === null || row[name] === undefined ? null : text(row, name)
}

export function optionalId(row: Fields, name: string): string | null {
  return row[name] === null || row[name] === undefined ? null : id(row, name)
}

/** A whole number within 2^53; PostgREST writes bigint as a number. */
export function whole(row: Fields, name: string): number {
  const value = row[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw refuse(`${name} is no whole number`)
  return value
}

export function flag(row: Fields, name: string): boolean {
  const value = row[name]
  if (typeof value !== 'boolean') throw refuse(`${name} is no boolean`)
  return value
}

export function oneOf<T extends string>(row: Fields, name: string, set: Readonly<Record<string, T>>): T {
  const value = text(row, name)
  for (const known of Object.values(set)) if (known === value) return known
  throw refuse(`${name} is none of the known ones`)
}
