/** Evidence is offsets into a message that only this page can read: here they meet. */
import type { Assessment, Evidence } from '../api/rows.ts'

/** A half-open range of UTF-16 units. */
export type Mark = Pick<Evidence, 'start' | 'end'>

const TopicRule = 'topic.'

/** What was found in a message, without the key phrases of its topics. */
export function findingMarks(assessment: Assessment | undefined): readonly Evidence[] {
  return assessment?.evidence.filter((one) => !one.rule.startsWith(TopicRule)) ?? []
}

/** The text in parts, those in any of the marks apart. Marks that do not fit the text are left out: they belong to another. */
export function marked(text: string, marks: readonly Mark[]): readonly { readonly text: string; readonly mark: boolean }[] {
  const fitting = marks.filter((one) => Number.isInteger(one.start) && Number.isInteger(one.end) && one.start >= 0 && one.start < one.end && one.end <= text.length)
  const parts: { text: string; mark: boolean }[] = []
  let at = 0
  for (const one of [...fitting].sort((a, b) => a.start - b.start)) {
    if (one.end <= at) continue
    const start = Math.max(one.start, at)
    const last = parts.at(-1)
    if (start > at) parts.push({ text: text.slice(at, start), mark: false })
    if (start === at && last?.mark === true) last.text += text.slice(start, one.end)
    else parts.push({ text: text.slice(start, one.end), mark: true })
    at = one.end
  }
  if (at < text.length) parts.push({ text: text.slice(at), mark: false })
  return parts
}

/** The words that evidence points at; null when it does not fit the text. */
export function quoted(text: string | null, evidence: Evidence): string | null {
  if (text === null) return null
  const part = marked(text, [evidence]).find((one) => one.mark)
  return part?.text ?? null
}
