import { ExitIcon } from '@radix-ui/react-icons'
import { Badge, Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { MemberRole } from '../api/rows.ts'
import { DeviceBanner, KeysChip } from '../devices/keys-chip.tsx'
import type { KeysStore } from '../devices/keys-store.ts'
import { useDesk } from '../lib/use.ts'
import { roleWords } from '../session/words.ts'
import { AppearanceSwitch } from '../ui/appearance-switch.tsx'
import { Mark } from '../ui/parts.tsx'
import { linkTo, type Route } from './route.ts'

export interface Place {
  readonly at: 'sessions' | 'alerts' | 'practice'
  readonly label: string
}

/** What is around every screen. */
export function Shell(props: {
  readonly places: readonly Place[]
  readonly route: Route
  readonly wide: boolean
  /** null for who has no keys: those who only administrate, or belong to no practice. */
  readonly keys: KeysStore | null
  readonly children: ReactNode
}): ReactNode {
  const { config, login, me } = useDesk()
  const [leaving, setLeaving] = useState(false)
  const here = props.route.at === 'session' ? 'sessions' : props.route.at
  const roles = [...new Set(me.memberships.map((one) => one.role))]
  const client = roles.includes(MemberRole.client)
  const leave = (): void => {
    setLeaving(true)
    void login.signOut().finally(() => { setLeaving(false) })
  }
  return (
    <div className={props.wide ? 'shell wide' : 'shell'}>
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus() }}>Skip to the content</a>
      <header className="shell-head">
        <a className="brand" href={linkTo({ at: 'sessions' })} aria-label="Vigil, to your sessions"><Mark /> <span>Vigil</span></a>
        {props.places.length > 1 ? (
          <nav aria-label="Main" className="places">
            {props.places.map((place) => (
              <a key={place.at} href={linkTo(place)} aria-current={here === place.at ? 'page' : undefined}>{place.label}</a>
            ))}
          </nav>
        ) : <span className="spring" />}
        {props.keys === null ? null : <KeysChip keys={props.keys} here={here === 'devices'} />}
        {config.demo === null ? null : <Badge color="amber" className="demo-badge">demo, invented people</Badge>}
        <span className="who"><span className="who-name">{me.name.replace(/ \(demo.*\)$/, '')}</span> <span className="who-role">{roles.map(roleWords).join(', ')}</span></span>
        <AppearanceSwitch />
        <Button size="1" variant="soft" color="gray" aria-label="Sign out" loading={leaving} onClick={leave}><ExitIcon /> <span className="sign-out">Sign out</span></Button>
      </header>
      <div>{props.keys === null ? null : <DeviceBanner keys={props.keys} here={here === 'devices'} />}</div>
      <main id="main" tabIndex={-1} className="shell-body">{props.children}</main>
      {client ? <CrisisLine /> : null}
    </div>
  )
}

/** Always in sight of a client. */
function CrisisLine(): ReactNode {
  return (
    <aside className="crisis" aria-label="If you are in danger">
      <strong>In danger now?</strong> Call your emergency number (<a href="tel:112">112</a>, <a href="tel:911">911</a>, <a href="tel:999">999</a>).
      {' '}To talk: <a href="tel:988">988</a> (US, Canada), <a href="tel:116123">116 123</a> (much of Europe, UK),
      {' '}<a href="https://findahelpline.com" target="_blank" rel="noreferrer">findahelpline.com</a> (elsewhere).
    </aside>
  )
}
