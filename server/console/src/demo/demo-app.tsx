import { CheckCircledIcon, CrossCircledIcon, ExternalLinkIcon, LightningBoltIcon, PlayIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Badge, Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import { alertTone, alertWords } from '../session/words.ts'
import { useStore } from '../lib/store.ts'
import { AppearanceSwitch } from '../ui/appearance-switch.tsx'
import { Loading, Mark, Note } from '../ui/parts.tsx'
import { Feed, type FeedView, type Told } from './feed.ts'
import { isLevel, latencyWords, SidecarState, type DemoState } from './state.ts'
import './demo.css'

/** The demo's page: it starts invented conversations, kills the sidecar in their midst, and counts what became of them. */
export function DemoApp(): ReactNode {
  const [feed] = useState(() => new Feed())
  const view = useStore(feed.view)
  useEffect(() => {
    feed.open()
    return () => { feed.close() }
  }, [feed])
  return (
    <div className="demo">
      <header className="demo-head">
        <span className="brand"><Mark size={30} /> Vigil</span>
        <Badge color="amber" size="2">development only, invented people</Badge>
        <span className="spring" />
        <AppearanceSwitch />
      </header>
      <main className="demo-body">
        <h1 className="demo-title">Pull the plug, and see that nothing is lost</h1>
        <p className="demo-lead">Invented clients and therapists write sealed messages. The sidecar opens each with their consent, assesses it and tells clinicians. Kill it in the middle and watch the counters.</p>
        {view.fault === null ? null : <Note tone="amber">{view.fault}</Note>}
        {view.state === null ? <Loading what="the demo" lines={4} tall /> : <Stage feed={feed} view={view} state={view.state} />}
      </main>
    </div>
  )
}

function Stage(props: { readonly feed: Feed; readonly view: FeedView; readonly state: DemoState }): ReactNode {
  const { feed, state } = props
  const running = state.replay?.running === true
  const up = state.sidecar.state === SidecarState.up
  return (
    <>
      {props.view.heard ? null : <Note tone="amber">The development server does not answer; this page comes back by itself.</Note>}
      <div className="demo-acts">
        <Button size="4" disabled={running || !up} onClick={() => { void feed.start() }}>
          <PlayIcon width={20} height={20} /> {running ? 'The demo runs' : state.replay === null ? 'Start the demo' : 'Start it again'}
        </Button>
        <Button size="4" color="red" disabled={!up} onClick={() => { void feed.pull() }}>
          <LightningBoltIcon width={20} height={20} /> Pull the plug
        </Button>
        <Sidecar state={state} />
      </div>
      {state.replay === null ? null : <Progress replay={state.replay} />}
      <Counters state={state} />
      <div className="demo-columns">
        <section className="card demo-card" aria-labelledby="found"><h2 id="found">What was found</h2><Found state={state} /></section>
        <section className="card demo-card" aria-labelledby="story"><h2 id="story">What happens</h2><Story story={props.view.story} /></section>
        <section className="card demo-card" aria-labelledby="play"><h2 id="play">Play a part yourself</h2><Parts state={state} /></section>
      </div>
    </>
  )
}

function Sidecar(props: { readonly state: DemoState }): ReactNode {
  const { state, kills } = props.state.sidecar
  const looks = {
    up: { color: 'teal', icon: <CheckCircledIcon aria-hidden />, words: 'The sidecar is up' },
    down: { color: 'red', icon: <CrossCircledIcon aria-hidden />, words: 'The sidecar is dead' },
    starting: { color: 'amber', icon: <UpdateIcon className="turning" aria-hidden />, words: 'The sidecar starts again' },
  } as const
  const { color, icon, words } = looks[state]
  return (
    <p className="demo-sidecar" role="status">
      <Badge size="3" color={color}>{icon} {words}</Badge>
      <span className="quiet">killed {kills === 1 ? 'once' : `${kills} times`}</span>
    </p>
  )
}

function Progress(props: { readonly replay: NonNullable<DemoState['replay']> }): ReactNode {
  const { sent, total, error } = props.replay
  return (
    <div className="demo-progress">
      <progress value={sent} max={Math.max(total, 1)} aria-label="Messages written" />
      <span className="quiet">{sent} of {total} messages written{error === null ? '' : `; stopped: ${error}`}</span>
    </div>
  )
}

function Counters(props: { readonly state: DemoState }): ReactNode {
  const { counters } = props.state
  const level = isLevel(props.state)
  const behind = counters.written - counters.assessed - counters.notAssessed
  const words = counters.written === 0 ? 'nothing written yet' : level ? 'all level' : behind > 0 ? `${behind} on their way` : 'being relayed'
  return (
    <section className="demo-counters" aria-label="Counters">
      <dl className="demo-equation">
        <Counter name="written" value={counters.written} />
        <Equals left={counters.written} right={counters.assessed + counters.notAssessed} />
        <Counter name="assessed" value={counters.assessed + counters.notAssessed} note={counters.notAssessed > 0 ? `${counters.notAssessed} as not assessed` : undefined} />
        <Equals left={counters.assessed + counters.notAssessed} right={counters.relayed} />
        <Counter name="relayed" value={counters.relayed} />
        <Counter name="missing" value={counters.missing} zero />
        <Counter name="doubled" value={counters.doubled} zero />
      </dl>
      <p className={level ? 'demo-verdict level' : 'demo-verdict'} role="status">{level ? <CheckCircledIcon aria-hidden /> : null} {words}</p>
    </section>
  )
}

/** An equals sign only where two numbers are equal. */
function Equals(props: { readonly left: number; readonly right: number }): ReactNode {
  return <span className="demo-equals" aria-hidden="true">{props.left === props.right ? '=' : '→'}</span>
}

function Counter(props: { readonly name: string; readonly value: number; readonly note?: string | undefined; readonly zero?: boolean }): ReactNode {
  const bad = props.zero === true && props.value > 0
  const className = props.zero === true ? (bad ? 'demo-counter zero bad' : 'demo-counter zero') : 'demo-counter'
  return (
    <div className={className}>
      <dt>{props.name}{props.note === undefined ? '' : ` (${props.note})`}</dt>
      <dd>{props.zero === true && !bad ? <CheckCircledIcon aria-hidden /> : null}{bad ? <CrossCircledIcon aria-hidden /> : null}{props.value}</dd>
    </div>
  )
}

function Found(props: { readonly state: DemoState }): ReactNode {
  const { counters, latency } = props.state
  const most = Math.max(1, ...counters.alerts.map((one) => one.count))
  const ms = (value: number): string => (value === 0 ? '–' : `${Math.round(value)} ms`)
  return (
    <>
      {counters.alerts.length === 0 ? <p className="quiet">No alert yet.</p> : (
        <ul className="demo-levels" aria-label="Alerts by level">
          {counters.alerts.map((one) => (
            <li key={one.level ?? 'none'}>
              <span>{one.level === null ? '' : `${one.level}: `}{alertWords({ level: one.level, source: '' })}</span>
              <meter className={alertTone(one)} min={0} max={most} value={one.count} aria-hidden="true" />
              <strong>{one.count}</strong>
            </li>
          ))}
        </ul>
      )}
      <dl className="numbers demo-numbers">
        <div><dt>suggestions</dt><dd>{counters.suggestions}</dd></div>
        <div><dt>half within</dt><dd>{ms(latency.p50Ms)}</dd></div>
        <div><dt>95 % within</dt><dd>{ms(latency.p95Ms)}</dd></div>
        <div><dt>longest</dt><dd>{ms(latency.maxMs)}</dd></div>
      </dl>
      <p className="quiet">{latencyWords(props.state.sidecar.kills)}</p>
    </>
  )
}

function Story(props: { readonly story: readonly Told[] }): ReactNode {
  if (props.story.length === 0) return <p className="quiet">Press “Start the demo”. What happens is told here.</p>
  const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
  return (
    <div className="demo-story" role="log" aria-label="Story" tabIndex={0}>
      <ol>
        {props.story.map((one) => <li key={`${one.at.getTime()} ${one.text}`}><time className="quiet">{clock.format(one.at)}</time> {one.text}</li>)}
      </ol>
    </div>
  )
}

function Parts(props: { readonly state: DemoState }): ReactNode {
  const { consoleUrl, people } = props.state
  const base = consoleUrl.endsWith('/') ? consoleUrl : `${consoleUrl}/`
  const words = { client: 'client', therapist: 'therapist', supervisor: 'supervisor', admin: 'administrator' } as const
  return (
    <>
      <p className="quiet">Each opens in a tab of its own, with the sign-in filled in. Begin with Clio and Theo, side by side.</p>
      <ul className="demo-parts">
        {people.map((one) => {
          const as = one.email.split('@')[0] ?? ''
          const role = Object.entries(words).find(([key]) => key === one.role)?.[1] ?? one.role
          return (
            <li key={one.email}>
              <Button asChild variant={one.role === 'client' || as === 'theo' ? 'solid' : 'soft'} color={one.role === 'client' || as === 'theo' ? 'teal' : 'gray'}>
                <a href={`${base}#/signin?as=${encodeURIComponent(as)}`} target="_blank" rel="noopener">
                  Open as {one.name.replace(/ \(demo.*\)$/, '')} ({role}) <ExternalLinkIcon aria-label="in a new tab" />
                </a>
              </Button>
            </li>
          )
        })}
      </ul>
    </>
  )
}
