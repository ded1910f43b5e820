import { CheckCircledIcon, EyeOpenIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import { ConsentScope, SessionMode, SessionStatus } from 'vigil-client'
import { readConsentTexts, type ConsentText as Published } from '../api/consent-texts.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import type { Supabase } from '../api/rest.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { standingConsents, type OpenSession, type SessionView } from './session-store.ts'

/** What a client agrees to, word for word, where the practice has no words of its own: its hash is signed by their device. */
export const ConsentText =
  'I agree that Vigil’s detector reads my messages in this session as they are sent, so that a clinician of my practice is told ' +
  'when I may be in danger, and so that my therapist is offered drafts. It keeps what it found, never my words. I can withdraw this at any time; ' +
  'what I send afterwards is not read.'

/** The second choice, apart from the first: without it no model of another company is asked. */
export const ExternalText =
  'I also agree that a language model outside my practice may be sent my latest messages to draft replies for my therapist. I can stop this at any time, and the rest stays as it is.'

/** The third: who is called in an emergency may read what it is about. */
export const CrisisText =
  'I also agree that a clinician who is called because I may be in danger can read this session from that message on, until the alert is resolved. ' +
  'I see who was let in. Without this they are told that I may be in danger and how to reach me, and not what I wrote. I can stop this at any time.'

/** The words for each scope: the practice's newest ones that stand, else the console's. */
export interface ConsentWords {
  readonly analysis: string
  readonly external: string
  readonly crisis: string
}

export const ownWords: ConsentWords = { analysis: ConsentText, external: ExternalText, crisis: CrisisText }

export function wordsOf(published: readonly Published[]): ConsentWords {
  const standing = (scope: ConsentScope, own: string): string => published.find((one) => !one.retired && one.scope.includes(scope))?.body ?? own
  return {
    analysis: standing(ConsentScope.analysis, ConsentText), external: standing(ConsentScope.externalModels, ExternalText), crisis: standing(ConsentScope.crisisAccess, CrisisText),
  }
}

/** Null while they are read: nobody agrees to words that may be others. */
export function useConsentWords(supabase: Supabase, organizationId: string): { readonly words: ConsentWords | null; readonly problem: Problem | null } {
  const [state, setState] = useState<{ readonly words: ConsentWords | null; readonly problem: Problem | null }>({ words: null, problem: null })
  useEffect(() => {
    let gone = false
    readConsentTexts(supabase, organizationId).then(
      (published) => { if (!gone) setState({ words: wordsOf(published), problem: null }) },
      (thrown: unknown) => { if (!gone) setState({ words: null, problem: problemOf(thrown, 'read what you would agree to') }) },
    )
    return () => { gone = true }
  }, [supabase, organizationId])
  return state
}

/** Giving and withdrawing take one press each, at the same place. Only the client of a watched session has it. */
export function ConsentStrip(props: { readonly session: OpenSession; readonly view: SessionView; readonly words: ConsentWords }): ReactNode {
  const { session, view, words } = props
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  if (view.myRole !== 'client' || view.row.mode !== SessionMode.assisted || view.row.status === SessionStatus.ended) return null
  const live = standingConsents(view)
  const given = live.filter((one) => one.scope.includes(ConsentScope.analysis))
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
  const give = (): void => { void act(() => session.consent.give({ text: words.analysis }), 'give your consent') }
  // The other scopes first: the last of the analysis makes the session private.
  const withdraw = (goOn: 'strict' | 'wait'): void => {
    void act(async () => {
      for (const one of live.filter((other) => !given.includes(other))) await session.consent.withdraw(one.id)
      for (const [at, one] of given.entries()) await session.consent.withdraw(one.id, at === given.length - 1 ? { goOn } : {})
    }, 'withdraw your consent')
  }
  const turn = (scope: ConsentScope, text: string): void => {
    const standing = live.filter((one) => one.scope.includes(scope) && !one.scope.includes(ConsentScope.analysis))
    void act(async () => {
      if (standing.length === 0) await session.consent.give({ text, scope: [scope] })
      for (const one of standing) await session.consent.withdraw(one.id)
    }, standing.length === 0 ? 'give your consent' : 'withdraw your consent')
  }
  const has = (scope: ConsentScope): boolean => live.some((one) => one.scope.includes(scope))
  return (
    <section className="consent" aria-label="Consent">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {given.length === 0 ? (
        <Note
          tone="amber" icon={<EyeOpenIcon />}
          actions={<><Button size="2" color="teal" loading={busy} onClick={give}>I agree</Button><GoPrivately session={session} busy={busy} act={act} /></>}
        >
          <strong>Do you agree to be watched over?</strong> {view.consents.some((one) => one.withdrawn_at === null) ? 'The device that you agreed with was removed: agree once more with this one. ' : ''}<q>{words.analysis}</q>
        </Note>
      ) : (
        <Note tone="teal" icon={<CheckCircledIcon />} actions={<Button size="1" variant="soft" color="gray" loading={busy} onClick={() => { withdraw('strict') }}>Withdraw, go on privately</Button>}>
          <details>
            <summary>You agreed to be watched over</summary>
            <q>{words.analysis}</q>
            <label className="consent-more"><input type="checkbox" checked={has(ConsentScope.crisisAccess)} disabled={busy} onChange={() => { turn(ConsentScope.crisisAccess, words.crisis) }} /> {words.crisis}</label>
            <label className="consent-more"><input type="checkbox" checked={has(ConsentScope.externalModels)} disabled={busy} onChange={() => { turn(ConsentScope.externalModels, words.external) }} /> {words.external}</label>
            <p className="consent-more"><Button size="1" variant="soft" color="gray" loading={busy} onClick={() => { withdraw('wait') }}>Withdraw, and send nothing for now</Button></p>
          </details>
        </Note>
      )}
    </section>
  )
}

function GoPrivately(props: { readonly session: OpenSession; readonly busy: boolean; readonly act: (work: () => Promise<unknown>, attempt: string) => Promise<void> }): ReactNode {
  const go = (): void => { void props.act(() => props.session.changeMode(SessionMode.strict), 'go on privately') }
  return <Button size="2" variant="soft" color="gray" loading={props.busy} onClick={go}>Go on privately</Button>
}
