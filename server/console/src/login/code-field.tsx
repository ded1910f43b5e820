import { Text, TextField } from '@radix-ui/themes'
import { useEffect, useId, useRef, type ReactNode } from 'react'

/** Six digits, as an authenticator shows them. */
export function CodeField(props: { readonly code: string; readonly change: (code: string) => void; readonly focus?: boolean }): ReactNode {
  const input = useRef<HTMLInputElement>(null)
  const hint = useId()
  useEffect(() => {
    if (props.focus === true) input.current?.focus()
  }, [props.focus])
  return (
    <label className="field">
      <Text size="2" weight="medium">Six-digit code</Text>
      <TextField.Root
        ref={input} size="3" className="code-field" inputMode="numeric" autoComplete="one-time-code" pattern="[0-9]{6}" maxLength={6} required
        aria-describedby={hint} value={props.code}
        onChange={(event) => { props.change(event.target.value.replace(/\D/g, '')) }}
      />
      <Text size="1" color="gray" id={hint}>From the authenticator app on your phone; it changes every 30 seconds.</Text>
    </label>
  )
}
