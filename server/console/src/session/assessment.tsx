import { ActivityLogIcon, QuestionMarkCircledIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Badge } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import type { ChatMessage } from 'vigil-client'
import { AssessmentStatus, type Assessment } from '../api/rows.ts'
import { LevelBadge } from '../ui/badges.tsx'
import { Empty } from '../ui/parts.tsx'
import type { CareView } from './care-store.ts'
import type { SessionView } from './session-store.ts'
import { findings, levelTone, levelWords, notAssessedWords, sentimentWords, topicWords } from './words.ts'

function isClients(message: ChatMessage, view: SessionView): boolean {
  if (message.from.role !== null) return message.from.role === 'client'
  return view.people.find((one) => one.userId === message.from.userId)?.role === 'client'
}

/** What was found in one message, below it. Of a therapist's own, only what stands out. */
export function AssessmentLine(props: { readonly view: SessionView; readonly found: CareView; readonly messageId: string }): ReactNode {
  const { view, found } = props
  const message = view.messages.find((one) => one.id === props.messageId)
  if (message === undefined || !message.watched) return null
  const assessment = found.assessments.get(message.id)
  const clients = isClients(message, view)
  if (assessment === undefined) {
    return clients && found.phase === 'ready' ? <div className="finding"><UpdateIcon className="turning" aria-hidden /> being assessed…</div> : null
  }
  if (assessment.status === AssessmentStatus.notAssessed) return <NotAssessed assessment={assessment} />
  if (!clients && !assessment.alert && (assessment.level ?? 0) === 0) return null
  return <Assessed assessment={assessment} mine={message.from.me} />
}

function NotAssessed(props: { readonly assessment: Assessment }): ReactNode {
  return (
    <div className="finding not-assessed">
      <QuestionMarkCircledIcon aria-hidden /> <strong>Not assessed</strong>: {notAssessedWords(props.assessment.reason)}. Read it yourself.
    </div>
  )
}

function Assessed(props: { readonly assessment: Assessment; readonly mine: boolean }): ReactNode {
  const { assessment } = props
  return (
    <div className={props.mine ? 'finding mine' : 'finding'} aria-label="Assessment">
      <LevelBadge level={assessment.level} />
      {findings(assessment).map((one) => <Badge key={one} color="red">{one}</Badge>)}
      <span className="finding-part">{sentimentWords(assessment.sentiment)}</span>
      {assessment.topics.map((topic) => <span className="finding-part topic" key={topic}>{topicWords(topic)}</span>)}
    </div>
  )
}

/** How many of the last messages the strip shows. */
const StripMessages = 24

/** The session at a glance: counts, and the levels of the last messages. */
export function AssessmentsPanel(props: { readonly view: SessionView; readonly found: CareView }): ReactNode {
  const { view, found } = props
  const watched = view.messages.filter((one) => one.watched)
  const assessed = watched.filter((one) => found.assessments.get(one.id)?.status === AssessmentStatus.assessed).length
  const notAssessed = watched.filter((one) => found.assessments.get(one.id)?.status === AssessmentStatus.notAssessed).length
  const clients = watched.filter((one) => isClients(one, view)).slice(-StripMessages)
  return (
    <section className="panel" aria-labelledby="assessments-title">
      <h2 id="assessments-title">Assessments</h2>
      {watched.length === 0 ? (
        <Empty icon={<ActivityLogIcon />} title="Nothing to assess yet">Each message of a watched session is assessed as it comes.</Empty>
      ) : (
        <>
          <dl className="numbers">
            <div><dt>watched</dt><dd>{watched.length}</dd></div>
            <div><dt>assessed</dt><dd>{assessed}</dd></div>
            <div><dt>not assessed</dt><dd>{notAssessed}</dd></div>
            <div><dt>under way</dt><dd>{watched.length - assessed - notAssessed}</dd></div>
          </dl>
          <Strip messages={clients} found={found} />
          <Topics messages={clients} found={found} />
          <p className="quiet">A detector is a second pair of eyes, not a judgement. It is not clinically validated.</p>
        </>
      )}
    </section>
  )
}

/** The levels of the client's last messages, the newest on the right. The same in words for those who do not see it. */
function Strip(props: { readonly messages: readonly ChatMessage[]; readonly found: CareView }): ReactNode {
  const { messages, found } = props
  if (messages.length === 0) return null
  const levels = messages.map((one) => found.assessments.get(one.id)?.level ?? null)
  const highest = levels.reduce<number | null>((high, level) => (level === null ? high : Math.max(high ?? 0, level)), null)
  const words = `Levels of the client’s last ${messages.length} messages, the oldest first: ${levels.map((level) => level ?? 'unknown').join(', ')}`
  const [wide, tall, gap] = [10, 42, 4]
  return (
    <figure className="strip">
      <svg viewBox={`0 0 ${StripMessages * (wide + gap) - gap} ${tall}`} role="img" aria-label={words}>
        {levels.map((level, at) => {
          const height = level === null ? 4 : 6 + level * 6
          return <rect key={messages[at]?.id} className={`bar ${levelTone(level)}`} x={at * (wide + gap)} y={tall - height} width={wide} height={height} rx={2} />
        })}
      </svg>
      <figcaption className="quiet">Highest of the last {messages.length}: {levelWords(highest)}</figcaption>
    </figure>
  )
}

function Topics(props: { readonly messages: readonly ChatMessage[]; readonly found: CareView }): ReactNode {
  const counts = new Map<string, number>()
  for (const message of props.messages) {
    for (const topic of props.found.assessments.get(message.id)?.topics ?? []) counts.set(topic, (counts.get(topic) ?? 0) + 1)
  }
  if (counts.size === 0) return null
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5)
  return (
    <p className="topics"><span className="quiet">Spoken of: </span>{most.map(([topic, count]) => <Badge key={topic} color="gray" variant="surface">{topicWords(topic)}{count > 1 ? ` ×${count}` : ''}</Badge>)}</p>
  )
}
