// Comparing, for behaviours that run in pages too, where vitest's expect is not.

function shown(value: unknown): string {
  return value === undefined ? 'undefined' : JSON.stringify(value, (_, v: unknown) => (v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isTest(pattern: unknown): pattern is (value: unknown) => unknown {
  return typeof pattern === 'function'
}

// Where and how a value differs from a pattern: what the pattern names must be there and be that; a function of it must say yes.
function difference(value: unknown, pattern: unknown, at: string): string | undefined {
  if (isTest(pattern)) return pattern(value) === true ? undefined : `${at} is ${shown(value)}`
  if (pattern instanceof RegExp) return typeof value === 'string' && pattern.test(value) ? undefined : `${at} is ${shown(value)}, not like ${String(pattern)}`
  if (!isRecord(pattern)) return Object.is(value, pattern) ? undefined : `${at} is ${shown(value)}, not ${shown(pattern)}`
  if (!isRecord(value) || (Array.isArray(pattern) && (!Array.isArray(value) || value.length !== pattern.length))) {
    return `${at} is ${shown(value)}, not like ${shown(pattern)}`
  }
  for (const [key, inner] of Object.entries(pattern)) {
    const found = difference(value[key], inner, `${at}.${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

export function fits(value: unknown, pattern: unknown): void {
  const found = difference(value, pattern, 'it')
  if (found !== undefined) throw new Error(`${found}; the whole: ${shown(value)}`)
}

export function matches(value: unknown, pattern: unknown): boolean {
  return difference(value, pattern, 'it') === undefined
}
