import { MobileIcon } from '@radix-ui/react-icons'
import { useEffect, useState, type ReactNode } from 'react'
import { SessionMode, SessionStatus, type ChatMessage } from 'vigil-client'
import { deviceDetector, leaveWatch } from '../lib/workers.ts'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/**
 * The detector of a private session, on this device: it reads what this person sends or, for the therapist, what the client sent,
 * and stores a signed score of it, never a word. It is loaded when such a session is opened, or one that was private for a while:
 * what was sent then is still the devices' to score. Once there it stays while the screen does, whatever the mode becomes, and after
 * the screen until what it heard is scored, so that no score is dropped on its way. It says here when it does not work.
 */
export function WatchOnDevice(props: { readonly session: OpenSession; readonly view: SessionView; readonly store: SessionStore }): ReactNode {
  const { session, view, store } = props
  const [failed, setFailed] = useState(false)
  const [begun, setBegun] = useState(false)
  const wanted = (view.row.mode === SessionMode.strict || view.messages.some(isPrivate)) && view.row.status !== SessionStatus.ended
  if (wanted && !begun) setBegun(true)
  const on = begun && view.myRole !== null && !view.erased
  const clinician = view.myRole === 'therapist'
  useEffect(() => {
    if (!on) return undefined
    const undo: (() => void)[] = []
    const start = async (): Promise<void> => {
      const { StrictWatch } = await import('vigil-client/strict')
      if (gone) return
      const detector = deviceDetector()
      detector.load() // 1.4 MB, before they are needed
      const watch = new StrictWatch(session, detector, { clinician })
      undo.push(() => { leaveWatch(watch, detector) })
      undo.push(watch.on('badges', ({ messageId, badges }) => { store.score(messageId, badges) }))
      undo.push(watch.on('error', () => { setFailed(true) }))
    }
    let gone = false
    const timer = setTimeout(() => { start().catch(() => { setFailed(true) }) }) // not twice, when effects run twice in development
    return () => {
      gone = true
      clearTimeout(timer)
      for (const one of undo.splice(0)) one()
    }
  }, [on, clinician, session, store])
  if (!on || !failed) return null
  return (
    <p className="watched not" role="alert">
      <MobileIcon aria-hidden /> <span><strong>The detector does not run on this device.</strong> What is sent from here is not assessed on it. Reload; if it stays, use another browser.</span>
    </p>
  )
}

/** By its signed roster, which holds only of what could be read. */
function isPrivate(message: ChatMessage): boolean {
  return message.text !== null && !message.watched
}
