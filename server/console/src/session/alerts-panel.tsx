import { BellIcon } from '@radix-ui/react-icons'
import { Badge, Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { AlertStep } from '../api/care.ts'
import { ContactKind, type ContactPoint } from '../api/contact.ts'
import type { Problem } from '../api/problem.ts'
import { AlertStatus, type Alert, type AlertEvent, type Assessment } from '../api/rows.ts'
import { inOrder, lastStep, unresolved } from '../alerts/book.ts'
import { Sharing, sharingOf } from '../api/sharing.ts'
import { contactWords } from '../devices/contact.tsx'
import { useDesk } from '../lib/use.ts'
import { LevelBadge } from '../ui/badges.tsx'
import { Empty, ProblemNote } from '../ui/parts.tsx'
import { ago, shortTime } from '../ui/time.ts'
import { useNow } from '../ui/use-now.ts'
import type { CareStore, CareView, StepOutcome } from './care-store.ts'
import type { SessionView } from './session-store.ts'
import { plainName } from './session-head.tsx'
import { alertTone, alertWords, findings } from './words.ts'

export function AlertsPanel(props: { readonly care: CareStore; readonly found: CareView; readonly view: SessionView; readonly show: (messageId: string) => void }): ReactNode {
  const { care, found, view } = props
  const { me } = useDesk()
  const alerts = inOrder(found.alerts)
  const open = unresolved(alerts)
  return (
    <section className="panel" aria-labelledby="alerts-title">
      <h2 id="alerts-title">Alerts {open === 0 ? null : <Badge color="red" variant="solid">{open} unresolved</Badge>}</h2>
      {alerts.length === 0 ? <Empty icon={<BellIcon />} title="No alerts">When a message pages you, it shows here at once.</Empty> : null}
      <ul className="cards">
        {alerts.map((alert) => (
          <li key={alert.id}>
            <AlertCard
              alert={alert} contacts={found.contacts} readers={view.myRole === null ? found.readers.get(alert.id) : everyone(found.readers.get(alert.id), me.userId)} found={foundIn(found.assessments.get(alert.messageId))} events={found.events.get(alert.id)} names={found.names} text={view.messages.find((one) => one.id === alert.messageId)?.text ?? null}
              step={(step) => care.step(step, alert)} show={() => { props.show(alert.messageId) }}
            />
          </li>
        ))}
      </ul>
    </section>
  )
}

function everyone(given: ReadonlySet<string> | undefined, me: string): ReadonlySet<string> {
  return new Set([...given ?? [], me]) // who takes part has the key anyway
}

function foundIn(assessment: Assessment | undefined): readonly string[] {
  return assessment === undefined ? [] : findings(assessment)
}

const statusWords = { open: 'nobody has it yet', acknowledged: 'acknowledged', resolved: 'resolved' } as const

export function AlertCard(props: {
  readonly alert: Alert
  readonly events: readonly AlertEvent[] | undefined
  readonly names: ReadonlyMap<string, string>
  /** What was written, where this device can read it. */
  readonly text: string | null
  /** How the client is reached outside, where the text is not there to be read. */
  readonly contacts?: readonly ContactPoint[]
  /** Who can read it, on some device of theirs. */
  readonly readers?: ReadonlySet<string> | undefined
  readonly step: (step: AlertStep) => Promise<StepOutcome>
  /** What else was found in the message, where that is known. */
  readonly found?: readonly string[]
  readonly show?: () => void
  readonly link?: ReactNode
}): ReactNode {
  const { alert } = props
  const now = useNow()
  const [busy, setBusy] = useState<AlertStep | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  const last = lastStep(props.events)
  const take = async (step: AlertStep): Promise<void> => {
    setBusy(step)
    const outcome = await props.step(step)
    setProblem(outcome.done ? null : outcome.problem)
    setBusy(null)
  }
  return (
    <article className="card alert-card" data-status={alert.status} aria-label={`Alert: ${alertWords(alert)}, ${statusWords[alert.status]}`}>
      <div className="row spread">
        <span className="row tight"><What alert={alert} />{(props.found ?? []).map((one) => <Badge key={one} color="red">{one}</Badge>)}</span>
        <time className="quiet" dateTime={alert.raisedAt.toISOString()} title={shortTime(alert.raisedAt, now)}>{ago(alert.raisedAt, now)}</time>
      </div>
      {props.text === null ? null : <blockquote className="quote">{props.text}</blockquote>}
      {props.text === null && alert.status !== AlertStatus.resolved ? <NotShared alert={alert} contacts={props.contacts ?? []} readers={props.readers} now={now} /> : null}
      <WhoHasIt alert={alert} last={last} names={props.names} />
      {problem === null ? null : <ProblemNote problem={problem} />}
      <div className="row">
        {alert.status === AlertStatus.open ? <Button size="2" loading={busy === AlertStep.acknowledge} onClick={() => { void take(AlertStep.acknowledge) }}>Acknowledge</Button> : null}
        {alert.status === AlertStatus.resolved ? null : (
          <Button
            size="2" variant={alert.status === AlertStatus.open ? 'soft' : 'solid'} color={alert.status === AlertStatus.open ? 'gray' : 'teal'}
            loading={busy === AlertStep.resolve} onClick={() => { void take(AlertStep.resolve) }}
          >
            Resolve
          </Button>
        )}
        {props.show === undefined ? null : <Button size="2" variant="ghost" color="gray" onClick={props.show}>Show in the conversation</Button>}
        {props.link}
      </div>
    </article>
  )
}

const sharingWords: Readonly<Record<Sharing, string>> = {
  shared: 'The text is shared with you, and not open on this screen.',
  underway: 'The text is being shared with you…',
  failed: 'The text could not be shared with you, though the client agreed to it. Whoever runs Vigil finds why in its log.',
  refused: 'The text is not shared with you: the client has not agreed that who is called may read.',
}

/** Why there is no text, and what there is instead: a way to the person. */
function NotShared(props: { readonly alert: Alert; readonly contacts: readonly ContactPoint[]; readonly readers: ReadonlySet<string> | undefined; readonly now: Date }): ReactNode {
  const { alert, contacts } = props
  const { me } = useDesk()
  return (
    <div className="not-shared">
      <p>{sharingWords[sharingOf(alert, props.readers, me.userId, props.now)]}</p>
      {contacts.length === 0 ? <p className="quiet">The client has left no way to be reached. Ask their therapist, or your practice’s records.</p> : (
        <ul aria-label="How to reach the client">{contacts.map((one) => <li key={one.kind}>{contactWords[one.kind]}: <Reach point={one} /></li>)}</ul>
      )}
    </div>
  )
}

function Reach(props: { readonly point: ContactPoint }): ReactNode {
  const { kind, value } = props.point
  if (kind === ContactKind.phone) return <a href={`tel:${value.replaceAll(/[^+0-9]/g, '')}`}>{value}</a>
  if (kind === ContactKind.email) return <a href={`mailto:${encodeURIComponent(value)}`}>{value}</a>
  return <>{value}</>
}

function What(props: { readonly alert: Alert }): ReactNode {
  const { alert } = props
  if (alert.source === 'not_assessed' || alert.level === null) return <Badge color="amber">Nobody could assess it</Badge>
  return alert.level === 0 ? <Badge color={alertTone(alert)}>{alertWords(alert)}</Badge> : <LevelBadge level={alert.level} />
}

function WhoHasIt(props: { readonly alert: Alert; readonly last: AlertEvent | undefined; readonly names: ReadonlyMap<string, string> }): ReactNode {
  const { me } = useDesk()
  const { alert, last } = props
  if (alert.status === AlertStatus.open || last === undefined) {
    return <p className="quiet">{alert.status === AlertStatus.open ? 'Nobody has it yet.' : `It is ${statusWords[alert.status]}.`}</p>
  }
  const who = last.actorId === me.userId ? 'You have' : `${plainName(props.names.get(last.actorId ?? '') ?? 'A clinician')} has`
  return <p className="quiet">{who} {statusWords[alert.status]} it, {shortTime(last.at, new Date())}.</p>
}
