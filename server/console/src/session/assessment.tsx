import { ActivityLogIcon, QuestionMarkCircledIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Badge } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import type { ChatMessage } from 'vigil-client'
import { AssessmentStatus, type Assessment } from '../api/rows.ts'
import { LevelBadge } from '../ui/badges.tsx'
import { Empty } from '../ui/parts.tsx'
import type { CareView } from './care-store.ts'
import type { SessionView } from './session-store.ts'
import { findingMarks, quoted } from './evidence.ts'
import {
  findings, itemWords, languageWords, levelTone, levelWords, notAssessedWords, NotValidated, percent, ruleWords, sentimentWords, topicWords,
} from './words.ts'

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
  return <Assessed assessment={assessment} text={message.text} mine={message.from.me} />
}

function NotAssessed(props: { readonly assessment: Assessment }): ReactNode {
  return (
    <div className="finding not-assessed">
      <QuestionMarkCircledIcon aria-hidden /> <strong>Not assessed</strong>: {notAssessedWords(props.assessment.reason)}. Read it yourself.
    </div>
  )
}

function Assessed(props: { readonly assessment: Assessment; readonly text: string | null; readonly mine: boolean }): ReactNode {
  const { assessment } = props
  return (
    <>
      <div className={props.mine ? 'finding mine' : 'finding'} aria-label="Assessment">
        <LevelBadge level={assessment.level} />
        {findings(assessment).map((one) => <Badge key={one} color="red">{one}</Badge>)}
        <span className="finding-part">{sentimentWords(assessment.sentiment)}</span>
        {assessment.topics.map((topic) => <span className="finding-part topic" key={topic}>{topicWords(topic)}</span>)}
      </div>
      <Why assessment={assessment} text={props.text} />
    </>
  )
}

/** What an assessment rests on: the screener's items, the words that rules point at, how probable it is held to be. */
function Why(props: { readonly assessment: Assessment; readonly text: string | null }): ReactNode {
  const { assessment, text } = props
  const items = itemWords(assessment)
  const evidence = findingMarks(assessment)
  if (items.length === 0 && evidence.length === 0 && (assessment.level ?? 0) === 0 && findings(assessment).length === 0) return null
  return (
    <details className="why">
      <summary>Why</summary>
      <ul>
        {items.length === 0 ? null : <li>Screener: {items.join(' · ')}</li>}
        {evidence.map((one, at) => {
          const words = quoted(text, one)
          return <li key={at}>{words === null ? null : <q>{words}</q>} {ruleWords(one.rule)}</li>
        })}
        {assessment.scores.risk === null ? null : <li>Probability of risk: {percent(assessment.scores.risk)}</li>}
        {assessment.emotions.length === 0 ? null : <li>Emotions: {assessment.emotions.join(', ')}</li>}
        <li>{languageWords(assessment.language)}</li>
      </ul>
      <p className="quiet">{NotValidated}</p>
    </details>
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
          <Topics found={found} />
          <p className="quiet">A detector is a second pair of eyes, not a judgement. {NotValidated}.</p>
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

/** What the session has been about of late, as the detector adds it up; below a tenth of the first it is not shown. */
function Topics(props: { readonly found: CareView }): ReactNode {
  const first = props.found.topics[0]
  if (first === undefined) return null
  const most = props.found.topics.filter((one) => one.weight >= first.weight / 10).slice(0, 5)
  return (
    <p className="topics"><span className="quiet">Of late about: </span>{most.map((one) => <Badge key={one.topic} color="gray" variant="surface">{topicWords(one.topic)}</Badge>)}</p>
  )
}
