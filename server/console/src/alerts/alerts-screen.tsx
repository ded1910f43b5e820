import { BellIcon } from '@radix-ui/react-icons'
import { useEffect, useMemo, useRef, type ReactNode } from 'react'
import { AlertStatus, MemberRole, type Alert } from '../api/rows.ts'
import { linkTo } from '../app/route.ts'
import { useStore } from '../lib/store.ts'
import { useDesk } from '../lib/use.ts'
import { AlertCard } from '../session/alerts-panel.tsx'
import { ChannelChip } from '../session/channel-chip.tsx'
import { plainName } from '../session/session-head.tsx'
import { alertWords } from '../session/words.ts'
import { useAnnouncer } from '../ui/live.tsx'
import { Empty, Loading, PageTitle, ProblemNote } from '../ui/parts.tsx'
import { AlertsStore, type AlertsView } from './alerts-store.ts'
import { inOrder } from './book.ts'
import { useShown } from './shown.ts'

/** All alerts of a supervisor's practice, live. */
export function AlertsScreen(props: { readonly selected: string | null }): ReactNode {
  const { login, me } = useDesk()
  const store = useMemo(() => {
    const organizationIds = me.memberships.filter((one) => one.role === MemberRole.supervisor).map((one) => one.organizationId)
    return new AlertsStore({ supabase: login.supabase, organizationIds })
  }, [login, me])
  const view = useStore(store.view)
  useEffect(() => {
    const timer = setTimeout(() => { store.open(() => login.vigil()) })
    return () => {
      clearTimeout(timer)
      store.close()
    }
  }, [store, login])
  useWarned(view)
  useShown(props.selected, view.alerts)

  const alerts = inOrder(view.alerts)
  const waiting = alerts.filter((one) => one.status !== AlertStatus.resolved)
  const over = alerts.filter((one) => one.status === AlertStatus.resolved)
  return (
    <div className="page">
      <div className="page-head">
        <PageTitle>Alerts</PageTitle>
        <ChannelChip channel={view.channel} recovery={null} />
      </div>
      {view.problem === null ? null : <ProblemNote problem={view.problem} again={() => { void store.read() }} />}
      {view.phase === 'loading' ? <Loading what="the alerts" lines={3} tall /> : null}
      {view.phase === 'ready' ? (
        <>
          {waiting.length === 0 ? <Empty icon={<BellIcon />} title="Nothing waits">When a message of the practice pages somebody, it shows here at once.</Empty> : null}
          <Cards alerts={waiting} view={view} store={store} label="Alerts that wait" />
          {over.length === 0 ? null : <h2 className="small-title">Resolved lately</h2>}
          <Cards alerts={over} view={view} store={store} label="Resolved alerts" />
        </>
      ) : null}
    </div>
  )
}

function Cards(props: { readonly alerts: readonly Alert[]; readonly view: AlertsView; readonly store: AlertsStore; readonly label: string }): ReactNode {
  const { alerts, view, store } = props
  return (
    <ul className="cards wide" aria-label={props.label}>
      {alerts.map((alert) => (
        <li key={alert.id} id={`alert-${alert.id}`} tabIndex={-1}>
          <AlertCard
            alert={alert} events={view.events.get(alert.id)} names={view.names} text={null} contacts={view.contacts.get(alert.sessionId) ?? []} readers={view.readers.get(alert.id)} step={(step) => store.step(step, alert)}
            link={<a className="link" href={linkTo({ at: 'session', id: alert.sessionId })}>Session with {plainName(view.clients.get(alert.sessionId) ?? 'a client')}</a>}
          />
        </li>
      ))}
    </ul>
  )
}

function useWarned(view: AlertsView): void {
  const { warn } = useAnnouncer()
  const warned = useRef(0)
  useEffect(() => {
    const fresh = view.raised.slice(warned.current)
    warned.current = view.raised.length
    const first = view.alerts.get(fresh[0] ?? '')
    if (first !== undefined) warn(fresh.length > 1 ? `${fresh.length} new alerts` : `Alert: ${alertWords(first)}`)
  }, [view, warn])
}
