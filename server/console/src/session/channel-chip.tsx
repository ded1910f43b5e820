import { CheckCircledIcon, CrossCircledIcon, UpdateIcon } from '@radix-ui/react-icons'
import { Badge } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import type { Recovery } from 'vigil-client'
import type { ChannelState } from './session-store.ts'

/** What a re-join made good, in words. */
export function recoveryWords(recovery: Recovery): string {
  if (recovery.recovered) return recovery.replayed === 0 ? 'nothing was missed' : `recovered ${recovery.replayed}`
  if (recovery.missed === null) return 'read again: what was missed is unknown'
  return `missed ${recovery.missed}, read again`
}

const looks = {
  connecting: { words: 'connecting', color: 'gray', icon: <UpdateIcon className="turning" aria-hidden /> },
  connected: { words: 'connected', color: 'teal', icon: <CheckCircledIcon aria-hidden /> },
  recovering: { words: 'recovering', color: 'amber', icon: <UpdateIcon className="turning" aria-hidden /> },
  ended: { words: 'closed by the server', color: 'red', icon: <CrossCircledIcon aria-hidden /> },
} as const

/** How the live channel stands. Said politely to a screen reader whenever it changes. */
export function ChannelChip(props: { readonly channel: ChannelState; readonly recovery: Recovery | null }): ReactNode {
  const { words, color, icon } = looks[props.channel]
  const more = props.channel === 'connected' && props.recovery !== null ? `, ${recoveryWords(props.recovery)}` : ''
  return (
    <Badge color={color} variant="surface" role="status" aria-label={`Channel: ${words}${more}`} className="channel">
      {icon} {words}{more}
    </Badge>
  )
}
