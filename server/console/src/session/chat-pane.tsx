import { useState, type ReactNode } from 'react'
import type { Problem } from '../api/problem.ts'
import { ProblemNote } from '../ui/parts.tsx'
import { Chat } from './chat.tsx'
import { Composer, type Prepared } from './composer.tsx'
import { ConsentStrip } from './consent-strip.tsx'
import type { Mark } from './evidence.ts'
import { Strangers } from './strangers.tsx'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/** The server ends a channel for good only when its person may no longer hear it. */
const cut: Problem = {
  title: 'The server has closed this session to you',
  next: 'Your access to it, or your login, has ended; nothing new reaches this page. If that is not right, ask an administrator.',
  code: 'channel_closed',
}

/** The conversation: what both sides of a session see of it. */
export function ChatPane(props: {
  readonly store: SessionStore
  readonly session: OpenSession
  readonly view: SessionView
  /** What the clinician's side adds below a message. */
  readonly below?: (messageId: string) => ReactNode
  /** And where it marks one. */
  readonly marks?: (messageId: string) => readonly Mark[]
  readonly prepared?: Prepared | null
  readonly onSent?: (text: string, id: string, prepared: Prepared) => void
  readonly onDropped?: () => void
}): ReactNode {
  const { store, session, view } = props
  const [returned, setReturned] = useState<Prepared | null>(null)
  const prepared = props.prepared ?? returned
  return (
    <section className="chat-pane" aria-label="Conversation">
      {view.channel === 'ended' ? <div className="pad"><ProblemNote problem={cut} again={() => { window.location.reload() }} /></div> : null}
      {view.trouble === null ? null : <div className="pad"><ProblemNote problem={view.trouble} quiet /></div>}
      <ConsentStrip session={session} view={view} />
      <Strangers store={store} view={view} />
      <Chat store={store} view={view} below={props.below} marks={props.marks} takeBack={(text) => { setReturned({ key: crypto.randomUUID(), text }) }} />
      <Composer
        view={view} prepared={prepared}
        send={async (text) => {
          const id = await store.outgoing.send(text)
          if (id !== null && props.prepared !== null && props.prepared !== undefined) props.onSent?.(text, id, props.prepared)
          return id
        }}
        drop={() => { setReturned(null); props.onDropped?.() }}
      />
    </section>
  )
}
