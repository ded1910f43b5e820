/** What of the main entry's functions is loaded when it is called. */
import { notLoaded } from './answer.ts'
import type { openSuggestion as open } from './suggestion.ts'

/**
 * Verifies that one of the analysis devices with these signing keys sealed the text to this device, and opens it. Refusals, in
 * the order of the checks: 'wrap' (it is sealed to another device), 'format', 'signature', 'body'.
 */
export async function openSuggestion(...terms: Parameters<typeof open>): Promise<string> {
  return (await import('./suggestion.ts').catch(notLoaded)).openSuggestion(...terms)
}
