import { CheckCircledIcon, ExclamationTriangleIcon, InfoCircledIcon } from '@radix-ui/react-icons'
import { Button, Callout, Skeleton, Text } from '@radix-ui/themes'
import { useEffect, useRef, type ReactNode } from 'react'
import type { Problem } from '../api/problem.ts'

/** What went wrong, and what to do next. */
export function ProblemNote(props: { readonly problem: Problem; readonly again?: (() => void) | undefined; readonly quiet?: boolean }): ReactNode {
  const { problem, again } = props
  return (
    <Callout.Root color="red" size="1" role={props.quiet === true ? undefined : 'alert'} className="note">
      <Callout.Icon><ExclamationTriangleIcon /></Callout.Icon>
      <div className="note-body">
        <Callout.Text><strong>{problem.title}.</strong> {problem.next} <span className="code">({problem.code})</span></Callout.Text>
        {again === undefined ? null : <Button size="1" variant="soft" color="red" onClick={again}>Try again</Button>}
      </div>
    </Callout.Root>
  )
}

export function Note(props: { readonly tone?: 'gray' | 'teal' | 'amber'; readonly icon?: ReactNode; readonly children: ReactNode; readonly actions?: ReactNode }): ReactNode {
  const { tone = 'gray' } = props
  const icon = props.icon ?? (tone === 'teal' ? <CheckCircledIcon /> : <InfoCircledIcon />)
  return (
    <Callout.Root color={tone} size="1" className="note">
      <Callout.Icon>{icon}</Callout.Icon>
      <div className="note-body">
        <Text as="div" size="2" className="rt-CalloutText">{props.children}</Text>
        {props.actions === undefined ? null : <div className="row">{props.actions}</div>}
      </div>
    </Callout.Root>
  )
}

/** There is nothing, and why, and what would bring something. */
export function Empty(props: { readonly icon: ReactNode; readonly title: string; readonly children: ReactNode; readonly action?: ReactNode }): ReactNode {
  return (
    <div className="empty">
      <span className="empty-icon" aria-hidden="true">{props.icon}</span>
      <Text as="p" size="3" weight="medium">{props.title}</Text>
      <Text as="p" size="2" color="gray">{props.children}</Text>
      {props.action}
    </div>
  )
}

/** Stands where lines will be. Read out once, not line by line. */
export function Loading(props: { readonly what: string; readonly lines?: number; readonly tall?: boolean }): ReactNode {
  const lines = Array.from({ length: props.lines ?? 3 }, (_, at) => at)
  return (
    <div role="status" className="stack">
      <span className="visually-hidden">Loading {props.what}…</span>
      {lines.map((at) => (
        <Skeleton key={at} className={props.tall === true ? 'bone tall' : 'bone'} aria-hidden="true" />
      ))}
    </div>
  )
}

/** A page's heading, which takes the focus when the page is opened: a screen reader says where one is. */
export function PageTitle(props: { readonly children: string; readonly hidden?: boolean }): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${props.children} · Vigil`
    heading.current?.focus({ preventScroll: true })
  }, [props.children])
  return <h1 ref={heading} tabIndex={-1} className={props.hidden === true ? 'visually-hidden' : 'title'}>{props.children}</h1>
}

export function Mark(props: { readonly size?: number }): ReactNode {
  const { size = 26 } = props
  return (
    <svg className="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" className="mark-ground" />
      <path d="M16 5.5c3.4 3.5 5.2 6.4 5.2 9.1a5.2 5.2 0 0 1-10.4 0c0-2.7 1.8-5.6 5.2-9.1Z" className="mark-figure" />
      <path d="M16 11.4c1.4 1.6 2.1 2.8 2.1 3.9a2.1 2.1 0 0 1-4.2 0c0-1.1.7-2.3 2.1-3.9Z" className="mark-ground" />
      <path d="M11 24.5h10" className="mark-line" />
    </svg>
  )
}
