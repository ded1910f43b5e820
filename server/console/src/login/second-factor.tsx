import { Button, Card } from '@radix-ui/themes'
import { useState, type ReactNode, type SyntheticEvent } from 'react'
import { problemOf, Refused, type Problem } from '../api/problem.ts'
import { PageTitle, ProblemNote } from '../ui/parts.tsx'
import { CodeField } from './code-field.tsx'
import { Doorstep } from './doorstep.tsx'
import type { Login } from './login.ts'

export function codeProblem(thrown: unknown): Problem {
  if (thrown instanceof Refused && thrown.code === 'mfa_verification_failed') {
    return { title: 'That code is not right', next: 'Wait for the next one, and check that your phone’s clock is right.', code: thrown.code }
  }
  return problemOf(thrown, 'check the code')
}

/** Asks a person who has a second factor for its code. */
export function SecondFactor(props: { readonly login: Login; readonly factorId: string }): ReactNode {
  const [code, setCode] = useState('')
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const prove = async (): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await props.login.prove(props.factorId, code)
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
    <Doorstep>
      <PageTitle>Second factor</PageTitle>
      <Card size="3">
        <form className="stack" onSubmit={submit} aria-label="Second factor">
          <CodeField code={code} change={setCode} focus />
          {problem === null ? null : <ProblemNote problem={problem} />}
          <Button size="3" type="submit" loading={busy} disabled={code.length !== 6}>Go on</Button>
          <Button size="2" type="button" variant="ghost" color="gray" onClick={() => { void props.login.signOut() }}>Sign in as somebody else</Button>
        </form>
      </Card>
    </Doorstep>
  )
}
