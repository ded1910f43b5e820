import { ArrowLeftIcon, DotFilledIcon, EyeClosedIcon, EyeOpenIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { ConsentScope, SessionMode, SessionStatus } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { SessionStep } from '../api/sessions.ts'
import { linkTo } from '../app/route.ts'
import { useDesk } from '../lib/use.ts'
import { StatusBadge } from '../ui/badges.tsx'
import { Confirm } from '../ui/confirm.tsx'
import { PageTitle, ProblemNote } from '../ui/parts.tsx'
import { ChannelChip } from './channel-chip.tsx'
import { roleWords } from './words.ts'
import { WatchOnDevice } from './device-watch.tsx'
import { More } from './more.tsx'
import { standingConsents, type OpenSession, type Person, type SessionStore, type SessionView } from './session-store.ts'

export const plainName = (name: string): string => name.replace(/ \(demo.*\)$/, '')

/** Who it is with, whether they are here, how the session and the channel stand, and what its therapist can do with it. */
export function SessionHead(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView }): ReactNode {
  const { store, view } = props
  const { me } = useDesk()
  const others = view.people.filter((one) => one.userId !== me.userId)
  const title = others.length === 0 ? 'Session' : `Session with ${others.map((one) => plainName(one.name)).join(' and ')}`
  return (
    <div className="session-head">
      <div className="session-head-row">
        <a className="back" href={linkTo({ at: 'sessions' })} aria-label="Back to your sessions"><ArrowLeftIcon /></a>
        <div className="session-who">
          <PageTitle>{title}</PageTitle>
          <div className="row tight">
            {others.map((one) => <Presence key={one.userId} person={one} here={view.present.includes(one.userId)} known={view.channel === 'connected'} />)}
          </div>
        </div>
        <div className="row tight session-state">
          <StatusBadge status={view.row.status} />
          <ChannelChip channel={view.channel} recovery={view.recovery} />
        </div>
        <More store={store} session={props.session} view={view} />
        {view.myRole === 'client' ? null : <Lead store={store} view={view} />}
      </div>
      <Watched view={view} />
      <WatchOnDevice session={props.session} view={view} store={store} />
    </div>
  )
}

function Presence(props: { readonly person: Person; readonly here: boolean; readonly known: boolean }): ReactNode {
  const { person, here, known } = props
  const words = known ? (here ? 'is here' : 'is away') : 'may be here'
  return (
    <span className={here && known ? 'presence here' : 'presence'}>
      <DotFilledIcon aria-hidden /> {plainName(person.name)} ({roleWords(person.role)}) {words}
    </span>
  )
}

/** Whether the detector reads along with what is sent now, and why or why not. Never left out. */
function Watched(props: { readonly view: SessionView }): ReactNode {
  const { view } = props
  const client = view.myRole === 'client'
  if (view.erased) return null
  const consented = standingConsents(view).some((one) => one.scope.includes(ConsentScope.analysis))
  if (view.row.mode === SessionMode.strict) {
    return (
      <p className="watched not">
        <EyeClosedIcon aria-hidden /> <span><strong>Private.</strong> Only the people of this session can read it. The detector runs on the sender’s and the therapist’s own device; what it finds there can still alert a clinician, without the words.</span>
      </p>
    )
  }
  if (!consented) {
    return (
      <p className="watched not">
        <EyeClosedIcon aria-hidden /> <span><strong>Not watched yet.</strong> Vigil’s detector reads along once {client ? 'you agree' : 'the client agrees'}; until then nothing can be sent.</span>
      </p>
    )
  }
  return (
    <p className="watched">
      <EyeOpenIcon aria-hidden /> <span><strong>Watched.</strong> Vigil’s detector reads along, with {client ? 'your' : 'the client’s'} consent, so that a clinician is told of a crisis.</span>
    </p>
  )
}

const leading: Readonly<Record<SessionStatus, readonly { readonly step: SessionStep; readonly label: string; readonly main: boolean }[]>> = {
  scheduled: [{ step: SessionStep.start, label: 'Start the session', main: true }],
  active: [{ step: SessionStep.pause, label: 'Pause', main: false }, { step: SessionStep.end, label: 'End', main: false }],
  paused: [{ step: SessionStep.resume, label: 'Continue', main: true }, { step: SessionStep.end, label: 'End', main: false }],
  ended: [],
}

function Lead(props: { readonly store: SessionStore; readonly view: SessionView }): ReactNode {
  const { store, view } = props
  const { me } = useDesk()
  const [busy, setBusy] = useState(false)
  const [ending, setEnding] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const leads = view.myRole === 'therapist' || me.memberships.some((one) => one.role === 'supervisor' && one.organizationId === view.row.organization_id)
  if (!leads) return null
  const take = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await work()
    } catch (thrown) {
      setProblem(problemOf(thrown, 'change the session'))
    } finally {
      setBusy(false)
    }
  }
  const strict = view.row.mode === SessionMode.strict
  const steps = leading[view.row.status]
  return (
    <>
      <div className="row tight lead">
        {steps.map(({ step, label, main }) => (
          <Button
            key={step} size="2" variant={main ? 'solid' : 'soft'} color={main ? 'teal' : 'gray'} loading={busy}
            onClick={() => { if (step === SessionStep.end) setEnding(true); else void take(() => store.step(step)) }}
          >
            {label}
          </Button>
        ))}
        {view.row.status === SessionStatus.ended ? null : (
          <Button size="2" variant="ghost" color="gray" disabled={busy} onClick={() => { void take(() => store.setMode(strict ? SessionMode.assisted : SessionMode.strict)) }}>
            {strict ? 'Let Vigil watch' : 'Go on privately'}
          </Button>
        )}
      </div>
      {problem === null ? null : <div className="session-head-note"><ProblemNote problem={problem} /></div>}
      {ending ? (
        <Confirm
          title="End this session?" action="End the session" grave
          onCancel={() => { setEnding(false) }}
          onConfirm={() => { setEnding(false); void take(() => store.step(SessionStep.end)) }}
        >
          <p>Nothing can be sent in it afterwards, and it cannot be started again. What was said stays readable for you both.</p>
        </Confirm>
      ) : null}
    </>
  )
}
