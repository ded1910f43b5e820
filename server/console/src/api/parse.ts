/**
 * The one place where what comes from outside gets a type: rows, answers, broadcasts, config.json. Everything else in the
 * console has no assertion.
 */

export type Fields = Readonly<Record<string, unknown>>

/** What came is not what was agreed on. Its message names the field, never the value. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError'
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ShapeError(`${what} is no object`)
  return value as Fields
}

export function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ShapeError(`${what} is no list`)
  return value as readonly unknown[]
}

/** Parses JSON text; the error quotes nothing. */
export function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new ShapeError(`${what} is no JSON`)
  }
}

export function text(row: Fields, name: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw new ShapeError(`${name} is no text`)
  return value
}

export function optionalText(row: Fields, name: string): string | null {
  return row[name] === null || row[name] === undefined ? null : text(row, name)
}

export function number(row: Fields, name: string): number {
  const value = row[name]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new ShapeError(`${name} is no number`)
  return value
}

export function optionalNumber(row: Fields, name: string): number | null {
  return row[name] === null || row[name] === undefined ? null : number(row, name)
}

export function flag(row: Fields, name: string): boolean {
  const value = row[name]
  if (typeof value !== 'boolean') throw new ShapeError(`${name} is no boolean`)
  return value
}

export function optionalFlag(row: Fields, name: string): boolean {
  return row[name] === null || row[name] === undefined ? false : flag(row, name)
}

/** A time, as a Date that is one. */
export function time(row: Fields, name: string): Date {
  const at = new Date(text(row, name))
  if (Number.isNaN(at.getTime())) throw new ShapeError(`${name} is no time`)
  return at
}

export function optionalTime(row: Fields, name: string): Date | null {
  return row[name] === null || row[name] === undefined ? null : time(row, name)
}

export function texts(row: Fields, name: string): readonly string[] {
  return list(row[name], name).map((value) => text({ value }, 'value'))
}

/** A list of texts; null, and a column that is not there, is none. */
export function optionalTexts(row: Fields, name: string): readonly string[] {
  return row[name] === null || row[name] === undefined ? [] : texts(row, name)
}

export function oneOf<T extends string>(row: Fields, name: string, set: Readonly<Record<string, T>>): T {
  const value = text(row, name)
  for (const known of Object.values(set)) if (known === value) return known
  throw new ShapeError(`${name} is none of the known ones`)
}
