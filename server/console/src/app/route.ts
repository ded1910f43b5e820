import { useSyncExternalStore } from 'react'

/** Where one is. The part after # never reaches a server; ids in it are random, and nothing else of a session is in it. */
export type Route =
  | { readonly at: 'sessions' }
  | { readonly at: 'session'; readonly id: string }
  | { readonly at: 'alerts'; readonly id?: string }
  | { readonly at: 'practice' }
  | { readonly at: 'devices' }
  | { readonly at: 'signin'; readonly as: string }

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [first = '', second = ''] = path.split('/')
  if (first === 'signin') return { at: 'signin', as: new URLSearchParams(query).get('as') ?? '' }
  if (first === 'sessions' && uuid.test(second)) return { at: 'session', id: second.toLowerCase() }
  if (first === 'alerts') return uuid.test(second) ? { at: 'alerts', id: second.toLowerCase() } : { at: 'alerts' }
  if (first === 'devices') return { at: 'devices' }
  if (first === 'practice') return { at: 'practice' }
  return { at: 'sessions' }
}

export function linkTo(route: Route): string {
  if (route.at === 'session') return `#/sessions/${route.id}`
  if (route.at === 'signin') return `#/signin${route.as === '' ? '' : `?as=${encodeURIComponent(route.as)}`}`
  if (route.at === 'alerts' && route.id !== undefined) return `#/alerts/${route.id}`
  return `#/${route.at}`
}

export function goTo(route: Route): void {
  window.location.hash = linkTo(route)
}

function subscribe(changed: () => void): () => void {
  window.addEventListener('hashchange', changed)
  return () => {
    window.removeEventListener('hashchange', changed)
  }
}

/** The hash as it is; parse it where it is needed. */
export function useHash(): string {
  return useSyncExternalStore(subscribe, () => window.location.hash)
}
