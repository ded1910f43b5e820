import { MobileIcon } from '@radix-ui/react-icons'
import { Button, Card, TextField } from '@radix-ui/themes'
import { useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { DeviceState, EnvelopeError, Refusal, type Vigil } from 'vigil-client'
import { Explained, type Problem } from '../api/problem.ts'
import { Confirm } from '../ui/confirm.tsx'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { shortTime } from '../ui/time.ts'
import { useActing } from './acting.ts'
import type { ReadyKeys } from './devices-screen.tsx'
import type { KeysStore } from './keys-store.ts'

/** What this device is: in use; or waiting, with the code by which another lets it in. */
export function ThisDevice(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { view } = props
  const title = useId()
  return (
    <Card size="3">
      <section className="stack" aria-labelledby={title}>
        <h2 className="small-title" id={title}>This device</h2>
        {view.state === DeviceState.usable ? <Usable view={view} /> : null}
        {view.state === DeviceState.waiting || view.state === DeviceState.refused ? <Waiting {...props} /> : null}
        {view.state === DeviceState.revoked ? <Removed {...props} /> : null}
      </section>
    </Card>
  )
}

function Usable(props: { readonly view: ReadyKeys }): ReactNode {
  const own = props.view.devices.find((one) => one.here)
  return (
    <>
      <p>It holds your keys, and lets nobody take them out. {own === undefined ? null : <>Its number: <span className="digits wrap">{own.safety}</span></>}</p>
      {props.view.history.here === 'part' ? <p className="quiet">It holds the keys of a part of your history. Let another of your devices, or your recovery passphrase, bring the rest.</p> : null}
    </>
  )
}

function Waiting(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { keys, view } = props
  const { act, busy, problem } = useActing()
  const [resetting, setResetting] = useState(false)
  return (
    <>
      {view.state === DeviceState.refused ? <Note tone="amber">What should have let it in did not verify. Let it in once more, from a device that you trust.</Note> : null}
      <p>It is new. On a device that you use already, open <strong>Devices and recovery</strong> and type this code there:</p>
      <p className="device-code" data-testid="device-code" aria-label={`Code: ${view.code.split('').join(' ')}`}><MobileIcon aria-hidden /> {view.code}</p>
      <p className="quiet">Somebody who only knows your password does not get in this way: nothing of what was said before is given to a device until one of yours, or your recovery passphrase, has confirmed it.</p>
      {problem === null ? null : <ProblemNote problem={problem} />}
      <details className="note">
        <summary>I have neither another device nor a recovery passphrase</summary>
        <p className="quiet">Then your earlier messages cannot be opened by anybody. You can start anew with this device; everybody you talk to is asked to check that it is you.</p>
        <Button size="2" variant="soft" color="red" loading={busy} onClick={() => { setResetting(true) }}>Start anew on this device</Button>
      </details>
      {resetting ? (
        <Reset
          cancel={() => { setResetting(false) }}
          confirm={() => {
            setResetting(false)
            void act('start anew', () => view.vigil.devices.reset('history will be lost'), 'You have started anew on this device').then(() => keys.read())
          }}
        />
      ) : null}
    </>
  )
}

const resetWords = 'history will be lost'

/** The words must be typed: it cannot be taken back, and a press is too little for that. */
function Reset(props: { readonly cancel: () => void; readonly confirm: () => void }): ReactNode {
  const [typed, setTyped] = useState('')
  return (
    <Confirm title="Start anew, without your history?" action="Start anew" grave disabled={typed.trim().toLowerCase() !== resetWords} onCancel={props.cancel} onConfirm={props.confirm}>
      <p>All your other devices and your recovery key are removed. What was said before cannot be opened by you any more.</p>
      <label className="field">To go on, type: {resetWords}
        <TextField.Root value={typed} autoComplete="off" onChange={(event) => { setTyped(event.target.value) }} />
      </label>
    </Confirm>
  )
}

function Removed(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { keys, view } = props
  const { act, busy, problem } = useActing()
  const [asking, setAsking] = useState(false)
  const { here, state } = view.history
  const last = state !== 'safe' && here !== 'none'
  const renew = (): void => { void act('make new keys', () => view.vigil.devices.renew(resetWords), 'This browser has new keys, and waits to be let in').then(() => keys.read()) }
  return (
    <>
      <p>It was removed, on another of your devices or by your practice, and its keys open nothing new. If this is still your browser, make new keys for it and let it in like a new device.</p>
      {problem === null ? null : <ProblemNote problem={problem} />}
      <div className="row"><Button size="2" loading={busy} onClick={() => { setAsking(true) }}>Make new keys for this browser</Button></div>
      {asking ? (
        <Confirm title="Make new keys, and drop the old ones?" action="Make new keys" grave onCancel={() => { setAsking(false) }} onConfirm={() => { setAsking(false); renew() }}>
          {last ? <p><strong>Some of your history may be opened by this browser alone.</strong> That will be lost: nobody can bring it back.</p> : null}
          <p>What you wrote here that is not sent yet is dropped.</p>
        </Confirm>
      ) : null}
    </>
  )
}

const noDevice: Problem = {
  title: 'No waiting device of yours shows this code', next: 'Read it once more from the new device’s screen. If it is right there, reload here and try again.', code: 'device_code',
}

async function approve(vigil: Vigil, code: string): Promise<void> {
  try {
    await vigil.devices.approve(code)
  } catch (thrown) {
    const unknown = thrown instanceof EnvelopeError && (thrown.refusal === Refusal.pin || thrown.refusal === Refusal.format)
    throw unknown ? new Explained(noDevice, { cause: thrown }) : thrown
  }
}

/** Lets a new device of one's own in: by its code, typed here. */
export function Approve(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { keys, view } = props
  const { act, busy, problem, told } = useActing()
  const [code, setCode] = useState('')
  const title = useId()
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void act('let the device in', () => approve(view.vigil, code), 'The device is let in, and is given your history').then((done) => {
      if (done) setCode('')
      void keys.read()
    })
  }
  const waits = view.waiting.length > 0
  return (
    <Card size="3">
      <form className="stack" aria-labelledby={title} onSubmit={submit}>
        <h2 className="small-title" id={title}>Let a new device in</h2>
        {waits ? <Note tone="amber" icon={<MobileIcon />}><strong>{view.waiting.length === 1 ? 'A device' : `${view.waiting.length} devices`} of yours waits.</strong> If it is not in your hand, somebody knows your password: change it, and remove the device below.</Note> : null}
        {problem === null ? null : <ProblemNote problem={problem} />}
        {told === null ? null : <Note tone="teal">{told}.</Note>}
        <label className="field">The code that the new device shows
          <TextField.Root className="code-input" value={code} autoComplete="off" autoCapitalize="characters" spellCheck="false" maxLength={20} placeholder="XXXX-XXXX-XXXX" onChange={(event) => { setCode(event.target.value) }} />
        </label>
        <div className="row"><Button type="submit" size="2" loading={busy} disabled={code.trim() === ''}>Let it in</Button></div>
        {waits ? <p className="quiet">It came {view.waiting.map((one) => shortTime(one.createdAt, new Date())).join(', ')}.</p> : null}
      </form>
    </Card>
  )
}
