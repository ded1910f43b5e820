import { GearIcon } from '@radix-ui/react-icons'
import { Card, RadioGroup, Switch, Text } from '@radix-ui/themes'
import { useCallback, useEffect, useId, useState, type ReactNode } from 'react'
import { readOrganizations, readPolicy, setOrganization, setPolicy } from '../api/people.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { MemberRole, Suggesting, type CrisisPolicy, type Organization } from '../api/rows.ts'
import { useDesk } from '../lib/use.ts'
import { Erasures } from '../devices/erasures.tsx'
import { ConsentTexts } from './consent-texts.tsx'
import { levelWords } from '../session/words.ts'
import { useAnnouncer } from '../ui/live.tsx'
import { Empty, Loading, Note, PageTitle, ProblemNote } from '../ui/parts.tsx'

interface Practice {
  readonly organization: Organization
  readonly policy: CrisisPolicy
}

type Load = { readonly phase: 'loading' } | { readonly phase: 'failed'; readonly problem: Problem } | { readonly phase: 'ready'; readonly practices: readonly Practice[] }

/** What an administrator sets; in force at once, and audited by the database. Administrators see no session and no alert. */
export function PracticeScreen(): ReactNode {
  const { login, me } = useDesk()
  const { supabase } = login
  const [load, setLoad] = useState<Load>({ phase: 'loading' })
  const read = useCallback(async (): Promise<Load> => {
    try {
      const mine = new Set(me.memberships.filter((one) => one.role === MemberRole.admin).map((one) => one.organizationId))
      const organizations = (await readOrganizations(supabase)).filter((one) => mine.has(one.id))
      const practices = await Promise.all(organizations.map(async (organization) => {
        const policy = await readPolicy(supabase, organization.id)
        return policy === undefined ? [] : [{ organization, policy }]
      }))
      return { phase: 'ready', practices: practices.flat() }
    } catch (thrown) {
      return { phase: 'failed', problem: problemOf(thrown, 'read the practice') }
    }
  }, [supabase, me])
  useEffect(() => {
    let gone = false
    void read().then((found) => { if (!gone) setLoad(found) })
    return () => { gone = true }
  }, [read])
  return (
    <div className="page">
      <div className="page-head"><PageTitle>Practice</PageTitle></div>
      <Note>As an administrator you steer; you see no session, no message and no alert. Each change holds at once, and is written to the audit log.</Note>
      {load.phase === 'loading' ? <Loading what="the practice" lines={3} tall /> : null}
      {load.phase === 'failed' ? <ProblemNote problem={load.problem} again={() => { void read().then(setLoad) }} /> : null}
      {load.phase === 'ready' && load.practices.length === 0 ? <Empty icon={<GearIcon />} title="No practice to steer">It may ask for more than this login has shown. Sign out, and in again.</Empty> : null}
      {load.phase === 'ready' ? load.practices.map((one) => <PracticeCard key={one.organization.id} practice={one} refresh={() => { void read().then(setLoad) }} />) : null}
      <Erasures />
    </div>
  )
}

const suggesting: readonly (readonly [Suggesting, string])[] = [
  [Suggesting.off, 'Off: nothing is drafted; drafts that wait are withdrawn'],
  [Suggesting.onDemand, 'When a therapist asks'],
  [Suggesting.elevated, 'When a therapist asks, and unasked when a message is grave'],
]

function PracticeCard(props: { readonly practice: Practice; readonly refresh: () => void }): ReactNode {
  const { organization, policy } = props.practice
  const { login } = useDesk()
  const { say } = useAnnouncer()
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const label = useId()
  const change = async (work: () => Promise<void>, done: string): Promise<void> => {
    setBusy(true)
    setProblem(null)
    try {
      await work()
      say(done)
    } catch (thrown) {
      setProblem(problemOf(thrown, 'change the practice'))
    } finally {
      setBusy(false)
      await login.recheck() // asking staff for a second factor asks oneself too
      props.refresh()
    }
  }
  const suggest = (value: string): void => {
    const chosen = suggesting.find(([one]) => one === value)
    if (chosen !== undefined) void change(() => setOrganization(login.supabase, organization.id, { suggestions: chosen[0] }), 'Suggestions changed')
  }
  const policyTo = (next: Partial<CrisisPolicy>): void => {
    void change(() => setPolicy(login.supabase, { ...policy, ...next }), 'Crisis policy changed')
  }
  return (
    <Card size="3">
      <section className="stack loose" aria-label={organization.name}>
        <h2 className="small-title">{organization.name}</h2>
        {problem === null ? null : <ProblemNote problem={problem} />}
        <div className="field">
          <Text size="2" weight="medium" id={label}>Suggestions</Text>
          <RadioGroup.Root value={organization.suggestions} disabled={busy} aria-labelledby={label} onValueChange={suggest}>
            {suggesting.map(([value, words]) => <RadioGroup.Item key={value} value={value}>{words}</RadioGroup.Item>)}
          </RadioGroup.Root>
        </div>
        <div className="row two">
          <LevelChoice label="Page a clinician from" value={policy.pageAtLevel} from={policy.reviewAtLevel} to={6} busy={busy} choose={(pageAtLevel) => { policyTo({ pageAtLevel }) }} />
          <LevelChoice label="Review, and suggest, from" value={policy.reviewAtLevel} from={1} to={policy.pageAtLevel} busy={busy} choose={(reviewAtLevel) => { policyTo({ reviewAtLevel }) }} />
        </div>
        <Text as="label" size="2" className="row">
          <Switch
            checked={organization.requireAal2} disabled={busy}
            onCheckedChange={(require_aal2) => { void change(() => setOrganization(login.supabase, organization.id, { require_aal2 }), 'Second factor changed') }}
          />
          Staff need a second factor to see anything; so do you, at once
        </Text>
        <ConsentTexts organizationId={organization.id} />
      </section>
    </Card>
  )
}

function LevelChoice(props: {
  readonly label: string
  readonly value: number
  readonly from: number
  readonly to: number
  readonly busy: boolean
  readonly choose: (level: number) => void
}): ReactNode {
  const levels = Array.from({ length: props.to - props.from + 1 }, (_, at) => props.from + at)
  return (
    <label className="field grow">
      <Text size="2" weight="medium">{props.label}</Text>
      <select className="native-select" value={props.value} disabled={props.busy} onChange={(event) => { props.choose(Number(event.target.value)) }}>
        {levels.map((level) => <option key={level} value={level}>{level}: {levelWords(level)}</option>)}
      </select>
    </label>
  )
}
