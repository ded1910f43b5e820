import { ArrowLeftIcon } from '@radix-ui/react-icons'
import { useEffect, useMemo, useState, type ReactNode } from 'react'
import { SessionStatus } from 'vigil-client'
import { linkTo } from '../app/route.ts'
import { useStore, type Store } from '../lib/store.ts'
import { useDesk } from '../lib/use.ts'
import { Loading, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { CareStore } from './care-store.ts'
import { ChatPane } from './chat-pane.tsx'
import { ClinicianView } from './clinician-view.tsx'
import { SessionHead } from './session-head.tsx'
import { SessionStore, type OpenSession, type SessionView } from './session-store.ts'
import './session.css'

/** Opens a session and shows it as its person may see it: a client never gets the clinician's side, not even hidden. */
export function SessionScreen(props: { readonly id: string }): ReactNode {
  const { login, me } = useDesk()
  const [attempt, setAttempt] = useState(0)
  const [store, setStore] = useState<SessionStore | null>(null)
  useEffect(() => {
    const opened = new SessionStore({ supabase: login.supabase, vigil: () => login.vigil(), id: props.id, userId: me.userId })
    const timer = setTimeout(() => { // not twice, when effects run twice in development
      setStore(opened)
      void opened.open()
    })
    return () => {
      clearTimeout(timer)
      opened.close()
    }
  }, [login, me.userId, props.id, attempt])
  if (store === null) return <Opening />
  return <Opened store={store} again={() => { setAttempt(attempt + 1) }} />
}

function Opening(): ReactNode {
  return (
    <div className="page">
      <PageTitle hidden>Session</PageTitle>
      <Loading what="the session" lines={5} tall />
    </div>
  )
}

function Opened(props: { readonly store: SessionStore; readonly again: () => void }): ReactNode {
  const load = useStore(props.store.load)
  if (load.phase === 'loading') return <Opening />
  if (load.phase === 'failed') {
    return (
      <div className="page">
        <PageTitle>Session</PageTitle>
        <ProblemNote problem={load.problem} again={props.again} />
        <p><a className="link" href={linkTo({ at: 'sessions' })}><ArrowLeftIcon aria-hidden /> Back to your sessions</a></p>
      </div>
    )
  }
  return <Ready store={props.store} session={load.session} view={load.view} />
}

function Ready(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: Store<SessionView> }): ReactNode {
  const { store, session } = props
  const view = useStore(props.view)
  const head = <SessionHead store={store} session={session} view={view} />
  if (view.myRole === 'client') return <div className="session">{head}<ChatPane store={store} session={session} view={view} /></div>
  return <Clinician store={store} session={session} view={view} head={head} />
}

function Clinician(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView; readonly head: ReactNode }): ReactNode {
  const { store, session, view } = props
  const { login } = useDesk()
  const care = useMemo(() => new CareStore({ supabase: login.supabase, session }), [login, session])
  useEffect(() => {
    const timer = setTimeout(() => { care.open() })
    return () => {
      clearTimeout(timer)
      care.close()
    }
  }, [care])
  return <ClinicianView store={store} session={session} view={view} care={care} head={props.head} running={view.row.status === SessionStatus.active} />
}
