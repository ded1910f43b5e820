import { ChatBubbleIcon, ChevronRightIcon, EyeClosedIcon, EyeOpenIcon, PlusIcon } from '@radix-ui/react-icons'
import { Badge, Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import { SessionMode, SessionStatus } from 'vigil-client'
import { MemberRole } from '../api/rows.ts'
import { linkTo } from '../app/route.ts'
import { hasRole, isClinician } from '../login/login.ts'
import { useStore } from '../lib/store.ts'
import { useDesk } from '../lib/use.ts'
import { AlertBadge, StatusBadge } from '../ui/badges.tsx'
import { Empty, Loading, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { shortTime } from '../ui/time.ts'
import { NewSession } from './new-session.tsx'
import { SessionsStore, type SessionLine } from './sessions-store.ts'

export function SessionsScreen(): ReactNode {
  const { login, me } = useDesk()
  const [store] = useState(() => new SessionsStore({ supabase: login.supabase, userId: me.userId, clinician: isClinician(me) }))
  const view = useStore(store.view)
  const [making, setMaking] = useState(false)
  useEffect(() => {
    const opened = new AbortController()
    const timer = setTimeout(() => { if (!opened.signal.aborted) store.open(() => login.vigil()) })
    return () => {
      opened.abort()
      clearTimeout(timer)
      store.close()
    }
  }, [store, login])
  const empty = view.phase === 'ready' && view.lines.length === 0
  useEffect(() => {
    if (empty) void login.recheck() // nothing shows to a login that owes the second factor, either
  }, [empty, login])
  const mayMake = hasRole(me, MemberRole.therapist)

  return (
    <div className="page">
      <div className="page-head">
        <PageTitle>Sessions</PageTitle>
        {mayMake && !making ? <Button size="2" onClick={() => { setMaking(true) }}><PlusIcon /> New session</Button> : null}
      </div>
      {making ? <NewSession done={() => { setMaking(false) }} /> : null}
      {view.phase === 'loading' ? <Loading what="your sessions" lines={4} tall /> : null}
      {view.phase === 'failed' ? <ProblemNote problem={view.problem} again={() => { void store.read() }} /> : null}
      {view.phase === 'ready' ? (
        <>
          {view.stale === null ? null : <ProblemNote problem={view.stale} again={() => { void store.read() }} />}
          {view.lines.length === 0 ? <NoSessions mayMake={mayMake} belongs={me.memberships.length > 0} /> : null}
          <ul className="lines" aria-label="Your sessions">
            {view.lines.map((line) => <li key={line.id}><Line line={line} /></li>)}
          </ul>
          {view.more ? <Button variant="soft" color="gray" onClick={() => { void store.more() }}>Show older sessions</Button> : null}
        </>
      ) : null}
    </div>
  )
}

function NoSessions(props: { readonly mayMake: boolean; readonly belongs: boolean }): ReactNode {
  if (!props.belongs) {
    return <Empty icon={<ChatBubbleIcon />} title="You belong to no practice">Ask an administrator of your practice to take you in; then reload this page. If you had something erased, <a href={linkTo({ at: 'devices' })}>the receipts are here</a>.</Empty>
  }
  return (
    <Empty icon={<ChatBubbleIcon />} title="No sessions yet">
      {props.mayMake ? 'Make one with a client: choose “New session” above.' : 'Your therapist makes the first one; it then shows here by itself.'}
    </Empty>
  )
}

function Line(props: { readonly line: SessionLine }): ReactNode {
  const { line } = props
  const gravest = line.alerts[0]
  const names = line.with.map((name) => name.replace(/ \(demo.*\)$/, '')).join(', ')
  const watched = line.mode === SessionMode.assisted
  return (
    <a className="line" href={linkTo({ at: 'session', id: line.id })}>
      <span className="line-main">
        <span className="line-title">{names === '' ? 'Nobody else yet' : names}{line.myRole === null ? <span className="line-aside"> (you see it as clinician)</span> : null}</span>
        <span className="line-facts">
          <StatusBadge status={line.status} />
          <Badge color="gray" variant="surface">{watched ? <EyeOpenIcon aria-hidden /> : <EyeClosedIcon aria-hidden />} {watched ? 'watched' : 'private'}</Badge>
          <time dateTime={line.at.toISOString()}>{timeWords(line)}</time>
        </span>
      </span>
      {gravest === undefined ? null : <AlertBadge alert={gravest} count={line.alerts.length} />}
      <ChevronRightIcon aria-hidden className="line-go" />
    </a>
  )
}

function timeWords(line: SessionLine): string {
  const at = shortTime(line.at, new Date())
  switch (line.status) {
    case SessionStatus.scheduled:
      return `made ${at}`
    case SessionStatus.ended:
      return `ended ${at}`
    default:
      return `since ${at}`
  }
}
