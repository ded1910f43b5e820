import { CheckCircledIcon, EyeOpenIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { ConsentScope, SessionMode, SessionStatus } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import type { OpenSession, SessionView } from './session-store.ts'

/** What a client agrees to, word for word: its hash is signed by their device. */
export const ConsentText =
  'I agree that Vigil’s detector reads my messages in this session as they are sent, so that a clinician of my practice is told ' +
  'when I may be in danger, and so that my therapist is offered drafts. It keeps what it found, never my words. I can withdraw this at any time; ' +
  'what I send afterwards is not read.'

/** The second choice, apart from the first: without it no model of another company is asked. */
export const ExternalText =
  'I also agree that a language model outside my practice may be sent my latest messages to draft replies for my therapist. I can stop this at any time, and the rest stays as it is.'

/** Giving and withdrawing take one press each, at the same place. Only the client of a watched session has it. */
export function ConsentStrip(props: { readonly session: OpenSession; readonly view: SessionView }): ReactNode {
  const { session, view } = props
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  if (view.myRole !== 'client' || view.row.mode !== SessionMode.assisted || view.row.status === SessionStatus.ended) return null
  const live = view.consents.filter((one) => one.withdrawn_at === null && (one.withdrawal_signature ?? '') === '')
  const given = live.findLast((one) => one.scope.includes(ConsentScope.analysis))
  const external = live.filter((one) => one.scope.includes(ConsentScope.externalModels))
  const act = async (work: () => Promise<unknown>, attempt: string): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await work()
    } catch (thrown) {
      setProblem(problemOf(thrown, attempt))
    } finally {
      setBusy(false)
    }
  }
  const give = (): void => { void act(() => session.consent.give({ text: ConsentText }), 'give your consent') }
  const withdraw = (): void => {
    void act(async () => { for (const one of live) await session.consent.withdraw(one.id) }, 'withdraw your consent')
  }
  const turn = (): void => {
    void act(async () => {
      if (external.length === 0) await session.consent.give({ text: ExternalText, scope: [ConsentScope.externalModels] })
      for (const one of external) await session.consent.withdraw(one.id)
    }, external.length === 0 ? 'give your consent' : 'withdraw your consent')
  }
  return (
    <section className="consent" aria-label="Consent">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {given === undefined ? (
        <Note tone="amber" icon={<EyeOpenIcon />} actions={<Button size="2" color="teal" loading={busy} onClick={give}>I agree</Button>}>
          <strong>Do you agree to be watched over?</strong> <q>{ConsentText}</q>
        </Note>
      ) : (
        <Note tone="teal" icon={<CheckCircledIcon />} actions={<Button size="1" variant="soft" color="gray" loading={busy} onClick={withdraw}>Withdraw consent</Button>}>
          <details>
            <summary>You agreed to be watched over</summary>
            <q>{ConsentText}</q>
            <label className="consent-more"><input type="checkbox" checked={external.length > 0} disabled={busy} onChange={turn} /> {ExternalText}</label>
          </details>
        </Note>
      )}
    </section>
  )
}
