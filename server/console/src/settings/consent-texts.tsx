import { Button, Text, TextArea } from '@radix-ui/themes'
import { useEffect, useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { ConsentScope } from 'vigil-client'
import { publishConsentText, readConsentTexts, retireConsentText, type ConsentText } from '../api/consent-texts.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { useActing } from '../devices/acting.ts'
import { useDesk } from '../lib/use.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'

const scopeWords: Readonly<Record<ConsentScope, string>> = {
  [ConsentScope.analysis]: 'to be watched over', [ConsentScope.crisisAccess]: 'that whoever is called in a crisis may read', [ConsentScope.externalModels]: 'that models outside may be asked',
}

const MaxText = 4000

/** What clients agree to, in the practice's own words: kept for ever, so that it can be shown later what somebody agreed to. */
export function ConsentTexts(props: { readonly organizationId: string }): ReactNode {
  const { organizationId } = props
  const { login } = useDesk()
  const { act, busy, problem } = useActing()
  const [texts, setTexts] = useState<readonly ConsentText[]>([])
  const [unread, setUnread] = useState<Problem | null>(null)
  const [scope, setScope] = useState<ConsentScope>(ConsentScope.analysis)
  const [body, setBody] = useState('')
  const [attempt, setAttempt] = useState(0)
  const title = useId()
  useEffect(() => {
    let gone = false
    readConsentTexts(login.supabase, organizationId).then(
      (found) => { if (!gone) setTexts(found) },
      (thrown: unknown) => { if (!gone) setUnread(problemOf(thrown, 'read what clients agree to')) },
    )
    return () => { gone = true }
  }, [login, organizationId, attempt])
  const again = (): void => { setAttempt((old) => old + 1) }
  const publish = (event: SyntheticEvent): void => {
    event.preventDefault()
    const language = document.documentElement.lang
    void act('publish the text', () => publishConsentText(login.supabase, { organizationId, scope: [scope], language, body: body.trim() }), 'Published').then((done) => {
      if (done) setBody('')
      again()
    })
  }
  const standing = texts.filter((one) => !one.retired)
  return (
    <section className="stack" aria-labelledby={title}>
      <h3 className="small-title" id={title}>What clients agree to</h3>
      {unread === null ? null : <ProblemNote problem={unread} />}
      {problem === null ? null : <ProblemNote problem={problem} />}
      {standing.length === 0 ? <Note>The console’s own words are used. Once you publish a text for something, clients agree to exactly that.</Note> : null}
      <ul className="lines" aria-label="Texts that clients agree to">
        {standing.map((one) => (
          <li key={one.hash} className="stack">
            <div className="row spread">
              <Text size="2" weight="medium">{one.scope.map(spelt).join(', ')} (version {one.version}{inForce(one, standing) ? ', shown to clients' : ', a newer one is shown'})</Text>
              <Button size="1" variant="soft" color="gray" loading={busy} aria-label={`Retire version ${one.version}`} onClick={() => { void act('retire the text', () => retireConsentText(login.supabase, one), 'Retired').then(again) }}>Retire</Button>
            </div>
            <blockquote className="quote">{one.body}</blockquote>
          </li>
        ))}
      </ul>
      <form className="stack" onSubmit={publish}>
        <label className="field">They agree
          <select className="native-select" value={scope} onChange={(event) => { setScope(scopeOf(event.target.value)) }}>
            {Object.values(ConsentScope).map((one) => <option key={one} value={one}>{scopeWords[one]}</option>)}
          </select>
        </label>
        <label className="field">In these words
          <TextArea value={body} rows={4} maxLength={MaxText} onChange={(event) => { setBody(event.target.value) }} />
        </label>
        <div className="row"><Button type="submit" size="2" loading={busy} disabled={body.trim() === ''}>Publish</Button></div>
      </form>
    </section>
  )
}

/** Whether clients are shown it, for one of its scopes at least: of those that stand, the newest is. */
function inForce(text: ConsentText, standing: readonly ConsentText[]): boolean {
  return text.scope.some((scope) => standing.find((one) => one.scope.includes(scope)) === text)
}

function scopeOf(value: string): ConsentScope {
  return Object.values(ConsentScope).find((one) => one === value) ?? ConsentScope.analysis
}

function spelt(scope: string): string {
  return scopeWords[scopeOf(scope)]
}
