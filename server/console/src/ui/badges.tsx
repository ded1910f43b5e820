import { BellIcon } from '@radix-ui/react-icons'
import { Badge } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import { SessionStatus } from 'vigil-client'
import type { Alert } from '../api/rows.ts'
import { alertTone, alertWords, levelTone, levelWords } from '../session/words.ts'

const statusWords = { scheduled: 'not started', active: 'running', paused: 'paused', ended: 'ended' } as const
const statusColor = { scheduled: 'gray', active: 'teal', paused: 'amber', ended: 'gray' } as const

export function StatusBadge(props: { readonly status: SessionStatus }): ReactNode {
  return <Badge color={statusColor[props.status]}>{statusWords[props.status]}</Badge>
}

/** How many alerts wait, and how grave the gravest is: a number, a word and an icon. */
export function AlertBadge(props: { readonly alert: Alert; readonly count: number }): ReactNode {
  const { alert, count } = props
  return (
    <Badge color={alertTone(alert)} variant="solid" className="alert-badge">
      <BellIcon aria-hidden /> <span>{count} {count === 1 ? 'alert' : 'alerts'}<span className="alert-badge-words">: {alertWords(alert)}</span></span>
    </Badge>
  )
}

/** A level as number and words. */
export function LevelBadge(props: { readonly level: number | null }): ReactNode {
  const { level } = props
  return (
    <Badge color={levelTone(level)} className="level">
      <span className="level-number" aria-hidden="true">{level ?? '?'}</span> {levelWords(level)}
    </Badge>
  )
}
