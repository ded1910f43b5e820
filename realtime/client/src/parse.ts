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

/** null is null; what is absent is not, and neither is anything that the parser does not take. */
export function nullable<T>(row: Fields, name: string, parse: (row: Fields, name: string) => T): T | null {
  return row[name] === null ? null : parse(row, name)
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

export function number(row: Fields, name: string): number {
  const value = row[name]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw refuse(`${name} is no number`)
  return value
}

export function texts(row: Fields, name: string): readonly string[] {
  return list(row[name], name).map((one) => text({ [name]: one }, name))
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
