import { Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import { problemOf, type Problem } from '../api/problem.ts'
import { DeskContext } from '../lib/use.ts'
import { useStore } from '../lib/store.ts'
import { Enrol } from '../login/enrol.tsx'
import { Doorstep } from '../login/doorstep.tsx'
import { Login } from '../login/login.ts'
import { SecondFactor } from '../login/second-factor.tsx'
import { SignIn } from '../login/sign-in.tsx'
import { Announcements } from '../ui/live.tsx'
import { Loading, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { readConfig, type Config } from './config.ts'
import { parseRoute, useHash } from './route.ts'
import { Screens } from './screens.tsx'

type Boot = { readonly at: 'loading' } | { readonly at: 'failed'; readonly problem: Problem } | { readonly at: 'ready'; readonly config: Config; readonly login: Login }

/** From config.json to whoever is signed in. */
export function App(): ReactNode {
  const [boot, setBoot] = useState<Boot>({ at: 'loading' })
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    const stop = new AbortController()
    let close: (() => void) | undefined
    readConfig(stop.signal).then(
      (config) => {
        if (stop.signal.aborted) return
        const login = new Login(config)
        close = login.open()
        setBoot({ at: 'ready', config, login })
      },
      (thrown: unknown) => {
        if (!stop.signal.aborted) setBoot({ at: 'failed', problem: problemOf(thrown, 'read where the practice is (config.json)') })
      },
    )
    return () => {
      stop.abort()
      close?.()
    }
  }, [attempt])

  if (boot.at === 'loading') return <Doorstep><PageTitle hidden>Opening</PageTitle><Loading what="Vigil" /></Doorstep>
  if (boot.at === 'failed') {
    const again = (): void => {
      setBoot({ at: 'loading' })
      setAttempt(attempt + 1)
    }
    return <Doorstep><PageTitle>Vigil cannot start</PageTitle><ProblemNote problem={boot.problem} again={again} /></Doorstep>
  }
  return <Announcements><Entrance config={boot.config} login={boot.login} /></Announcements>
}

function Entrance(props: { readonly config: Config; readonly login: Login }): ReactNode {
  const { config, login } = props
  const state = useStore(login.state)
  const route = parseRoute(useHash())
  const as = route.at === 'signin' ? route.as : ''
  switch (state.step) {
    case 'restoring':
      return <Doorstep><PageTitle hidden>Opening</PageTitle><Loading what="your login" /></Doorstep>
    case 'out':
      return <SignIn key={as} login={login} config={config} notice={state.notice} as={as} />
    case 'code':
      return <SecondFactor login={login} factorId={state.factorId} />
    case 'enrol':
      return <Enrol login={login} />
    case 'failed':
      return (
        <Doorstep>
          <PageTitle>Sign in</PageTitle>
          <ProblemNote problem={state.problem} again={() => { void login.advance() }} />
          <Button variant="ghost" color="gray" onClick={() => { void login.signOut() }}>Sign out</Button>
        </Doorstep>
      )
    case 'in':
      return <DeskContext value={{ config, login, me: state.me }}><Screens route={route} /></DeskContext>
  }
}
