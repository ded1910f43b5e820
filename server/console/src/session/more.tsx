import { Button, TextField } from '@radix-ui/themes'
import { useRef, useState, type ReactNode } from 'react'
import { problemOf, type Problem } from '../api/problem.ts'
import { requestErasure } from '../api/erasures.ts'
import { useDesk } from '../lib/use.ts'
import { Confirm } from '../ui/confirm.tsx'
import { useAnnouncer } from '../ui/live.tsx'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { save } from './files.ts'
import { SafetyNumbers } from './safety.tsx'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/** The shortest passphrase that a file is sealed with. */
export const MinPassphrase = 12

/** What one rarely does with a session: compare numbers, take it along, or have it erased. */
export function More(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView }): ReactNode {
  const { session, view } = props
  const { login, me } = useDesk()
  const { say } = useAnnouncer()
  const [at, setAt] = useState<'nothing' | 'safety' | 'export' | 'erase'>('nothing')
  const [told, setTold] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  const menu = useRef<HTMLDetailsElement>(null)
  const shut = (): void => {
    if (menu.current !== null) menu.current.open = false
  }
  if (view.myRole === null || view.erased) return null
  const erase = async (): Promise<void> => {
    setAt('nothing')
    setProblem(null)
    try {
      await requestErasure(login.supabase, session.id)
      setTold('You asked for this session to be erased. Your practice does it; Devices and recovery says when it is done.')
      say('You asked for this session to be erased')
    } catch (thrown) {
      setProblem(problemOf(thrown, 'ask for erasure'))
    }
  }
  return (
    <>
      <details className="more" ref={menu} onKeyDown={(event) => { if (event.key === 'Escape') shut() }}>
        <summary>More</summary>
        <div className="more-body">
          <Button size="2" variant="soft" color="gray" onClick={() => { shut(); setAt('safety') }}>Safety numbers</Button>
          <Button size="2" variant="soft" color="gray" onClick={() => { shut(); setAt('export') }}>Export this session</Button>
          <Button size="2" variant="soft" color="red" onClick={() => { shut(); setAt('erase') }}>Have it erased</Button>
        </div>
      </details>
      {told === null ? null : <div className="session-head-note"><Note>{told}</Note></div>}
      {problem === null ? null : <div className="session-head-note"><ProblemNote problem={problem} /></div>}
      {at === 'safety' ? <SafetyNumbers session={session} view={view} me={me.userId} done={() => { setAt('nothing') }} /> : null}
      {at === 'export' ? <Export session={session} done={() => { setAt('nothing') }} /> : null}
      {at === 'erase' ? (
        <Confirm title="Have this session erased?" action="Ask for it" grave onCancel={() => { setAt('nothing') }} onConfirm={() => { void erase() }}>
          <p>Its keys, messages, files and all that was found in them are deleted for everybody, on the server and with what this practice stores. It cannot be undone.</p>
          <p>Not reached are the practice’s backups until they run out, and what somebody copied before. You get a receipt.</p>
        </Confirm>
      ) : null}
    </>
  )
}

/** Sealed with age under a passphrase: `age -d` opens it, anywhere. */
function Export(props: { readonly session: OpenSession; readonly done: () => void }): ReactNode {
  const [passphrase, setPassphrase] = useState('')
  const [again, setAgain] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const fits = passphrase.length >= MinPassphrase && passphrase === again
  const make = async (): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      const { exportSession } = await import('vigil-client/export')
      save(await exportSession(props.session, { passphrase }), `session-${props.session.id}.age`)
      props.done()
    } catch (thrown) {
      setProblem(problemOf(thrown, 'export the session'))
      setBusy(false)
    }
  }
  return (
    <Confirm title="Export this session" action="Save the file" disabled={!fits || busy} onCancel={props.done} onConfirm={() => { void make() }}>
      <p>What this device can read, sealed in one file under a passphrase. The open tool age opens it. Whoever has both can read it all.</p>
      {problem === null ? null : <ProblemNote problem={problem} />}
      <label className="field">Passphrase, {MinPassphrase} characters or more
        <TextField.Root type="password" autoComplete="new-password" value={passphrase} onChange={(event) => { setPassphrase(event.target.value) }} />
      </label>
      <label className="field">The same again
        <TextField.Root type="password" autoComplete="new-password" value={again} onChange={(event) => { setAgain(event.target.value) }} />
      </label>
    </Confirm>
  )
}
