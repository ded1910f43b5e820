import { CheckIcon, ClockIcon, CrossCircledIcon, EyeClosedIcon, EyeOpenIcon, LockClosedIcon, LockOpen1Icon, PersonIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import type { ChatMessage, Reader } from 'vigil-client'
import { clockTime } from '../ui/time.ts'
import type { Draft, OutgoingState } from './outgoing.ts'
import { marked, type Mark } from './evidence.ts'
import { unreadableWords } from './words.ts'

/** Who can read a message, by name, each person once; the detector last. */
export function readerNames(readers: readonly Reader[], names: ReadonlyMap<string, string>, me: string): readonly string[] {
  const people = readers.filter((one) => one.role !== 'analysis')
  const named = people.map((one) => {
    if (one.userId === me) return 'you'
    return names.get(one.userId ?? '') ?? (one.role === 'on_call' ? 'a clinician on call' : `a ${one.role}`)
  })
  const once = [...new Set(named)].sort((a, b) => Number(b === 'you') - Number(a === 'you'))
  return readers.some((one) => one.role === 'analysis') ? [...once, 'Vigil’s detector'] : once
}

function joined(words: readonly string[]): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`
}

export function MessageBubble(props: {
  readonly message: ChatMessage
  readonly name: string
  readonly names: ReadonlyMap<string, string>
  readonly me: string
  readonly first: boolean
  /** For clinicians: where something was found. */
  readonly marks?: readonly Mark[] | undefined
}): ReactNode {
  const { message, name } = props
  const unreadable = message.badge?.kind === 'unreadable' ? message.badge : null
  return (
    <article className={message.from.me ? 'message mine' : 'message'} aria-label={`${name}, ${clockTime(message.at)}`}>
      {props.first ? <div className="message-from">{name}</div> : null}
      <div className={unreadable === null ? 'bubble' : 'bubble unreadable'}>
        {unreadable === null ? <p className="message-text"><Marked text={message.text ?? ''} marks={props.marks ?? []} /></p> : <p className="message-text">{unreadableWords(unreadable.refusal)}</p>}
      </div>
      <Facts {...props} />
    </article>
  )
}

function Marked(props: { readonly text: string; readonly marks: readonly Mark[] }): ReactNode {
  return marked(props.text, props.marks).map((part, at) => (part.mark ? <mark key={at}>{part.text}</mark> : part.text))
}

/** When, how it is sealed, who can read it, and whether it is watched: on every message. */
function Facts(props: { readonly message: ChatMessage; readonly names: ReadonlyMap<string, string>; readonly me: string }): ReactNode {
  const { message } = props
  const readers = readerNames(message.readers, props.names, props.me)
  return (
    <div className="facts">
      <time dateTime={message.at.toISOString()}>{clockTime(message.at)}</time>
      <Sealed message={message} />
      {readers.length === 0 ? null : <span className="fact"><PersonIcon aria-hidden /> <span className="visually-hidden">Readable by </span>{joined(readers)}</span>}
      {message.watched ? (
        <span className="fact"><EyeOpenIcon aria-hidden /> watched</span>
      ) : (
        <span className="fact"><EyeClosedIcon aria-hidden /> not watched: sealed without the detector’s key</span>
      )}
    </div>
  )
}

function Sealed(props: { readonly message: ChatMessage }): ReactNode {
  const { badge } = props.message
  if (badge === null) return <span className="fact sealed"><LockClosedIcon aria-hidden /> sealed, verified</span>
  if (badge.kind === 'new_device') return <span className="fact warn"><LockOpen1Icon aria-hidden /> sealed, from a device nobody has checked</span>
  return <span className="fact warn"><LockOpen1Icon aria-hidden /> cannot be read here</span>
}

const states: Readonly<Record<OutgoingState, { readonly words: string; readonly icon: ReactNode }>> = {
  sending: { words: 'sealing and sending…', icon: <UpdateIcon className="turning" aria-hidden /> },
  queued: { words: 'waits for the connection; it goes by itself. Keep this page open', icon: <ClockIcon aria-hidden /> },
  stored: { words: 'sent; it shows here when the channel is back', icon: <CheckIcon aria-hidden /> },
  failed: { words: 'not sent', icon: <CrossCircledIcon aria-hidden /> },
}

/** A message of one's own that is on its way. */
export function DraftBubble(props: { readonly draft: Draft; readonly retry: () => void; readonly edit: () => void }): ReactNode {
  const { draft } = props
  const { words, icon } = states[draft.state]
  const failed = draft.state === 'failed'
  return (
    <article className="message mine" aria-label={`You, ${words}`}>
      <div className={failed ? 'bubble failed' : 'bubble pending'}><p className="message-text">{draft.text}</p></div>
      <div className={failed ? 'facts failed' : 'facts'} role={failed ? 'alert' : undefined}>
        <span className="fact">{icon} {words}</span>
        {draft.problem === null ? null : <span>{draft.problem.title}. {draft.problem.next}</span>}
        {failed ? (
          <>
            <Button size="1" variant="soft" onClick={props.retry}>Send again</Button>
            <Button size="1" variant="soft" color="gray" onClick={props.edit}>Edit</Button>
          </>
        ) : null}
      </div>
    </article>
  )
}
