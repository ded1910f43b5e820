import { Button } from '@radix-ui/themes'
import { useId, useLayoutEffect, useRef, type ReactNode } from 'react'

/**
 * Asks before something that cannot be taken back. The browser's own <dialog>: it holds the focus, gives it back, and ends with
 * Escape, without a style of its own that the page's policy would stop.
 */
export function Confirm(props: {
  readonly title: string
  readonly children: ReactNode
  /** None: it only shows something. */
  readonly action?: string
  readonly grave?: boolean
  /** While something in it is still to be filled in. */
  readonly disabled?: boolean
  readonly onConfirm?: () => void
  readonly onCancel: () => void
}): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null)
  const title = useId()
  useLayoutEffect(() => { // closed while it is still in the page: only then does the browser give the focus back
    const shown = dialog.current
    if (shown !== null && !shown.open) shown.showModal()
    return () => {
      shown?.close()
    }
  }, [])
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={title} onCancel={(event) => { event.preventDefault(); props.onCancel() }}>
      <h2 id={title}>{props.title}</h2>
      <div className="stack">{props.children}</div>
      <div className="row end">
        <Button variant="soft" color="gray" onClick={props.onCancel}>{props.action === undefined ? 'Close' : 'Cancel'}</Button>
        {props.action === undefined ? null : <Button color={props.grave === true ? 'red' : 'teal'} disabled={props.disabled === true} onClick={props.onConfirm}>{props.action}</Button>}
      </div>
    </dialog>
  )
}
