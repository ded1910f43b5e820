import type { ReactNode } from 'react'
import { AppearanceSwitch } from '../ui/appearance-switch.tsx'
import { Mark } from '../ui/parts.tsx'

/** The page before one is in. */
export function Doorstep(props: { readonly children: ReactNode }): ReactNode {
  return (
    <div className="doorstep">
      <header className="doorstep-head">
        <span className="brand"><Mark size={32} /> Vigil</span>
        <AppearanceSwitch />
      </header>
      <main className="doorstep-body">{props.children}</main>
      <footer className="doorstep-foot">
        Messages are sealed on your device. Not clinically validated. In danger now? Call your local emergency number.
      </footer>
    </div>
  )
}
