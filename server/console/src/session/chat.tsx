import { ChatBubbleIcon, DoubleArrowDownIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react'
import type { AttachedFile, ChatMessage } from 'vigil-client'
import { useStore } from '../lib/store.ts'
import { useDesk } from '../lib/use.ts'
import { useAnnouncer } from '../ui/live.tsx'
import { Empty } from '../ui/parts.tsx'
import { dayName, sameDay } from '../ui/time.ts'
import type { Mark } from './evidence.ts'
import { DraftBubble, MessageBubble } from './message.tsx'
import { plainName } from './session-head.tsx'
import type { SessionStore, SessionView } from './session-store.ts'

/** Within how many pixels of its end the log follows new messages. */
const NearPx = 120

/** The messages there are, those on their way, and what is missing between them. */
export function Chat(props: {
  readonly store: SessionStore
  readonly view: SessionView
  readonly below?: ((messageId: string) => ReactNode) | undefined
  readonly marks?: ((messageId: string) => readonly Mark[]) | undefined
  readonly openFile: (file: AttachedFile) => Promise<void>
  readonly takeBack: (text: string) => void
}): ReactNode {
  const { store, view } = props
  const log = useRef<HTMLDivElement>(null)
  const { me } = useDesk()
  const drafts = useStore(store.outgoing.drafts)
  const [behind, setBehind] = useState(false)
  const near = useRef(true)
  useSpoken(view)

  const toEnd = (): void => {
    log.current?.scrollTo({ top: log.current.scrollHeight })
  }
  useLayoutEffect(() => {
    if (near.current) toEnd()
    else setBehind(true)
  }, [view.messages.length, drafts.length])
  useEffect(() => {
    const shown = log.current
    if (shown === null) return undefined
    const keep = new ResizeObserver(() => { if (near.current) shown.scrollTo({ top: shown.scrollHeight }) })
    keep.observe(shown)
    return () => { keep.disconnect() }
  }, [])
  const scrolled = (): void => {
    const shown = log.current
    if (shown === null) return
    near.current = shown.scrollHeight - shown.scrollTop - shown.clientHeight < NearPx
    if (near.current) setBehind(false)
  }

  const names = new Map([...view.readerNames, ...view.people.map((one) => [one.userId, one.name] as const)].map(([id, name]) => [id, plainName(name)]))
  const nameOf = (message: ChatMessage): string => (message.from.me ? 'You' : (names.get(message.from.userId) ?? 'Somebody'))
  const now = new Date()
  return (
    <div className="chat-frame">
      <div className="chat" role="log" aria-label="Messages" aria-live="off" tabIndex={0} ref={log} onScroll={scrolled}>
        {view.messages.length === 0 && drafts.length === 0 ? <NoMessages view={view} /> : null}
        <ol className="messages">
          {view.messages.map((message, at) => {
            const before = view.messages[at - 1]
            const newDay = before === undefined || !sameDay(before.at, message.at)
            return (
              <li key={message.position} id={`message-${message.id}`} tabIndex={-1}>
                {newDay ? <div className="day">{dayName(message.at, now)}</div> : null}
                {message.missing > 0 ? <div className="gap" role="note">{message.missing === 1 ? 'A message is' : `${message.missing} messages are`} missing here</div> : null}
                <MessageBubble message={message} name={nameOf(message)} names={names} me={me.userId} first={newDay || before.from.userId !== message.from.userId} marks={props.marks?.(message.id)} scored={view.scored.get(message.id)} open={props.openFile} />
                {props.below?.(message.id)}
              </li>
            )
          })}
          {drafts.map((draft) => (
            <li key={draft.key}>
              <DraftBubble draft={draft} retry={() => { void store.again(draft) }} edit={() => { void store.takeBack(draft).then((text) => { if (text !== null) props.takeBack(text) }) }} />
            </li>
          ))}
        </ol>
      </div>
      {behind ? <Button className="to-end" size="2" onClick={() => { near.current = true; setBehind(false); toEnd() }}><DoubleArrowDownIcon /> New messages</Button> : null}
    </div>
  )
}

function NoMessages(props: { readonly view: SessionView }): ReactNode {
  const { erased, row } = props.view
  const words = {
    scheduled: 'The session has not started. Its therapist starts it once everybody has signed in.',
    active: 'What you write is sealed on this device before it leaves it.',
    paused: 'The session is paused.',
    ended: 'The session ended without a message.',
  } as const
  if (erased) return null // which is said above it
  return <Empty icon={<ChatBubbleIcon />} title="No messages yet">{words[row.status]}</Empty>
}

/** Says what others have written, as it comes; not the history, and not one's own. */
function useSpoken(view: SessionView): void {
  const { say } = useAnnouncer()
  const spoken = useRef(-1)
  useEffect(() => {
    if (view.liveFrom < 0) return
    const from = Math.max(spoken.current, view.liveFrom)
    spoken.current = view.messages.length
    const heard = view.messages.slice(from).filter((one) => !one.from.me)
    const last = heard.at(-1)
    if (last === undefined) return
    const name = plainName(view.people.find((one) => one.userId === last.from.userId)?.name ?? 'Somebody')
    say(heard.length > 1 ? `${heard.length} new messages. The last, from ${name}: ${last.text ?? 'it cannot be read'}` : `${name}: ${last.text ?? 'a message that cannot be read'}`)
  }, [view.messages, view.liveFrom, view.people, say])
  const { erased } = view
  useEffect(() => {
    if (erased) say('This session was erased')
  }, [erased, say])
  useEffect(() => () => { say('') }, [say]) // no words stay behind in the page, not after signing out
}
