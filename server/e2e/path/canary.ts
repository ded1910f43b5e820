// Looks for a word that somebody typed in what machines wrote.
import { expect } from 'vitest'

// How a word may look in what a machine wrote: as it is, in base64 at each of three places, in hexadecimal, in UTF-16.
function spellings(word: string): string[] {
  const base64 = [0, 1, 2].map((shift) => Buffer.from('\0'.repeat(shift) + word).toString('base64url').slice(shift === 0 ? 0 : 4, -4))
  return [word, ...base64, Buffer.from(word).toString('hex'), Buffer.from(word, 'utf16le').toString('latin1')]
}

export function expectAbsent(word: string, from: string, texts: readonly string[]): void {
  expect(texts.length, from).toBeGreaterThan(0)
  for (const spelling of spellings(word)) {
    const found = texts.find((text) => text.includes(spelling))
    if (found !== undefined) throw new Error(`${from} holds what was typed: ${found.slice(0, 300)}`)
  }
}
