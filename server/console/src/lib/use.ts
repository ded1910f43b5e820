import { createContext, use } from 'react'
import type { Config } from '../app/config.ts'
import type { Login, Me } from '../login/login.ts'

/** What every screen behind the sign-in may use. */
export interface Desk {
  readonly config: Config
  readonly login: Login
  readonly me: Me
}

export const DeskContext = createContext<Desk | null>(null)

export function useDesk(): Desk {
  const desk = use(DeskContext)
  if (desk === null) throw new Error('useDesk: nobody is signed in')
  return desk
}
