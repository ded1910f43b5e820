import { useEffect, useState, type ReactNode } from 'react'
import { Confirm } from '../ui/confirm.tsx'
import { plainName } from './session-head.tsx'
import type { OpenSession, SessionView } from './session-store.ts'

/** The number that somebody and this person compare; again whenever `devices`, the ids that it is over, are others. */
export function useSafety(session: OpenSession, owner: string | null, devices: string): string {
  const [digits, setDigits] = useState('…')
  useEffect(() => {
    let gone = false
    if (owner !== null) void session.safety(owner).then((found) => { if (!gone) setDigits(found) }, () => { if (!gone) setDigits('not known yet') })
    return () => { gone = true }
  }, [session, owner, devices])
  return digits
}

/** What to read to the other, who may have been asked about a new device: at their end it stands there, at this one it stands here. */
export function SafetyNumbers(props: { readonly session: OpenSession; readonly view: SessionView; readonly me: string; readonly done: () => void }): ReactNode {
  const { session, view } = props
  const others = view.people.filter((one) => one.userId !== props.me)
  const devices = view.readers.map((one) => one.id).join()
  return (
    <Confirm title="Safety numbers" onCancel={props.done}>
      <p>By another way (a call), compare the number with the other person’s, digit by digit. It is the same on both screens, or somebody stands between you: send nothing then, and tell your practice.</p>
      {others.length === 0 ? <p className="quiet">Nobody else is in this session.</p> : null}
      <dl className="safety">
        {others.map((one) => <Pair key={one.userId} session={session} name={plainName(one.name)} owner={one.userId} devices={devices} />)}
      </dl>
    </Confirm>
  )
}

function Pair(props: { readonly session: OpenSession; readonly name: string; readonly owner: string; readonly devices: string }): ReactNode {
  const digits = useSafety(props.session, props.owner, props.devices)
  return <div><dt>You and {props.name}</dt><dd className="digits wrap">{digits}</dd></div>
}
