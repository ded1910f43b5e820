import { Button, Card, TextField } from '@radix-ui/themes'
import { useEffect, useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { ContactKind, readContacts, removeContact, setContact, type ContactPoint } from '../api/contact.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { MemberRole } from '../api/rows.ts'
import { useDesk } from '../lib/use.ts'
import { ProblemNote } from '../ui/parts.tsx'
import { useActing } from './acting.ts'

export const contactWords: Readonly<Record<ContactKind, string>> = { phone: 'Phone', email: 'E-mail', address: 'Address', other: 'Another way' }

/** How a client is reached in an emergency: the clinicians of their sessions see it, beside an alert. */
export function Contact(): ReactNode {
  const { login, me } = useDesk()
  const { act, busy, problem } = useActing()
  const [points, setPoints] = useState<readonly ContactPoint[]>([])
  const [unread, setUnread] = useState<Problem | null>(null)
  const [kind, setKind] = useState<ContactKind>(ContactKind.phone)
  const [value, setValue] = useState('')
  const [attempt, setAttempt] = useState(0)
  const title = useId()
  const practices = me.memberships.filter((one) => one.role === MemberRole.client)
  useEffect(() => {
    let gone = false
    readContacts(login.supabase, [me.userId]).then(
      (found) => { if (!gone) setPoints(found) },
      (thrown: unknown) => { if (!gone) setUnread(problemOf(thrown, 'read how to reach you')) },
    )
    return () => { gone = true }
  }, [login, me.userId, attempt])
  const keep = (event: SyntheticEvent): void => {
    event.preventDefault()
    const work = async (): Promise<void> => {
      for (const one of practices) await setContact(login.supabase, { organizationId: one.organizationId, userId: me.userId, kind, value: value.trim(), note: null })
    }
    void act('keep how to reach you', work, 'Kept').then((done) => {
      if (done) setValue('')
      setAttempt((old) => old + 1)
    })
  }
  const remove = (point: ContactPoint): void => {
    void act('remove how to reach you', () => removeContact(login.supabase, point), 'Removed').then(() => { setAttempt((old) => old + 1) })
  }
  return (
    <Card size="3">
      <section className="stack" aria-labelledby={title}>
        <h2 className="small-title" id={title}>How to reach you in an emergency</h2>
        <p>The clinicians of your sessions see this when a message alerts them. It is not sealed: your practice’s database keeps it.</p>
        {unread === null ? null : <ProblemNote problem={unread} />}
        {problem === null ? null : <ProblemNote problem={problem} />}
        <ul className="lines" aria-label="How to reach you">
          {points.map((point) => (
            <li key={`${point.organizationId}${point.kind}`} className="row spread">
              <span>{contactWords[point.kind]}: {point.value}</span>
              <Button size="1" variant="soft" color="gray" loading={busy} aria-label={`Remove ${contactWords[point.kind]}`} onClick={() => { remove(point) }}>Remove</Button>
            </li>
          ))}
        </ul>
        <form className="row two" onSubmit={keep}>
          <label className="field">By
            <select className="native-select" value={kind} onChange={(event) => { setKind(kindOf(event.target.value)) }}>
              {Object.values(ContactKind).map((one) => <option key={one} value={one}>{contactWords[one]}</option>)}
            </select>
          </label>
          <label className="field grow">Number or address
            <TextField.Root value={value} maxLength={200} autoComplete="off" onChange={(event) => { setValue(event.target.value) }} />
          </label>
          <Button type="submit" size="2" loading={busy} disabled={value.trim() === ''}>Keep</Button>
        </form>
      </section>
    </Card>
  )
}

function kindOf(value: string): ContactKind {
  return Object.values(ContactKind).find((one) => one === value) ?? ContactKind.other
}
