import { CheckIcon, ClockIcon, CrossCircledIcon, EyeClosedIcon, EyeOpenIcon, HandIcon, LockClosedIcon, LockOpen1Icon, PersonIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import type { AttachedFile, Badge, ChatMessage, Reader } from 'vigil-client'
import { clockTime, shortTime } from '../ui/time.ts'
import type { Draft, OutgoingState } from './outgoing.ts'
import { marked, type Mark } from './evidence.ts'
import { badgeWords, sizeWords, unreadableWords } from './words.ts'

/** One of whom a message can be read by, in words: also whether that is the server's word alone. */
function named(reader: Reader, names: ReadonlyMap<string, string>, me: string): string {
  const who = nameOf(reader, names, me)
  return reader.verified ? who : `${who} (unverified)`
}

const unverifiedWords = 'The server says that they can read it. No device that this one knows has signed that they were let in.'

/** Somebody let in later says until when; a recovery key says whose. */
function nameOf(reader: Reader, names: ReadonlyMap<string, string>, me: string): string {
  const person = names.get(reader.userId ?? '')
  if (reader.role === 'recovery') return reader.userId === me ? 'your recovery key' : `the recovery key of ${person ?? 'somebody'}`
  if (reader.userId === me) return 'you'
  const who = person ?? (reader.role === 'on_call' ? 'a clinician on call' : `a ${reader.role}`)
  if (reader.via !== 'crisis_access') return who
  return reader.until === null ? `${who} (let in by an alert)` : `${who} (let in by an alert, until ${clockTime(reader.until)})`
}

/** Who can read a message, by name, each once: oneself first, recovery keys late, the detector last. */
export function readerNames(readers: readonly Reader[], names: ReadonlyMap<string, string>, me: string): readonly string[] {
  const people = readers.filter((one) => one.role !== 'analysis' && one.role !== 'recovery').map((one) => named(one, names, me))
  const recovery = readers.filter((one) => one.role === 'recovery').map((one) => named(one, names, me))
  const once = [...new Set([...people.sort((a, b) => Number(b === 'you') - Number(a === 'you')), ...recovery])]
  return readers.some((one) => one.role === 'analysis') ? [...once, 'Vigil’s detector'] : once
}

export function joined(words: readonly string[]): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`
}

interface BubbleProps {
  readonly message: ChatMessage
  readonly name: string
  readonly names: ReadonlyMap<string, string>
  readonly me: string
  readonly first: boolean
  /** For clinicians: where something was found. */
  readonly marks?: readonly Mark[] | undefined
  /** For clinicians of a private session: what this device's detector says of the scores. */
  readonly scored?: readonly Badge[] | undefined
  readonly open?: ((file: AttachedFile) => Promise<void>) | undefined
}

export function MessageBubble(props: BubbleProps): ReactNode {
  const { message, name } = props
  const unreadable = message.badges.find((one) => one.kind === 'unreadable')
  return (
    <article className={message.from.me ? 'message mine' : 'message'} aria-label={`${name}, ${clockTime(message.at)}`}>
      {props.first ? <div className="message-from">{name}</div> : null}
      <div className={unreadable === undefined ? 'bubble' : 'bubble unreadable'}>
        {unreadable === undefined ? <p className="message-text"><Marked text={message.text ?? ''} marks={props.marks ?? []} /></p> : <p className="message-text">{unreadableWords(unreadable.refusal)}</p>}
        {message.files.length === 0 ? null : <Files files={message.files} open={props.open} />}
      </div>
      <Facts {...props} />
    </article>
  )
}

function Marked(props: { readonly text: string; readonly marks: readonly Mark[] }): ReactNode {
  return marked(props.text, props.marks).map((part, at) => (part.mark ? <mark key={at}>{part.text}</mark> : part.text))
}

function Files(props: { readonly files: readonly AttachedFile[]; readonly open: BubbleProps['open'] }): ReactNode {
  const { open } = props
  return (
    <ul className="files">
      {props.files.map((file) => (
        <li key={file.id}>
          {open === undefined ? <span>{file.name}, {sizeWords(file.bytes)}</span> : (
            <button type="button" className="file" onClick={() => { void open(file) }}>{file.name} <span className="file-size">{sizeWords(file.bytes)}</span></button>
          )}
        </li>
      ))}
    </ul>
  )
}

/** When, how it is sealed, who can read it, and whether it is watched: on every message. */
function Facts(props: BubbleProps): ReactNode {
  const { message } = props
  const readers = readerNames(message.readers, props.names, props.me)
  const marks = [...message.badges, ...(props.scored ?? [])].filter((one) => one.kind !== 'unreadable')
  return (
    <div className="facts">
      <time dateTime={message.at.toISOString()}>{clockTime(message.at)}</time>
      {message.writtenAt === undefined ? null : <span className="fact"><ClockIcon aria-hidden /> written {shortTime(message.writtenAt, message.at)} by its sender’s clock</span>}
      {message.text === null ? <span className="fact warn"><LockOpen1Icon aria-hidden /> cannot be read here</span> : null}
      {marks.length === 0 && message.text !== null ? <span className="fact sealed"><LockClosedIcon aria-hidden /> sealed, verified</span> : null}
      {marks.map((one) => <span key={one.kind} className="fact warn"><LockOpen1Icon aria-hidden /> {badgeWords(one)}</span>)}
      {readers.length === 0 ? null : <span className="fact" title={message.readers.every((one) => one.verified) ? undefined : unverifiedWords}><PersonIcon aria-hidden /> <span className="visually-hidden">Readable by </span>{joined(readers)}</span>}
      {message.watched ? (
        <span className="fact"><EyeOpenIcon aria-hidden /> watched</span>
      ) : (
        <span className="fact"><EyeClosedIcon aria-hidden /> private: Vigil holds no key to it</span>
      )}
    </div>
  )
}

const states: Readonly<Record<OutgoingState, { readonly words: string; readonly icon: ReactNode }>> = {
  sending: { words: 'sealing and sending…', icon: <UpdateIcon className="turning" aria-hidden /> },
  queued: { words: 'waits for the connection; it goes by itself', icon: <ClockIcon aria-hidden /> },
  held: { words: 'not sent yet; it goes by itself once this is settled', icon: <HandIcon aria-hidden /> },
  stored: { words: 'sent; it shows here when the channel is back', icon: <CheckIcon aria-hidden /> },
  failed: { words: 'not sent', icon: <CrossCircledIcon aria-hidden /> },
}

/** What a text waits for that is decided elsewhere on the screen: to send it again would change nothing. */
const decisions: ReadonlySet<string> = new Set(['device_changed', 'mode_changed', 'consent_missing', 'device_waiting', 'not_active'])

/** A message of one's own that is on its way. */
export function DraftBubble(props: { readonly draft: Draft; readonly retry: () => void; readonly edit: () => void }): ReactNode {
  const { draft } = props
  const { words, icon } = states[draft.state]
  const failed = draft.state === 'failed'
  return (
    <article className="message mine" aria-label={`You, ${words}`}>
      <div className={failed ? 'bubble failed' : 'bubble pending'}>
        <p className="message-text">{draft.text}</p>
        {draft.files.length === 0 ? null : <Files files={draft.files} open={undefined} />}
      </div>
      <div className={failed ? 'facts failed' : 'facts'} role={failed ? 'alert' : undefined}>
        <span className="fact">{icon} {words}</span>
        {draft.problem === null ? null : <span>{draft.problem.title}. {draft.problem.next}</span>}
        {failed || (draft.state === 'held' && !decisions.has(draft.problem?.code ?? '')) ? <Button size="1" variant="soft" onClick={props.retry}>Send again</Button> : null}
        {failed || draft.state === 'held' ? <Button size="1" variant="soft" color="gray" onClick={props.edit}>Edit</Button> : null}
      </div>
    </article>
  )
}
