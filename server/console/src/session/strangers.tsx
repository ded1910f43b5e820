import { MobileIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import { EnvelopeError, Refusal, type DeviceRow } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { plainName } from './session-head.tsx'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/** Devices that appeared later, or have other keys: nothing is sent until somebody says that they are right. */
export function Strangers(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView }): ReactNode {
  const { view, store, session } = props
  const [problem, setProblem] = useState<Problem | null>(null)
  const [unsigned, setUnsigned] = useState<readonly string[]>([])
  if (view.strangers.length === 0) return null
  const trust = async (id: string): Promise<void> => {
    setProblem(null)
    try {
      await store.acknowledge(id, unsigned.includes(id))
    } catch (thrown) {
      if (thrown instanceof EnvelopeError && thrown.refusal === Refusal.pin) setUnsigned((old) => [...old, id])
      else setProblem(problemOf(thrown, 'trust the device'))
    }
  }
  return (
    <section className="strangers" aria-label="New devices">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {view.strangers.map((id) => (
        <Stranger key={id} device={view.readers.find((one) => one.id === id)} session={session} view={view} unsigned={unsigned.includes(id)} trust={() => { void trust(id) }} />
      ))}
    </section>
  )
}

/** What a new device is, in words: its owner's recovery key is none that somebody could type on. */
export function deviceWords(device: Pick<DeviceRow, 'kind'> | undefined): string {
  if (device?.kind === 'recovery') return 'a new recovery key'
  return 'a new device, or new keys'
}

/** How a new device is said to have come in. It is the database's word: this device checks the confirmation itself when the person trusts it. */
export function confirmationWords(device: Pick<DeviceRow, 'kind' | 'admission'> | undefined): string {
  if (device?.kind === 'analysis') return ''
  if (device?.admission === 'signed') return 'One of their known devices has confirmed it, which is checked here.'
  if (device?.admission === 'reset') return 'They say that they lost all their devices: none has confirmed it. Be sure that it is them.'
  return 'None of their known devices has confirmed it. Be sure that it is them.'
}

function Stranger(props: { readonly device: DeviceRow | undefined; readonly session: OpenSession; readonly view: SessionView; readonly unsigned: boolean; readonly trust: () => void }): ReactNode {
  const { device, session, view } = props
  const [digits, setDigits] = useState('…')
  const owner = device?.user_id ?? null
  const known = device?.id
  useEffect(() => {
    let gone = false
    if (owner !== null) void session.safety(owner).then((found) => { if (!gone) setDigits(found) }, () => { if (!gone) setDigits('not known yet') })
    return () => { gone = true }
  }, [session, owner, known])
  const person = view.people.find((one) => one.userId === owner)
  const whose = device?.kind === 'analysis' ? 'Vigil’s detector has' : `${plainName(person?.name ?? 'Somebody')} has`
  return (
    <Note
      tone="amber" icon={<MobileIcon />}
      actions={<Button size="2" color={props.unsigned ? 'red' : 'teal'} onClick={props.trust}>{props.unsigned ? 'I compared the number: trust it all the same' : 'It is right: trust it'}</Button>}
    >
      {props.unsigned ? <p role="alert"><strong>Its confirmation does not hold.</strong> No device of theirs that you know has signed for it: it may be somebody else’s. Compare the number before you trust it.</p> : null}
      <strong>{whose} {deviceWords(device)}.</strong> {confirmationWords(device)} Nothing is sent to it until you have checked.
      {owner === null ? null : <> By another way (a call), compare the safety number of you two: <span className="digits">{digits}</span></>}
    </Note>
  )
}
