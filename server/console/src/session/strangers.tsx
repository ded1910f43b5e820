import { MobileIcon } from '@radix-ui/react-icons'
import { Button } from '@radix-ui/themes'
import { useState, type ReactNode } from 'react'
import { EnvelopeError, Refusal, type DeviceRow } from 'vigil-client'
import { problemOf, type Problem } from '../api/problem.ts'
import { linkTo } from '../app/route.ts'
import { Note, ProblemNote } from '../ui/parts.tsx'
import { useSafety } from './safety.tsx'
import { plainName } from './session-head.tsx'
import type { OpenSession, SessionStore, SessionView } from './session-store.ts'

/** What is new of one person, or of the detector (null): they are checked together, for their number covers all of them. */
export interface News {
  readonly owner: string | null
  readonly ids: readonly string[]
  readonly devices: readonly DeviceRow[]
}

export function newsOf(view: Pick<SessionView, 'strangers' | 'readers'>): readonly News[] {
  const found = new Map<string | null, News>()
  for (const id of view.strangers) {
    const device = view.readers.find((one) => one.id === id)
    const owner = device?.user_id ?? null
    const before = found.get(owner) ?? { owner, ids: [], devices: [] }
    found.set(owner, { owner, ids: [...before.ids, id], devices: device === undefined ? before.devices : [...before.devices, device] })
  }
  return [...found.values()]
}

/** Devices that appeared later, or have other keys: nothing is sent until somebody says that they are right. */
export function Strangers(props: { readonly store: SessionStore; readonly session: OpenSession; readonly view: SessionView; readonly me: string }): ReactNode {
  const { view, store, session } = props
  const [problem, setProblem] = useState<Problem | null>(null)
  const [unsigned, setUnsigned] = useState<readonly string[]>([])
  if (view.strangers.length === 0) return null
  const trust = async (ids: readonly string[]): Promise<void> => {
    setProblem(null)
    for (const id of ids) {
      try {
        await store.acknowledge(id, unsigned.includes(id))
      } catch (thrown) {
        if (thrown instanceof EnvelopeError && thrown.refusal === Refusal.pin) setUnsigned((old) => [...old, id])
        else setProblem(problemOf(thrown, 'trust the device'))
      }
    }
  }
  return (
    <section className="strangers" aria-label="New devices">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {newsOf(view).map((news) => (
        <Stranger key={news.owner ?? ''} news={news} session={session} view={view} me={props.me} unsigned={news.ids.some((id) => unsigned.includes(id))} trust={() => { void trust(news.ids) }} />
      ))}
    </section>
  )
}

/** What is new, in words: a recovery key is none that somebody could type on. */
export function newsWords(devices: readonly Pick<DeviceRow, 'kind'>[]): string {
  const keys = devices.filter((one) => one.kind === 'recovery').length
  const others = devices.length - keys
  const words = [
    ...(others > 0 || devices.length === 0 ? [others > 1 ? `${others} new devices` : 'a new device, or new keys'] : []),
    ...(keys > 0 ? ['a new recovery key'] : []),
  ]
  return words.join(', and ')
}

/** Whether it is the person who is new here: none of their devices is known, and they do not say that they lost them all. */
export function hasJoined(news: News, readers: SessionView['readers']): boolean {
  const known = readers.some((one) => one.user_id === news.owner && !news.ids.includes(one.id))
  return news.owner !== null && !known && !news.devices.some((one) => one.admission === 'reset')
}

/** How new devices are said to have come in. It is the database's word: this device checks the confirmation itself when the person trusts them. */
export function confirmationWords(devices: readonly Pick<DeviceRow, 'kind' | 'admission'>[]): string {
  if (devices.some((one) => one.kind === 'analysis')) return ''
  if (devices.length > 0 && devices.every((one) => one.admission === 'signed')) return 'A known device of theirs has confirmed it, which is checked here.'
  if (devices.some((one) => one.admission === 'reset')) return 'They say that they lost all their devices: none has confirmed it. Be sure that it is them.'
  return 'None of their known devices has confirmed it. Be sure that it is them.'
}

function Stranger(props: { readonly news: News; readonly session: OpenSession; readonly view: SessionView; readonly me: string; readonly unsigned: boolean; readonly trust: () => void }): ReactNode {
  const { news, session, view } = props
  const { owner } = news
  const digits = useSafety(session, owner, news.ids.join())
  const person = view.people.find((one) => one.userId === owner)
  const mine = owner === props.me
  const name = plainName(person?.name ?? 'Somebody')
  const whose = owner === null ? 'Vigil’s detector has' : mine ? 'You have' : `${name} has`
  const joined = !mine && hasJoined(news, view.readers)
  return (
    <Note
      tone="amber" icon={<MobileIcon />}
      actions={<Button size="2" color={props.unsigned ? 'red' : 'teal'} onClick={props.trust}>{props.unsigned ? 'I compared the number: trust it all the same' : 'It is right: trust it'}</Button>}
    >
      {props.unsigned ? <p role="alert"><strong>{news.devices.every((one) => one.admission === 'signed') ? 'Its confirmation does not hold.' : 'Nothing confirms it.'}</strong> No device that you know has signed for it: it may be somebody else’s. Compare the number before you trust it.</p> : null}
      <strong>{joined ? `${name} was added to this conversation.` : `${whose} ${newsWords(news.devices)}.`}</strong>{' '}
      {mine ? <>If you did not add it, remove it under <a href={linkTo({ at: 'devices' })}>Devices and recovery</a>.</> : joined ? 'Be sure that they belong here.' : confirmationWords(news.devices)} {joined ? 'Nothing is sent to them' : 'Nothing is sent to it'} until you have checked.
      {owner === null || mine ? null : <> By another way (a call), compare the safety number of you two, which they find in their session under More: <span className="digits">{digits}</span></>}
    </Note>
  )
}
