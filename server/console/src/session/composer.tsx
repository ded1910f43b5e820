import { PaperPlaneIcon } from '@radix-ui/react-icons'
import { Button, TextArea } from '@radix-ui/themes'
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode, type SyntheticEvent } from 'react'
import { ConsentScope, SessionMode, SessionStatus, type AttachedFile } from 'vigil-client'
import { Attaching, useAttached } from './attaching.tsx'
import { Note } from '../ui/parts.tsx'
import { standingConsents, type SessionView } from './session-store.ts'

/** A text that was put into the composer from elsewhere: a suggestion, or what was not sent. */
export interface Prepared {
  readonly key: string
  readonly text: string
  /** Where it comes from, if that is to be said. */
  readonly from?: string
}

/** The longest text: sealed, it stays within what the table takes. */
const MaxText = 8000

/** Why nothing can be written now; null when it can. */
export function closedWords(view: Pick<SessionView, 'row' | 'myRole' | 'channel' | 'consents' | 'readers' | 'erased'>): string | null {
  if (view.erased) return 'This session was erased: nobody can read it any more.'
  if (view.row.status === SessionStatus.ended) return 'The session has ended.'
  if (view.channel === 'ended') return 'You have no access to this session any more: your membership, your part in it or your login has ended.'
  if (view.myRole === null) return 'You see this session as clinician; only its participants write in it.'
  if (view.row.status === SessionStatus.scheduled) {
    return view.myRole === 'client' ? 'Your therapist starts the session; then you can write.' : 'Start the session to write in it.'
  }
  if (view.row.status === SessionStatus.paused) return 'The session is paused.'
  const consented = standingConsents(view).some((one) => one.scope.includes(ConsentScope.analysis))
  if (view.row.mode === SessionMode.assisted && !consented) {
    return view.myRole === 'client' ? 'Agree above, and you can write. Or go on privately.' : 'Nothing can be sent until the client agrees to be watched. You can also go on privately.'
  }
  return null
}

/** What a text would wait for, though it can be written; null when it goes at once. */
export function waitingWords(view: Pick<SessionView, 'strangers' | 'modeChange'>): string | null {
  if (view.strangers.length > 0) return 'What you send now waits until you have checked the new device above.'
  if (view.modeChange !== null) return 'What you send now waits until you have seen who may read it, above.'
  return null
}

/** Where a message is written. Enter sends, Shift and Enter begins a new line; on a touch screen Enter is a new line. */
export function Composer(props: {
  readonly view: SessionView
  readonly prepared: Prepared | null
  readonly send: (text: string, files: readonly AttachedFile[]) => Promise<string | null>
  /** Seals a file and stores it; gives what goes with the message. */
  readonly attach: (file: File) => Promise<AttachedFile>
  readonly drop: () => void
}): ReactNode {
  const { view, prepared } = props
  const [text, setText] = useState('')
  const [taken, setTaken] = useState<Prepared | null>(null)
  const input = useRef<HTMLTextAreaElement>(null)
  const hint = useId()
  const attached = useAttached(props.attach)
  if (prepared?.key !== taken?.key) {
    setTaken(prepared)
    if (prepared !== null) setText(prepared.text)
    else if (text === taken?.text) setText('') // the draft was erased, and is nobody's own words yet
  }
  const preparedKey = prepared?.key
  useEffect(() => {
    if (preparedKey !== undefined) input.current?.focus()
  }, [preparedKey])

  const closed = closedWords(view)
  if (closed !== null) return <div className="composer closed"><Note>{closed}</Note></div>
  const waiting = waitingWords(view)
  const send = (): void => {
    const body = text.trim()
    if ((body === '' && attached.files.length === 0) || attached.busy) return
    setText('')
    void props.send(body === '' ? attached.files.map((one) => one.name).join(', ') : body, attached.files)
    attached.clear()
    if (prepared !== null) props.drop()
    input.current?.focus()
  }
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    send()
  }
  const key = (event: KeyboardEvent): void => {
    const touch = window.matchMedia('(pointer: coarse)').matches
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing || touch) return
    event.preventDefault()
    send()
  }
  return (
    <form className="composer" onSubmit={submit} aria-label="Write a message">
      {prepared?.from === undefined ? null : (
        <div className="composer-from">
          <span>{prepared.from} {text === prepared.text ? 'as drafted' : 'edited'}. It is sent only when you send it.</span>
          <Button type="button" size="1" variant="ghost" color="gray" onClick={() => { setText(''); props.drop() }}>Discard</Button>
        </div>
      )}
      <div className="composer-row">
        <TextArea
          ref={input} className="composer-input" size="2" rows={2} maxLength={MaxText} placeholder="Write a message" aria-label="Message" aria-describedby={hint}
          value={text} onChange={(event) => { setText(event.target.value) }} onKeyDown={key}
        />
        <Attaching attached={attached} />
        <Button type="submit" size="3" disabled={(text.trim() === '' && attached.files.length === 0) || attached.busy}><PaperPlaneIcon /> Send</Button>
      </div>
      {waiting === null ? null : <p className="composer-waits">{waiting}</p>}
      <p className="composer-hint" id={hint}>Sealed on this device{view.row.mode === SessionMode.assisted ? ' for you two and Vigil’s detector' : ' for you two alone'}. Enter sends, Shift+Enter begins a line.</p>
    </form>
  )
}
