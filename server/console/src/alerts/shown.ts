import { useEffect, useRef } from 'react'
import type { Alerts } from './book.ts'

/** Brings the alert that the address names into sight once it is there, and not again when it changes. */
export function useShown(selected: string | null, alerts: Alerts): void {
  const shown = useRef<string | null>(null)
  useEffect(() => {
    if (selected === null || shown.current === selected || !alerts.has(selected)) return
    shown.current = selected
    const card = document.getElementById(`alert-${selected}`)
    card?.scrollIntoView({ block: 'center' })
    card?.focus({ preventScroll: true })
  }, [selected, alerts])
}
