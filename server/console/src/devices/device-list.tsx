import { Badge, Button, Card, TextField } from '@radix-ui/themes'
import { useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { DeviceState, type OwnDevice } from 'vigil-client'
import { Confirm } from '../ui/confirm.tsx'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { shortTime } from '../ui/time.ts'
import { useActing } from './acting.ts'
import type { ReadyKeys } from './devices-screen.tsx'
import type { KeysStore } from './keys-store.ts'
import { deviceName, stateWords } from './words.ts'

/** All of one's devices: what each is called, how it stands, its number; and how to be rid of one. */
export function DeviceList(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { view } = props
  const title = useId()
  const live = view.devices.filter((one) => one.state !== DeviceState.revoked)
  const over = view.devices.filter((one) => one.state === DeviceState.revoked)
  return (
    <Card size="3">
      <section className="stack" aria-labelledby={title}>
        <h2 className="small-title" id={title}>Your devices</h2>
        <ul className="lines" aria-label="Your devices">
          {live.map((device) => <Line key={device.id} {...props} device={device} />)}
        </ul>
        {over.length === 0 ? null : (
          <details>
            <summary>{over.length} removed</summary>
            <ul className="past">{over.map((one) => <li key={one.id} className="quiet">{deviceName(one)}, since {shortTime(one.createdAt, new Date())}</li>)}</ul>
          </details>
        )}
      </section>
    </Card>
  )
}

function Line(props: { readonly keys: KeysStore; readonly view: ReadyKeys; readonly device: OwnDevice }): ReactNode {
  const { keys, view, device } = props
  const { act, busy, problem } = useActing()
  const [doing, setDoing] = useState<'nothing' | 'naming' | 'removing'>('nothing')
  const name = deviceName(device)
  const remove = (): void => {
    setDoing('nothing')
    void act('remove the device', () => view.vigil.devices.revoke(device.id), `${name} is removed`).then(() => keys.read())
  }
  const share = (): void => { void act('give it your history', () => view.vigil.devices.shareHistory(device.id), `${name} has been given your history`).then(() => keys.read()) }
  const usable = device.state === DeviceState.usable
  const unknown = view.unacknowledged.includes(device.id)
  const trust = (): void => { void act('trust the device', () => view.vigil.devices.acknowledge(device.id, { unsigned: true }), `${name} is trusted here`).then(() => keys.read()) }
  return (
    <li className="device-line">
      <div className="row spread">
        <span className="line-title">{name}</span>
        <Badge color={usable ? 'teal' : 'amber'}>{stateWords[device.state]}</Badge>
      </div>
      <p className="quiet">Since {shortTime(device.createdAt, new Date())}. Number: <span className="digits wrap">{device.safety}</span></p>
      {problem === null ? null : <ProblemNote problem={problem} />}
      {unknown ? (
        <Note tone="amber" actions={<Button size="1" color="teal" loading={busy} onClick={trust}>It is mine: trust it</Button>}>
          <strong>This device does not know it.</strong> Nothing is sent to it from here until you have compared the number, on its own screen.
        </Note>
      ) : null}
      {doing === 'naming' ? <Naming name={device.label ?? ''} done={() => { setDoing('nothing') }} keep={(label) => act('name the device', () => view.vigil.devices.rename(device.id, label), 'The device is named').then((done) => { if (done) void keys.read(); return done })} /> : null}
      {device.kind === 'recovery' || view.state !== DeviceState.usable ? null : (
        <div className="row tight">
          <Button size="1" variant="soft" color="gray" aria-label={`Name it: ${name}`} onClick={() => { setDoing('naming') }}>Name it</Button>
          {device.here || !usable ? null : <Button size="1" variant="soft" color="gray" loading={busy} aria-label={`Give it my history: ${name}`} onClick={share}>Give it my history</Button>}
          {device.here && view.devices.filter((one) => one.kind === 'participant' && one.state === DeviceState.usable).length < 2 ? null : (
            <Button size="1" variant="soft" color="red" loading={busy} aria-label={`Remove ${name}`} onClick={() => { setDoing('removing') }}>Remove</Button>
          )}
        </div>
      )}
      {doing === 'removing' ? (
        <Confirm title={`Remove ${name}?`} action="Remove it" grave onCancel={() => { setDoing('nothing') }} onConfirm={remove}>
          <p>It can read nothing that is sent from now on, and send nothing. What it has read, it has read. It cannot be let in again with the same keys.</p>
        </Confirm>
      ) : null}
    </li>
  )
}

function Naming(props: { readonly name: string; readonly done: () => void; readonly keep: (label: string) => Promise<boolean> }): ReactNode {
  const [label, setLabel] = useState(props.name)
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void props.keep(label.trim()).then((done) => { if (done) props.done() })
  }
  return (
    <form className="row" onSubmit={submit}>
      <label className="field grow">A name that you know it by
        <TextField.Root value={label} maxLength={60} onChange={(event) => { setLabel(event.target.value) }} />
      </label>
      <Button type="submit" size="2">Keep</Button>
      <Button type="button" size="2" variant="soft" color="gray" onClick={props.done}>Cancel</Button>
    </form>
  )
}
