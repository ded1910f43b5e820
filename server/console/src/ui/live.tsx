import { createContext, use, useCallback, useMemo, useState, type ReactNode } from 'react'

interface Announcer {
  /** Said when the screen reader has finished what it says. */
  readonly say: (text: string) => void
  /** Said at once: alerts only. */
  readonly warn: (text: string) => void
}

const silent: Announcer = { say: () => undefined, warn: () => undefined }
const AnnouncerContext = createContext<Announcer>(silent)

/** The page's two live regions. They stand from the beginning, for one that is added with its text is not read out. */
export function Announcements(props: { readonly children: ReactNode }): ReactNode {
  const [said, setSaid] = useState({ text: '', count: 0 })
  const [warned, setWarned] = useState({ text: '', count: 0 })
  const say = useCallback((text: string) => { setSaid((old) => ({ text, count: old.count + 1 })) }, [])
  const warn = useCallback((text: string) => { setWarned((old) => ({ text, count: old.count + 1 })) }, [])
  const announcer = useMemo(() => ({ say, warn }), [say, warn])
  return (
    <AnnouncerContext value={announcer}>
      {props.children}
      {/* The same words twice are two announcements: the key makes a new text node. */}
      <div className="visually-hidden" aria-live="polite" aria-atomic="true" data-testid="announcements"><span key={said.count}>{said.text}</span></div>
      <div className="visually-hidden" role="alert" aria-atomic="true" data-testid="warnings"><span key={warned.count}>{warned.text}</span></div>
    </AnnouncerContext>
  )
}

export function useAnnouncer(): Announcer {
  return use(AnnouncerContext)
}
