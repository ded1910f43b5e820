import { Button, Card, Code, Text } from '@radix-ui/themes'
import { useCallback, useEffect, useState, type ReactNode, type SyntheticEvent } from 'react'
import { problemOf, type Problem } from '../api/problem.ts'
import { Loading, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { CodeField } from './code-field.tsx'
import { Doorstep } from './doorstep.tsx'
import type { Enrolment, Login } from './login.ts'
import { QrCode } from './qr.tsx'
import { codeProblem } from './second-factor.tsx'

type Beginning = { readonly at: 'loading' } | { readonly at: 'failed'; readonly problem: Problem } | { readonly at: 'begun'; readonly enrolment: Enrolment }

/** Sets a second factor up, for staff of a practice that shows them nothing without one. */
export function Enrol(props: { readonly login: Login }): ReactNode {
  const { login } = props
  const [beginning, setBeginning] = useState<Beginning>({ at: 'loading' })
  const begin = useCallback(async (): Promise<void> => {
    setBeginning({ at: 'loading' })
    try {
      setBeginning({ at: 'begun', enrolment: await login.enrol() })
    } catch (thrown) {
      setBeginning({ at: 'failed', problem: problemOf(thrown, 'set the second factor up') })
    }
  }, [login])
  useEffect(() => {
    const timer = setTimeout(() => { void begin() }) // once, also when effects run twice in development
    return () => { clearTimeout(timer) }
  }, [begin])
  return (
    <Doorstep>
      <PageTitle>Set up a second factor</PageTitle>
      <Text as="p" size="2">
        Your practice asks its staff for a second factor: without it, nothing of it is shown to you. You need an authenticator app on your phone.
      </Text>
      <Card size="3">
        {beginning.at === 'loading' ? <Loading what="the second factor" lines={4} /> : null}
        {beginning.at === 'failed' ? <ProblemNote problem={beginning.problem} again={() => { void begin() }} /> : null}
        {beginning.at === 'begun' ? <Steps login={login} enrolment={beginning.enrolment} /> : null}
      </Card>
      <Button size="2" variant="ghost" color="gray" onClick={() => { void login.signOut() }}>Sign in as somebody else</Button>
    </Doorstep>
  )
}

function Steps(props: { readonly login: Login; readonly enrolment: Enrolment }): ReactNode {
  const { enrolment } = props
  const [code, setCode] = useState('')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const prove = async (): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await props.login.prove(enrolment.factorId, code)
    } catch (thrown) {
      setProblem(codeProblem(thrown))
      setCode('')
      setBusy(false)
    }
  }
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void prove()
  }
  return (
    <form className="stack" onSubmit={submit} aria-label="Set up a second factor">
      <ol className="steps">
        <li>
          <Text as="p" size="2">Scan this with the authenticator app.</Text>
          <QrCode value={enrolment.uri} label="QR code for the authenticator app; the secret below says the same" />
        </li>
        <li>
          <Text as="p" size="2">Or type the secret in:</Text>
          <Code size="2" className="secret" data-testid="totp-secret">{enrolment.secret}</Code>
        </li>
        <li><CodeField code={code} change={setCode} /></li>
      </ol>
      {problem === null ? null : <ProblemNote problem={problem} />}
      <Button size="3" type="submit" loading={busy} disabled={code.length !== 6}>Go on</Button>
    </form>
  )
}
