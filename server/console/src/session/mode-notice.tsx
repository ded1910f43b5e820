import { EyeClosedIcon, EyeOpenIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { SessionMode } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import type { SessionStore, SessionView } from './session-store.ts'

/** Who may read has changed, by somebody else's hand: nothing is sent until the person has seen it. Nobody can be downgraded, or watched, unnoticed. */
export function ModeNotice(props: { readonly store: SessionStore; readonly view: SessionView }): ReactNode {
  const { store, view } = props
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  if (view.modeChange === null) return null
  const { now } = view.modeChange
  const seen = (): void => {
    setBusy(true)
    setProblem(null)
    store.acknowledgeMode(now).catch((thrown: unknown) => { setProblem(problemOf(thrown, 'go on')) }).finally(() => { setBusy(false) })
  }
  return (
    <section className="strangers" aria-label="Who may read has changed">
      {problem === null ? null : <ProblemNote problem={problem} />}
      <Note tone="amber" icon={now === SessionMode.strict ? <EyeClosedIcon /> : <EyeOpenIcon />} actions={<Button size="2" color="teal" loading={busy} onClick={seen}>I have seen it</Button>}>
        {now === SessionMode.strict ? (
          <><strong>This session is private now.</strong> Vigil’s server can no longer read along: no alerts from it, no suggestions. The detector runs on your devices instead.</>
        ) : (
          <><strong>Vigil’s server is to read along from now on.</strong> It does so only with the client’s consent. What was sent before stays sealed from it.</>
        )}
        {' '}Nothing is sent until you have seen this; what you write meanwhile waits.
      </Note>
    </section>
  )
}
