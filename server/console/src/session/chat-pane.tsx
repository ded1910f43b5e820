import { useState, type ReactNode } from 'react'
import type { AttachedFile } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { useDesk } from '../lib/use.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { Chat } from './chat.tsx'
import { Composer, type Prepared } from './composer.tsx'
import { ConsentStrip, useConsentWords } from './consent-strip.tsx'
import type { Mark } from './evidence.ts'
import { saveFile, storeFile } from './files.ts'
import { ModeNotice } from './mode-notice.tsx'
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
  const [failed, setFailed] = useState<Problem | null>(null)
  const { login, me } = useDesk()
  const consent = useConsentWords(login.supabase, view.row.organization_id)
  const prepared = props.prepared ?? returned
  const openFile = async (file: AttachedFile): Promise<void> => {
    setFailed(null)
    try {
      await saveFile(session, login.supabase, file)
    } catch (thrown) {
      setFailed(problemOf(thrown, `open ${file.name}`))
    }
  }
  return (
    <section className="chat-pane" aria-label="Conversation">
      <div className="notices">
        {view.channel === 'ended' && !view.erased ? <div className="pad"><ProblemNote problem={cut} again={() => { window.location.reload() }} /></div> : null}
        {view.trouble === null || view.erased ? null : <div className="pad"><ProblemNote problem={view.trouble} quiet /></div>}
        {view.erased ? <div className="pad"><Note tone="amber">This session was erased. Its keys are gone: nobody can read it any more.</Note></div> : null}
        {consent.problem === null ? null : <div className="pad"><ProblemNote problem={consent.problem} /></div>}
        {consent.words === null ? null : <ConsentStrip session={session} view={view} words={consent.words} />}
        <ModeNotice store={store} view={view} />
        <Strangers store={store} session={session} view={view} me={me.userId} />
        {failed === null ? null : <div className="pad"><ProblemNote problem={failed} /></div>}
      </div>
      <Chat store={store} view={view} below={props.below} marks={props.marks} openFile={openFile} takeBack={(text) => { setReturned({ key: crypto.randomUUID(), text }) }} />
      <Composer
        view={view} prepared={prepared}
        attach={(file) => storeFile(session, login.supabase, file)}
        send={async (text, files) => {
          const id = await store.outgoing.send(text, files)
          if (id !== null && props.prepared !== null && props.prepared !== undefined) props.onSent?.(text, id, props.prepared)
          return id
        }}
        drop={() => { setReturned(null); props.onDropped?.() }}
      />
    </section>
  )
}
