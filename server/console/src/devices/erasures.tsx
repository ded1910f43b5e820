import { Badge, Button, Card } from '@radix-ui/themes'
import { useEffect, useId, useState, type ReactNode } from 'react'
import { readErasures, requestErasure, type Erasure, type ErasureStatus } from '../api/erasures.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { MemberRole } from '../api/rows.ts'
import { whileLookedAt } from '../lib/again.ts'
import { useDesk } from '../lib/use.ts'
import { Confirm } from '../ui/confirm.tsx'
import { ProblemNote } from '../ui/parts.tsx'
import { shortTime } from '../ui/time.ts'
import { useActing } from './acting.ts'

const statusWords: Readonly<Record<ErasureStatus, string>> = { requested: 'asked for', shredded: 'keys and messages deleted, files follow', done: 'done' }

const words = {
  client: 'You may have a session erased (in the session, under More), or all that your practice keeps of you here. What is erased opens nowhere any more; backups of the practice follow when they run out.',
  staff: 'What people of your practice asked for. An operator does it, with the command below it.',
  gone: 'What was erased of yours, with the receipts: by the hash anybody can check in the practice’s audit log that they were not changed since.',
}

/** Whether what was asked for of oneself is done: one belongs there no more. */
const endsAccess = (one: Erasure): boolean => one.kind === 'person' && one.status !== 'requested'

/** What an operator types. */
function commandOf(erasure: Erasure): string {
  return erasure.kind === 'session' ? `vigil erase session ${erasure.sessionId ?? ''}` : `vigil erase person ${erasure.organizationId} ${erasure.personId ?? ''}`
}

/** What one asked to have erased, and the receipts. */
export function Erasures(): ReactNode {
  const { login, me } = useDesk()
  const { act, busy, problem } = useActing()
  const [found, setFound] = useState<readonly Erasure[]>([])
  const [unread, setUnread] = useState<Problem | null>(null)
  const [asking, setAsking] = useState(false)
  const [attempt, setAttempt] = useState(0)
  const title = useId()
  const client = me.memberships.some((one) => one.role === MemberRole.client)
  useEffect(() => {
    let gone = false
    const read = (): void => {
      readErasures(login.supabase).then(
        (erasures) => {
          if (gone) return
          setFound(erasures)
          if (client && erasures.some(endsAccess)) void login.recheck()
        },
        (thrown: unknown) => { if (!gone) setUnread(problemOf(thrown, 'read what was erased')) },
      )
    }
    read()
    const undo = whileLookedAt(read)
    return () => {
      gone = true
      undo()
    }
  }, [login, client, attempt])
  const ask = (): void => {
    setAsking(false)
    void act('ask for erasure', () => requestErasure(login.supabase, null), 'You asked for all that is yours to be erased').then(() => { setAttempt((old) => old + 1) })
  }
  if (!client && found.length === 0) return null
  return (
    <Card size="3">
      <section className="stack" aria-labelledby={title}>
        <h2 className="small-title" id={title}>Erasure</h2>
        <p>{client ? words.client : me.memberships.length === 0 ? words.gone : words.staff}</p>
        {unread === null ? null : <ProblemNote problem={unread} />}
        {problem === null ? null : <ProblemNote problem={problem} />}
        <ul className="lines" aria-label="Erasures">
          {found.map((one) => <Receipt key={one.id} erasure={one} staff={!client && me.memberships.length > 0} />)}
        </ul>
        {client ? <div className="row"><Button size="2" variant="soft" color="red" loading={busy} onClick={() => { setAsking(true) }}>Have all of mine erased</Button></div> : null}
        {asking ? (
          <Confirm title="Have everything erased?" action="Ask for it" grave onCancel={() => { setAsking(false) }} onConfirm={ask}>
            <p>All your sessions, their keys, files and what was found in them, your name, how to reach you, your devices and your recovery key. It cannot be undone, and ends your access to this practice.</p>
          </Confirm>
        ) : null}
      </section>
    </Card>
  )
}

/** What an erasure did: counts, and the audit log's entry by which anybody can check that it was not changed since. */
function Receipt(props: { readonly erasure: Erasure; readonly staff: boolean }): ReactNode {
  const { erasure } = props
  const now = new Date()
  const counts = Object.entries(erasure.counts).filter(([, count]) => count > 0)
  return (
    <li className="device-line">
      <div className="row spread">
        <span className="line-title">{erasure.kind === 'session' ? 'A session' : 'All of a person'}</span>
        <Badge color={erasure.status === 'done' ? 'teal' : 'amber'}>{statusWords[erasure.status]}</Badge>
      </div>
      <p className="quiet">Asked for {shortTime(erasure.createdAt, now)}{erasure.doneAt === null ? '' : `, done ${shortTime(erasure.doneAt, now)}`}.</p>
      {props.staff && erasure.status !== 'done' ? <p className="quiet">For the operator: <span className="code">{commandOf(erasure)}</span></p> : null}
      {counts.length === 0 ? null : <p className="quiet">Deleted: {counts.map(([name, count]) => `${count} ${(count === 1 ? name.replace(/s$/, '') : name).replaceAll('_', ' ')}`).join(', ')}.</p>}
      {erasure.auditSeq === null ? null : <p className="quiet">Receipt {erasure.id}; audit entry {erasure.auditSeq}{erasure.auditHash === null ? '' : <>, hash <span className="code">{erasure.auditHash}</span></>}</p>}
    </li>
  )
}
