import { Badge, Button, Card, Text, TextField } from '@radix-ui/themes'
import { useState, type ReactNode, type SyntheticEvent } from 'react'
import { problemOf, Refused, type Problem } from '../api/problem.ts'
import type { Config, DemoPerson } from '../app/config.ts'
import { goTo } from '../app/route.ts'
import { Note, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { roleWords } from '../session/words.ts'
import { Doorstep } from './doorstep.tsx'
import type { Login } from './login.ts'

/** Who is meant by ?as=clio: a demo person, by the first part of their address. */
export function demoPerson(config: Config, as: string): DemoPerson | undefined {
  return as === '' ? undefined : config.demo?.people.find((one) => one.email.split('@')[0] === as.toLowerCase())
}

export function SignIn(props: { readonly login: Login; readonly config: Config; readonly notice: Problem | null; readonly as: string }): ReactNode {
  const { login, config } = props
  const filled = demoPerson(config, props.as)
  const [email, setEmail] = useState(filled?.email ?? '')
  const [password, setPassword] = useState(filled?.password ?? '')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)

  const signIn = async (who: { readonly email: string; readonly password: string }): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await login.signIn(who.email.trim(), who.password)
      if (props.as !== '') goTo({ at: 'sessions' })
    } catch (thrown) {
      setProblem(signInProblem(thrown))
      setBusy(false)
    }
  }
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void signIn({ email, password })
  }

  return (
    <Doorstep>
      <PageTitle>Sign in</PageTitle>
      {props.notice === null ? null : <Note tone="amber"><strong>{props.notice.title}.</strong> {props.notice.next}</Note>}
      <Card size="3">
        <form className="stack" onSubmit={submit} aria-label="Sign in">
          <label className="field">
            <Text size="2" weight="medium">E-mail</Text>
            <TextField.Root size="3" type="email" autoComplete="username" required value={email} onChange={(event) => { setEmail(event.target.value) }} />
          </label>
          <label className="field">
            <Text size="2" weight="medium">Password</Text>
            <TextField.Root
              size="3" type="password" autoComplete="current-password" required value={password}
              onChange={(event) => { setPassword(event.target.value) }}
            />
          </label>
          {problem === null ? null : <ProblemNote problem={problem} />}
          <Button size="3" type="submit" loading={busy}>Sign in</Button>
        </form>
      </Card>
      {config.demo === null ? null : <DemoPeople people={config.demo.people} busy={busy} choose={(who) => { void signIn(who) }} />}
    </Doorstep>
  )
}

function DemoPeople(props: { readonly people: readonly DemoPerson[]; readonly busy: boolean; readonly choose: (who: DemoPerson) => void }): ReactNode {
  return (
    <section className="demo-people" aria-labelledby="demo-people">
      <div className="row">
        <h2 id="demo-people" className="small-title">Or be one of the invented people</h2>
        <Badge color="amber">development only</Badge>
      </div>
      <ul className="choices">
        {props.people.map((who) => (
          <li key={who.email}>
            <button type="button" className="choice" disabled={props.busy} onClick={() => { props.choose(who) }}>
              <span className="choice-name">{who.name.replace(/ \(demo.*\)$/, '')}</span>
              <span className="choice-role">{roleWords(who.role)}{who.name.includes('on call') ? ', on call' : ''}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

function signInProblem(thrown: unknown): Problem {
  if (thrown instanceof Refused && thrown.code === 'invalid_credentials') {
    return { title: 'That e-mail and password do not fit together', next: 'Check both; capitals count in the password.', code: thrown.code }
  }
  if (thrown instanceof Refused && thrown.code === 'email_not_confirmed') {
    return { title: 'This address is not confirmed yet', next: 'Open the link in the mail that was sent to it.', code: thrown.code }
  }
  return problemOf(thrown, 'sign in')
}
