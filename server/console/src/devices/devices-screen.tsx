import { useEffect, type ReactNode } from 'react'
import { DeviceState } from 'vigil-client'
import { MemberRole } from '../api/rows.ts'
import { whileLookedAt } from '../lib/again.ts'
import { useStore } from '../lib/store.ts'
import { useDesk } from '../lib/use.ts'
import { Loading, Note, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { Contact } from './contact.tsx'
import { DeviceList } from './device-list.tsx'
import { Erasures } from './erasures.tsx'
import type { KeysStore, KeysView } from './keys-store.ts'
import { RecoveryCard } from './recovery-card.tsx'
import { Approve, ThisDevice } from './this-device.tsx'
import { historyWords } from './words.ts'
import './devices.css'

const LookMs = 3000

export type ReadyKeys = Extract<KeysView, { readonly phase: 'ready' }>

/** Where one's keys are, who of one's devices holds them, and how they come back; and what of oneself is kept here. */
export function DevicesScreen(props: { readonly keys: KeysStore }): ReactNode {
  const { me } = useDesk()
  const view = useStore(props.keys.view)
  const { keys } = props
  useEffect(() => { // what somebody does here is answered on another device: it is looked at more often than elsewhere
    void keys.read()
    return whileLookedAt(() => { void keys.read() }, LookMs)
  }, [keys])
  const client = me.memberships.some((one) => one.role === MemberRole.client)
  return (
    <div className="page">
      <div className="page-head"><PageTitle>Devices and recovery</PageTitle></div>
      {view.phase === 'loading' ? <Loading what="your devices" lines={3} tall /> : null}
      {view.phase === 'failed' ? <ProblemNote problem={view.problem} again={() => { void props.keys.read() }} /> : null}
      {view.phase === 'ready' ? <Ready keys={props.keys} view={view} /> : null}
      {client ? <Contact /> : null}
      <Erasures />
    </div>
  )
}

/** For who belongs to no practice, or no more: no keys of theirs are used, but what was erased has its receipts. */
export function Receipts(): ReactNode {
  return (
    <div className="page">
      <div className="page-head"><PageTitle>Devices and recovery</PageTitle></div>
      <Note>You belong to no practice: no keys of yours are in use here.</Note>
      <Erasures />
    </div>
  )
}

function Ready(props: { readonly keys: KeysStore; readonly view: ReadyKeys }): ReactNode {
  const { keys, view } = props
  const words = historyWords[view.history.state]
  return (
    <>
      <Note tone={words.tone === 'teal' ? 'teal' : 'amber'}><strong>{words.title}.</strong> {words.next}</Note>
      <ThisDevice keys={keys} view={view} />
      {view.state === DeviceState.usable ? <Approve keys={keys} view={view} /> : null}
      <RecoveryCard keys={keys} view={view} />
      <DeviceList keys={keys} view={view} />
    </>
  )
}
