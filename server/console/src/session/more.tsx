import { Button, TextField } from '@radix-ui/themes'
import { useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { problemOf, type Problem } from '../api/problem.ts'
import { requestErasure } from '../api/erasures.ts'
import { useDesk } from '../lib/use.ts'
import { Confirm } from '../ui/confirm.tsx'
import { useAnnouncer } from '../ui/live.tsx'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { save } from './files.ts'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/** The shortest passphrase that a file is sealed with. */
export const MinPassphrase = 12

/** What one rarely does with a session: take it along, or have it erased. */
export function More(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView }): ReactNode {
  const { session, view } = props
  const { login } = useDesk()
  const { say } = useAnnouncer()
  const [at, setAt] = useState<'nothing' | 'export' | 'erase'>('nothing')
  const [told, setTold] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  if (view.myRole === null || view.erased) return null
  const erase = async (): Promise<void> => {
    setAt('nothing')
    setProblem(null)
    try {
      await requestErasure(login.supabase, session.id)
      setTold('You asked for this session to be erased. Your practice does it; Devices and data says when it is done.')
      say('You asked for this session to be erased')
    } catch (thrown) {
      setProblem(problemOf(thrown, 'ask for erasure'))
    }
  }
  return (
    <>
      <details className="more">
        <summary>More</summary>
        <div className="more-body">
          <Button size="2" variant="soft" color="gray" onClick={() => { setAt('export') }}>Export this session</Button>
          <Button size="2" variant="soft" color="red" onClick={() => { setAt('erase') }}>Have it erased</Button>
        </div>
      </details>
      {told === null ? null : <div className="session-head-note"><Note>{told}</Note></div>}
      {problem === null ? null : <div className="session-head-note"><ProblemNote problem={problem} /></div>}
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
  const title = useId()
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
    } finally {
      setBusy(false)
    }
  }
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    if (fits) void make()
  }
  return (
    <form className="session-head-note card" onSubmit={submit} aria-labelledby={title}>
      <h2 id={title} className="small-title">Export this session</h2>
      <p className="quiet">What this device can read, sealed in one file under a passphrase. The open tool age opens it. Whoever has both can read it all.</p>
      {problem === null ? null : <ProblemNote problem={problem} />}
      <div className="row two">
        <label className="field grow">Passphrase, {MinPassphrase} characters or more
          <TextField.Root type="password" autoComplete="new-password" value={passphrase} onChange={(event) => { setPassphrase(event.target.value) }} />
        </label>
        <label className="field grow">The same again
          <TextField.Root type="password" autoComplete="new-password" value={again} onChange={(event) => { setAgain(event.target.value) }} />
        </label>
      </div>
      <div className="row end">
        <Button type="button" variant="soft" color="gray" onClick={props.done}>Cancel</Button>
        <Button type="submit" loading={busy} disabled={!fits}>Save the file</Button>
      </div>
    </form>
  )
}
