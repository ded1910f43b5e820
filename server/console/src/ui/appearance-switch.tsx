import { DesktopIcon, MoonIcon, SunIcon } from '@radix-ui/react-icons'
import { IconButton } from '@radix-ui/themes'
import type { ReactNode } from 'react'
import { Appearance, chooseAppearance, useChosenAppearance } from '../app/appearance.ts'

const next = { [Appearance.system]: Appearance.light, [Appearance.light]: Appearance.dark, [Appearance.dark]: Appearance.system } as const
const icons = { [Appearance.system]: <DesktopIcon />, [Appearance.light]: <SunIcon />, [Appearance.dark]: <MoonIcon /> } as const
const words = { [Appearance.system]: 'as the system', [Appearance.light]: 'light', [Appearance.dark]: 'dark' } as const

/** One button through system, light and dark: it says what is chosen and what comes next. */
export function AppearanceSwitch(): ReactNode {
  const chosen = useChosenAppearance()
  const label = `Appearance: ${words[chosen]}. Change to ${words[next[chosen]]}`
  return (
    <IconButton variant="ghost" color="gray" size="2" aria-label={label} title={label} onClick={() => { chooseAppearance(next[chosen]) }}>
      {icons[chosen]}
    </IconButton>
  )
}
