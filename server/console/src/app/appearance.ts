import { useSyncExternalStore } from 'react'

export const Appearance = { system: 'system', light: 'light', dark: 'dark' } as const
export type Appearance = (typeof Appearance)[keyof typeof Appearance]

/** The one thing the console keeps beside keys and the tab's login: light or dark. */
const key = 'vigil-appearance'
const listeners = new Set<() => void>()

export function chosenAppearance(): Appearance {
  const kept = readKept()
  return Object.values(Appearance).find((one) => one === kept) ?? Appearance.system
}

function readKept(): string | null {
  try {
    // eslint-disable-next-line no-restricted-properties -- it says nothing of anybody
    return window.localStorage.getItem(key)
  } catch {
    return null // storage may be switched off
  }
}

export function chooseAppearance(appearance: Appearance): void {
  try {
    // eslint-disable-next-line no-restricted-properties -- as above
    window.localStorage.setItem(key, appearance)
  } catch {
    // then it holds until the page is left
  }
  for (const listener of listeners) listener()
}

function subscribe(changed: () => void): () => void {
  const dark = window.matchMedia('(prefers-color-scheme: dark)')
  listeners.add(changed)
  dark.addEventListener('change', changed)
  return () => {
    listeners.delete(changed)
    dark.removeEventListener('change', changed)
  }
}

function inForce(): 'light' | 'dark' {
  const chosen = chosenAppearance()
  if (chosen !== Appearance.system) return chosen
  return window.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}

/** Light or dark, as chosen or as the system has it. */
export function useAppearance(): 'light' | 'dark' {
  return useSyncExternalStore(subscribe, inForce)
}

export function useChosenAppearance(): Appearance {
  return useSyncExternalStore(subscribe, chosenAppearance)
}
