import { Badge } from '@radix-ui/themes'
import { useCallback, useEffect, useRef, useState, type ReactNode } from 'react'
import type { Suggestion } from 'vigil-client'
import { unresolved } from '../alerts/book.ts'
import type { Problem } from '../api/problem.ts'
import { useStore } from '../lib/store.ts'
import { useAnnouncer } from '../ui/live.tsx'
import { Loading, ProblemNote } from '../ui/parts.tsx'
import { AlertsPanel } from './alerts-panel.tsx'
import { AssessmentLine, AssessmentsPanel } from './assessment.tsx'
import type { CareStore, CareView } from './care-store.ts'
import { ChatPane } from './chat-pane.tsx'
import type { Prepared } from './composer.tsx'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'
import { findingMarks } from './evidence.ts'
import { SuggestionsPanel } from './suggestions-panel.tsx'
import { alertWords } from './words.ts'

interface Taken {
  readonly suggestion: Suggestion
  readonly prepared: Prepared
}

/** A clinician's session: the conversation, and beside it what was found in it. On a narrow screen, one of the two. */
export function ClinicianView(props: {
  readonly store: SessionStore
  readonly session: OpenSession
  readonly view: SessionView
  readonly care: CareStore
  readonly head: ReactNode
  readonly running: boolean
}): ReactNode {
  const { store, session, view, care } = props
  const found = useStore(care.view)
  const [pane, setPane] = useState<'chat' | 'care'>('chat')
  const [taken, setTaken] = useState<Taken | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  useWarned(found)
  const gone = taken !== null && found.phase === 'ready' && !found.suggestions.some((one) => one.id === taken.suggestion.id)

  const take = useCallback((suggestion: Suggestion): void => {
    if (suggestion.text === null) return
    const from = suggestion.source === 'model' ? 'Suggestion drafted by a model,' : 'Suggestion from the bundled bank,'
    setTaken({ suggestion, prepared: { key: crypto.randomUUID(), text: suggestion.text, from } })
    setPane('chat')
  }, [])
  const sent = (text: string, id: string, prepared: Prepared): void => {
    if (taken === null || taken.prepared.key !== prepared.key) return
    void care.sent(taken.suggestion, text, id).then((outcome) => { setProblem(outcome.done ? null : outcome.problem) })
  }
  const show = (messageId: string): void => {
    setPane('chat')
    requestAnimationFrame(() => {
      const message = document.getElementById(`message-${messageId}`)
      message?.scrollIntoView({ block: 'center' })
      message?.focus({ preventScroll: true })
    })
  }
  const open = unresolved(found.alerts.values())
  return (
    <div className="session clinician" data-pane={pane}>
      {props.head}
      <PaneSwitch pane={pane} choose={setPane} open={open} />
      <div className="clinician-panes">
        <ChatPane
          store={store} session={session} view={view}
          below={(messageId) => <AssessmentLine view={view} found={found} messageId={messageId} />}
          marks={(messageId) => findingMarks(found.assessments.get(messageId))}
          prepared={taken === null || gone ? null : taken.prepared} onSent={sent} onDropped={() => { setTaken(null) }}
        />
        <aside className="care" aria-label="Care">
          {problem === null ? null : <ProblemNote problem={problem} />}
          {found.problem === null ? null : <ProblemNote problem={found.problem} again={() => { void care.read() }} />}
          {found.phase === 'loading' ? <Loading what="what was found" lines={3} tall /> : null}
          {found.phase === 'ready' ? (
            <>
              <AlertsPanel care={care} found={found} view={view} show={show} />
              <SuggestionsPanel care={care} found={found} view={view} take={take} taken={taken?.suggestion.id ?? null} running={props.running} />
              <AssessmentsPanel view={view} found={found} />
            </>
          ) : null}
        </aside>
      </div>
    </div>
  )
}

function PaneSwitch(props: { readonly pane: 'chat' | 'care'; readonly choose: (pane: 'chat' | 'care') => void; readonly open: number }): ReactNode {
  const { pane, choose, open } = props
  return (
    <div className="pane-switch" role="group" aria-label="Show">
      <button type="button" aria-pressed={pane === 'chat'} onClick={() => { choose('chat') }}>Conversation</button>
      <button type="button" aria-pressed={pane === 'care'} onClick={() => { choose('care') }}>
        Care {open === 0 ? null : <Badge color="red" variant="solid">{open} {open === 1 ? 'alert' : 'alerts'}</Badge>}
      </button>
    </div>
  )
}

/** Says an alert that comes while one looks, at once. */
function useWarned(found: CareView): void {
  const { warn } = useAnnouncer()
  const warned = useRef(0)
  useEffect(() => {
    const fresh = found.raised.slice(warned.current)
    warned.current = found.raised.length
    for (const id of fresh) {
      const alert = found.alerts.get(id)
      if (alert !== undefined) warn(`Alert: ${alertWords(alert)}`)
    }
  }, [found, warn])
}
