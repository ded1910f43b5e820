import { Button, Card, TextField } from '@radix-ui/themes'
import { useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { DeviceState, EnvelopeError, Refusal, ResetWords, SessionError } from 'vigil-client'
import { Explained, type Problem } from '../api/problem.ts'
import { argon2 } from '../lib/workers.ts'
import { Confirm } from '../ui/confirm.tsx'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { useActing } from './acting.ts'
import type { ReadyKeys } from './devices-screen.tsx'
import type { KeysStore } from './keys-store.ts'

/** Shorter ones are guessed, by whoever has the database. */
const MinPassphrase = 12

type Recovery = typeof import('vigil-client/recovery')

/** vigil-client's recovery with its Worker: loaded when it is used. */
async function withRecovery<T>(work: (recovery: Recovery, deps: { readonly argon2: ReturnType<Recovery['argon2In']> }) => Promise<T>): Promise<T> {
  const recovery = await import('vigil-client/recovery')
  try {
    return await work(recovery, { argon2: recovery.argon2In(argon2) })
  } catch (thrown) {
    if (thrown instanceof EnvelopeError && thrown.refusal === Refusal.wrap) throw new Explained(wrong, { cause: thrown })
    throw thrown
  }
}

/** What came back, and what did not. */
export function recoveredWords(back: { readonly missing: number }): string {
  if (back.missing === 0) return 'Your history is back on this device'
  const parts = back.missing === 1 ? 'one part' : `${back.missing} parts`
  return `Your history is back on this device, but for ${parts} that the recovery key cannot open either`
}

const wrong: Problem = { title: 'That is not the passphrase', next: 'Nothing was changed. Capital letters and spaces count; try again.', code: 'passphrase' }

/** The passphrase that brings the history back when all devices are lost: set, used, changed, removed. Its state is always in sight. */
export function RecoveryCard(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { keys, view } = props
  const acting = useActing()
  const { act, problem, told } = acting
  const title = useId()
  const set = view.history.recovery === 'set'
  const usable = view.state === DeviceState.usable
  const [removing, setRemoving] = useState<'no' | 'asked' | 'losing'>('no')
  const then = (done: boolean): boolean => {
    void keys.read()
    return done
  }
  const make = (passphrase: string): Promise<boolean> =>
    act('set the recovery passphrase', () => withRecovery((r, deps) => r.setRecovery(view.vigil, passphrase, deps)), 'The recovery passphrase is set').then(then)
  const use = (passphrase: string): Promise<boolean> =>
    act('bring your history back', () => withRecovery((r, deps) => r.recover(view.vigil, passphrase, deps)), recoveredWords).then(then)
  const change = (next: string, old: string): Promise<boolean> =>
    act('change the passphrase', () => withRecovery((r, deps) => r.changePassphrase(view.vigil, old, next, deps)), 'The passphrase is changed').then(then)
  const remove = (losing: boolean): void => {
    setRemoving('no')
    const work = (): Promise<void> => withRecovery((r) => r.removeRecovery(view.vigil, losing ? { evenIf: ResetWords } : {})).catch((thrown: unknown) => {
      if (thrown instanceof SessionError && thrown.reason === 'history_missing') setRemoving('losing')
      throw thrown
    })
    void act('remove the recovery key', work, 'The recovery key is removed').then(then)
  }
  return (
    <Card size="3">
      <section className="stack" aria-labelledby={title}>
        <h2 className="small-title" id={title}>Recovery passphrase: {set ? 'set' : 'not set'}</h2>
        <p>It is not your login password, and resetting that changes nothing here. Whoever loses all devices and has no passphrase loses what was said. Nobody can reset it for you: write it down.</p>
        {view.forged === undefined ? null : <ProblemNote problem={view.forged} />}
        {problem === null ? null : <ProblemNote problem={problem} />}
        {told === null ? null : <Note tone="teal">{told}.</Note>}
        {set && (!usable || view.history.here !== 'whole') ? <UseForm use={use} busy={acting.busy} /> : null}
        {usable && !set ? <SetForm label="Set a recovery passphrase" keep={make} busy={acting.busy} /> : null}
        {usable && set ? (
          <details>
            <summary>Change or remove it</summary>
            <div className="stack">
              <SetForm label="Change the passphrase" keep={change} busy={acting.busy} withOld />
              <div className="row"><Button size="2" variant="soft" color="red" onClick={() => { setRemoving('asked') }}>Remove the recovery key</Button></div>
            </div>
          </details>
        ) : null}
        {!usable && !set ? <p className="quiet">Set one as soon as this device is let in.</p> : null}
        {removing === 'asked' ? (
          <Confirm title="Remove the recovery key?" action="Remove it" grave onCancel={() => { setRemoving('no') }} onConfirm={() => { remove(false) }}>
            <p>If you then lose your devices, nobody can bring your history back.</p>
          </Confirm>
        ) : null}
        {removing === 'losing' ? (
          <Confirm title="Lose a part of your history?" action="Remove it, and lose that" grave onCancel={() => { setRemoving('no') }} onConfirm={() => { remove(true) }}>
            <p>This device cannot read all of your history, and the recovery key may be the last that opens the rest. Bring it to this device with your passphrase first.</p>
          </Confirm>
        ) : null}
      </section>
    </Card>
  )
}

function UseForm(props: { readonly use: (passphrase: string) => Promise<boolean>; readonly busy: boolean }): ReactNode {
  const [passphrase, setPassphrase] = useState('')
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void props.use(passphrase).then((done) => { if (done) setPassphrase('') })
  }
  return (
    <form className="stack" onSubmit={submit} aria-label="Use the recovery passphrase">
      <label className="field">Recovery passphrase
        <TextField.Root type="password" autoComplete="off" value={passphrase} onChange={(event) => { setPassphrase(event.target.value) }} />
      </label>
      <div className="row"><Button type="submit" size="2" loading={props.busy} disabled={passphrase === ''}>Bring my history to this device</Button></div>
      {props.busy ? <p className="quiet" role="status">Turning the passphrase into a key: this takes a few seconds, on purpose.</p> : null}
    </form>
  )
}

function SetForm(props: { readonly label: string; readonly keep: (passphrase: string, old: string) => Promise<boolean>; readonly busy: boolean; readonly withOld?: boolean }): ReactNode {
  const [old, setOld] = useState('')
  const [passphrase, setPassphrase] = useState('')
  const [again, setAgain] = useState('')
  const hint = useId()
  const fits = passphrase.length >= MinPassphrase && passphrase === again && (props.withOld !== true || old !== '')
  const differ = again !== '' && passphrase !== again
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    if (!fits) return
    void props.keep(passphrase, old).then((done) => {
      if (!done) return
      setOld('')
      setPassphrase('')
      setAgain('')
    })
  }
  return (
    <form className="stack" onSubmit={submit} aria-label={props.label}>
      {props.withOld === true ? (
        <label className="field">The passphrase as it is
          <TextField.Root type="password" autoComplete="off" value={old} onChange={(event) => { setOld(event.target.value) }} />
        </label>
      ) : null}
      <label className="field">New passphrase
        <TextField.Root type="password" autoComplete="off" aria-describedby={hint} value={passphrase} onChange={(event) => { setPassphrase(event.target.value) }} />
      </label>
      <label className="field">The new one again
        <TextField.Root type="password" autoComplete="off" aria-describedby={hint} value={again} onChange={(event) => { setAgain(event.target.value) }} />
      </label>
      <p className="quiet" id={hint} role={differ ? 'status' : undefined}>{differ ? 'The two are not the same yet.' : `At least ${MinPassphrase} characters; five words that do not belong together are good.`}</p>
      <div className="row"><Button type="submit" size="2" loading={props.busy} disabled={!fits}>{props.label}</Button></div>
      {props.busy ? <p className="quiet" role="status">Turning the passphrase into a key: this takes a few seconds, on purpose.</p> : null}
    </form>
  )
}
