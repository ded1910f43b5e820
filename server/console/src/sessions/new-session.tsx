import { Button, Card, RadioGroup, Text } from '@radix-ui/themes'
import { useEffect, useId, useState, type ReactNode, type SyntheticEvent } from 'react'
import { SessionMode } from 'vigil-client'
import { readMembers, readNames } from '../api/people.ts'
import { problemOf, type Problem } from '../api/problem.ts'
import { MemberRole } from '../api/rows.ts'
import { createSession } from '../api/sessions.ts'
import { goTo } from '../app/route.ts'
import { useDesk } from '../lib/use.ts'
import { Loading, Note, ProblemNote } from '../ui/parts.tsx'

interface Client {
  readonly userId: string
  readonly organizationId: string
  readonly name: string
}

/** Makes a session with a client of the practice. How it is watched is named, not defaulted. */
export function NewSession(props: { readonly done: () => void }): ReactNode {
  const { login, me } = useDesk()
  const [clients, setClients] = useState<readonly Client[] | null>(null)
  const [client, setClient] = useState('')
  const [mode, setMode] = useState<SessionMode | null>(null)
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const title = useId()
  const { supabase } = login

  useEffect(() => {
    let gone = false
    const read = async (): Promise<void> => {
      const practices = me.memberships.filter((one) => one.role === MemberRole.therapist)
      const members = (await Promise.all(practices.map((one) => readMembers(supabase, one.organizationId)))).flat()
      const found = members.filter((one) => one.role === MemberRole.client)
      const names = await readNames(supabase, found.map((one) => one.userId))
      if (!gone) setClients(found.map((one) => ({ ...one, name: names.get(one.userId) ?? 'A client without a name' })))
    }
    read().catch((thrown: unknown) => { if (!gone) setProblem(problemOf(thrown, 'read your clients')) })
    return () => { gone = true }
  }, [supabase, me])

  const make = async (): Promise<void> => {
    const chosen = clients?.find((one) => one.userId === client)
    if (chosen === undefined || mode === null) return
    setBusy(true)
    try {
      goTo({ at: 'session', id: await createSession(supabase, { organizationId: chosen.organizationId, clientId: chosen.userId, mode }) })
    } catch (thrown) {
      setProblem(problemOf(thrown, 'make the session'))
      setBusy(false)
    }
  }
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault()
    void make()
  }

  return (
    <Card size="2">
      <form className="stack" onSubmit={submit} aria-labelledby={title}>
        <h2 id={title} className="small-title">New session</h2>
        {problem === null ? null : <ProblemNote problem={problem} />}
        {clients === null && problem === null ? <Loading what="your clients" lines={1} /> : null}
        {clients?.length === 0 ? <Note>Your practice has no clients yet. An administrator takes them in.</Note> : null}
        {clients === null || clients.length === 0 ? null : (
          <label className="field">
            <Text size="2" weight="medium">Client</Text>
            <select className="native-select" required value={client} onChange={(event) => { setClient(event.target.value) }}>
              <option value="">Choose…</option>
              {clients.map((one) => <option key={one.userId} value={one.userId}>{one.name}</option>)}
            </select>
          </label>
        )}
        <ModeChoice mode={mode} choose={setMode} />
        <div className="row end">
          <Button type="button" variant="soft" color="gray" onClick={props.done}>Cancel</Button>
          <Button type="submit" loading={busy} disabled={client === '' || mode === null}>Make the session</Button>
        </div>
      </form>
    </Card>
  )
}

function ModeChoice(props: { readonly mode: SessionMode | null; readonly choose: (mode: SessionMode) => void }): ReactNode {
  const label = useId()
  const choose = (value: string): void => {
    props.choose(value === SessionMode.assisted ? SessionMode.assisted : SessionMode.strict)
  }
  return (
    <div className="field" role="group" aria-labelledby={label}>
      <Text size="2" weight="medium" id={label}>Who may read it</Text>
      <RadioGroup.Root value={props.mode ?? ''} onValueChange={choose} aria-labelledby={label}>
        <RadioGroup.Item value={SessionMode.assisted}>Watched: you two, and Vigil’s detector once the client consents</RadioGroup.Item>
        <RadioGroup.Item value={SessionMode.strict}>Private: you two alone. The detector runs on your devices, and alerts without the words; no suggestions</RadioGroup.Item>
      </RadioGroup.Root>
    </div>
  )
}
