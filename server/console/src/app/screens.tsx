import { useEffect, useMemo, type ReactNode } from 'react'
import { AlertsScreen } from '../alerts/alerts-screen.tsx'
import { DevicesScreen, Receipts } from '../devices/devices-screen.tsx'
import { KeysStore } from '../devices/keys-store.ts'
import { MemberRole } from '../api/rows.ts'
import { hasRole } from '../login/login.ts'
import { useDesk } from '../lib/use.ts'
import { PracticeScreen } from '../settings/practice-screen.tsx'
import { SessionScreen } from '../session/session-screen.tsx'
import { SessionsScreen } from '../sessions/sessions-screen.tsx'
import type { Route } from './route.ts'
import { Shell, type Place } from './shell.tsx'

/** The screens behind the sign-in. What somebody's role does not have leads to their sessions. */
export function Screens(props: { readonly route: Route }): ReactNode {
  const { login, me } = useDesk()
  const { route } = props
  const supervisor = hasRole(me, MemberRole.supervisor)
  const admin = hasRole(me, MemberRole.admin)
  const belongs = me.memberships.length > 0
  const onlyAdmin = admin && me.memberships.every((one) => one.role === MemberRole.admin)
  const places: Place[] = []
  if (!onlyAdmin) places.push({ at: 'sessions', label: 'Sessions' })
  if (supervisor) places.push({ at: 'alerts', label: 'Alerts' })
  if (admin) places.push({ at: 'practice', label: 'Practice' })

  const keys = useMemo(() => (onlyAdmin || !belongs ? null : new KeysStore(() => login.vigil())), [login, onlyAdmin, belongs])
  useEffect(() => {
    const timer = setTimeout(() => { keys?.open() }) // not twice, when effects run twice in development
    return () => {
      clearTimeout(timer)
      keys?.close()
    }
  }, [keys])

  const screen = (): ReactNode => {
    if (route.at === 'devices' && keys !== null) return <DevicesScreen keys={keys} />
    if (route.at === 'devices' && !belongs) return <Receipts />
    if (route.at === 'session' && !onlyAdmin) return <SessionScreen key={route.id} id={route.id} />
    if (route.at === 'alerts' && supervisor) return <AlertsScreen selected={route.id ?? null} />
    if (onlyAdmin || (route.at === 'practice' && admin)) return <PracticeScreen />
    return <SessionsScreen />
  }
  return <Shell places={places} route={route} wide={route.at === 'session'} keys={keys}>{screen()}</Shell>
}
