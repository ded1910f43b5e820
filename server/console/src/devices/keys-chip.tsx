import { LockClosedIcon, LockOpen1Icon, MobileIcon } from '@radix-ui/react-icons'
import { Badge } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import { DeviceState } from 'vigil-client'
import { linkTo } from '../app/route.ts'
import { useStore } from '../lib/store.ts'
import { Note } from '../ui/parts.tsx'
import type { KeysStore } from './keys-store.ts'
import { historyWords } from './words.ts'

/** Whether the history could be lost: on every screen, a word and a colour, and the way to change it. */
export function KeysChip(props: { readonly keys: KeysStore; readonly here: boolean }): ReactNode {
  const view = useStore(props.keys.view)
  if (view.phase !== 'ready') return null
  const words = historyWords[view.history.state]
  const waits = view.waiting.length > 0 && view.state === DeviceState.usable
  return (
    <a className="keys-chip" data-safe={words.tone === 'teal' && !waits ? '' : undefined} href={linkTo({ at: 'devices' })} aria-current={props.here ? 'page' : undefined} aria-label={`Devices and recovery: ${waits ? 'a new device waits; ' : ''}${words.short.toLowerCase()}`}>
      <Badge color={waits ? 'amber' : words.tone} size="2">
        {words.tone === 'teal' ? <LockClosedIcon aria-hidden /> : <LockOpen1Icon aria-hidden />} <span className="keys-chip-words">{waits ? 'A device waits' : words.short}</span>
      </Badge>
    </a>
  )
}

/** Above every screen, while this device cannot do what it is for. */
export function DeviceBanner(props: { readonly keys: KeysStore; readonly here: boolean }): ReactNode {
  const view = useStore(props.keys.view)
  if (view.phase !== 'ready' || view.state === DeviceState.usable || props.here) return null
  const words = {
    [DeviceState.waiting]: 'This device waits to be let in: it can read and send nothing sealed yet.',
    [DeviceState.refused]: 'This device was not let in: what should have confirmed it did not verify.',
    [DeviceState.revoked]: 'This device was removed, by you on another one or by your practice. It can read and send nothing more.',
  } as const
  return (
    <div className="device-banner">
      <Note tone="amber" icon={<MobileIcon />}><strong>{words[view.state]}</strong> <a href={linkTo({ at: 'devices' })}>What to do</a></Note>
    </div>
  )
}
