import { MobileIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useEffect, useState, type ReactNode } from 'react'
import type { DeviceRow } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { plainName } from './session-head.tsx'
import type { SessionStore, SessionView } from './session-store.ts'

/** A number that two people can read to each other: five groups of five digits over both keys of a device. */
export async function safetyNumber(device: Pick<DeviceRow, 'enc_pub' | 'sig_pub'>): Promise<string> {
  const bytes = new TextEncoder().encode(`${device.enc_pub} ${device.sig_pub}`)
  const hash = new DataView(await crypto.subtle.digest('SHA-256', bytes))
  return [0, 4, 8, 12, 16].map((at) => String(hash.getUint32(at) % 100_000).padStart(5, '0')).join(' ')
}

/** Devices that appeared later, or have other keys: nothing is sent until somebody says that they are right. */
export function Strangers(props: { readonly store: SessionStore; readonly view: SessionView }): ReactNode {
  const { view, store } = props
  const [problem, setProblem] = useState<Problem | null>(null)
  if (view.strangers.length === 0) return null
  const trust = (id: string): void => {
    store.acknowledge(id).catch((thrown: unknown) => { setProblem(problemOf(thrown, 'trust the device')) })
  }
  return (
    <section className="strangers" aria-label="New devices">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {view.strangers.map((id) => <Stranger key={id} device={view.readers.find((one) => one.id === id)} view={view} trust={() => { trust(id) }} />)}
    </section>
  )
}

function Stranger(props: { readonly device: DeviceRow | undefined; readonly view: SessionView; readonly trust: () => void }): ReactNode {
  const { device, view } = props
  const [digits, setDigits] = useState('…')
  useEffect(() => {
    let gone = false
    if (device !== undefined) void safetyNumber(device).then((found) => { if (!gone) setDigits(found) })
    return () => { gone = true }
  }, [device])
  const owner = view.people.find((one) => one.userId === device?.user_id)
  const whose = owner === undefined ? 'Vigil’s detector has' : `${plainName(owner.name)} has`
  return (
    <Note tone="amber" icon={<MobileIcon />} actions={<Button size="2" color="teal" onClick={props.trust}>It is right: trust it</Button>}>
      <strong>{whose} a new device, or new keys.</strong> Nothing is sent to it until you have checked. By another way (a call), compare its number: <span className="digits">{digits}</span>
    </Note>
  )
}
