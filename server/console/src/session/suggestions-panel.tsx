import { Pencil2Icon, UpdateIcon } from '@radix-ui/react-icons'
import { Badge, Button } from '@radix-ui/themes'
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { SessionMode, SuggestionStatus, type Suggestion } from 'vigil-client'
import type { Problem } from '../api/problem.ts'
import { Suggesting } from '../api/rows.ts'
import { useAnnouncer } from '../ui/live.tsx'
import { Empty, ProblemNote } from '../ui/parts.tsx'
import { ago } from '../ui/time.ts'
import { useNow } from '../ui/use-now.ts'
import { openSuggestions, type CareStore, type CareView, type StepOutcome } from './care-store.ts'
import type { SessionView } from './session-store.ts'
import { notMadeWords } from './words.ts'

/** How many that are over are still listed. */
const PastShown = 3

/** Drafts for the therapist. Nothing in here sends: a draft goes into the composer, and the person sends it, or not. */
export function SuggestionsPanel(props: {
  readonly care: CareStore
  readonly found: CareView
  readonly view: SessionView
  readonly take: (suggestion: Suggestion) => void
  readonly taken: string | null
  readonly running: boolean
}): ReactNode {
  const { care, found, view } = props
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const open = openSuggestions(found.suggestions)
  const past = found.suggestions.filter((one) => !open.includes(one)).slice(0, PastShown)
  const possible = possibleWords(found, view)
  useTold(open)
  const request = async (): Promise<void> => {
    setBusy(true)
    const outcome = await care.request()
    setProblem(outcome.done ? null : outcome.problem)
    setBusy(false)
  }
  const latest = view.messages.findLast((one) => one.from.role === 'client')
  const mayAsk = possible === null && view.myRole === 'therapist' && props.running && latest !== undefined && !open.some((one) => one.messageId === latest.id)
  return (
    <section className="panel" aria-labelledby="suggestions-title">
      <div className="row spread">
        <h2 id="suggestions-title">Suggestions</h2>
        {mayAsk ? <Button size="1" variant="soft" loading={busy} onClick={() => { void request() }}>Ask for one</Button> : null}
      </div>
      {problem === null ? null : <ProblemNote problem={problem} />}
      {open.length === 0 ? <Empty icon={<Pencil2Icon />} title="No draft now">{possible ?? whenWords(found.suggesting)}</Empty> : null}
      {open.some((one) => one.source === 'bank') ? <p className="quiet">The bundled bank was written by the project and is not clinically reviewed: judge each draft yourself.</p> : null}
      <ul className="cards">
        {open.map((one) => (
          <li key={one.id}>
            <OpenSuggestion suggestion={one} taken={props.taken === one.id} mayTake={view.myRole !== null} take={() => { props.take(one) }} reject={() => care.reject(one)} />
          </li>
        ))}
      </ul>
      {past.length === 0 ? null : (
        <ul className="past" aria-label="Earlier suggestions">{past.map((one) => <li key={one.id} className="quiet"><Past suggestion={one} /></li>)}</ul>
      )}
    </section>
  )
}

function possibleWords(found: CareView, view: SessionView): string | null {
  if (found.suggesting === Suggesting.off) return 'Suggestions are off in this practice. An administrator can turn them on.'
  if (view.row.mode === SessionMode.strict) return 'In a private session nothing is drafted: Vigil’s server cannot read it.'
  return null
}

function whenWords(suggesting: Suggesting): string {
  if (suggesting === Suggesting.elevated) return 'One is drafted when a message is grave, or when you ask.'
  return 'Ask for one after the client has written.'
}

function OpenSuggestion(props: {
  readonly suggestion: Suggestion
  readonly taken: boolean
  readonly mayTake: boolean
  readonly take: () => void
  readonly reject: () => Promise<StepOutcome>
}): ReactNode {
  const { suggestion } = props
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const reject = async (): Promise<void> => {
    setBusy(true)
    const outcome = await props.reject()
    setProblem(outcome.done ? null : outcome.problem)
    setBusy(false)
  }
  if (suggestion.status === SuggestionStatus.requested) {
    return <article className="card" aria-label="Suggestion, being drafted"><p className="row"><UpdateIcon className="turning" aria-hidden /> Being drafted…</p></article>
  }
  return (
    <article className="card suggestion-card" aria-label="Suggestion">
      <Source suggestion={suggestion} />
      {suggestion.text === null ? <p className="quiet">{unreadableSuggestion(suggestion)}</p> : <blockquote className="quote">{suggestion.text}</blockquote>}
      {problem === null ? null : <ProblemNote problem={problem} />}
      <div className="row">
        {suggestion.text === null || !props.mayTake ? null : (
          <Button size="2" onClick={props.take} disabled={props.taken}>{props.taken ? 'In the composer' : 'Put into the composer'}</Button>
        )}
        <Button size="2" variant="soft" color="gray" loading={busy} onClick={() => { void reject() }}>Reject</Button>
      </div>
    </article>
  )
}

function Source(props: { readonly suggestion: Suggestion }): ReactNode {
  const { suggestion } = props
  const now = useNow()
  const words = suggestion.source === 'model' ? `drafted by a model${suggestion.model === null ? '' : ` (${suggestion.model})`}` : 'from the bundled bank'
  return (
    <div className="row spread">
      <Badge color={suggestion.source === 'model' ? 'amber' : 'gray'} variant="surface">{words}</Badge>
      <time className="quiet" dateTime={suggestion.at.toISOString()}>{ago(suggestion.at, now)}</time>
    </div>
  )
}

function unreadableSuggestion(suggestion: Suggestion): string {
  if (suggestion.unreadable === 'not_sealed') return 'Not sealed to this device: it was drafted before this device was known. Reject it and ask for a new one.'
  return 'Not shown: it does not verify as Vigil’s. Reject it, and tell an administrator if this stays.'
}

const pastWords: Readonly<Partial<Record<Suggestion['status'], string>>> = {
  accepted: 'Sent as drafted.', edited: 'Sent, edited.', rejected: 'Rejected.', withdrawn: 'Withdrawn: suggestions were turned off.',
}

function Past(props: { readonly suggestion: Suggestion }): ReactNode {
  const { suggestion } = props
  const words = suggestion.status === SuggestionStatus.not_made ? `None was made. ${notMadeWords(suggestion.reason)}` : (pastWords[suggestion.status] ?? '')
  return <>{ago(suggestion.at, new Date())}: {words}</>
}

/** Says that a draft has come, without its text. */
function useTold(open: readonly Suggestion[]): void {
  const { say } = useAnnouncer()
  const told = useRef<ReadonlySet<string> | null>(null)
  useEffect(() => {
    const offered = open.filter((one) => one.status === SuggestionStatus.offered).map((one) => one.id)
    const before = told.current
    told.current = new Set([...(before ?? []), ...offered])
    if (before !== null && offered.some((id) => !before.has(id))) say('A suggestion is ready.')
  }, [open, say])
}
