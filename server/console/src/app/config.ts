import { fields, json, list, text } from '../api/parse.ts'

export interface DemoPerson {
  readonly email: string
  readonly password: string
  readonly name: string
  readonly role: string
}

/** What config.json says: where the project and the sidecar are; the invented people, in development only. */
export interface Config {
  readonly supabaseUrl: string
  readonly publishableKey: string
  /** Always a whole URL: the page's own origin when config.json leaves it out. */
  readonly vigilUrl: string
  readonly demo: { readonly url: string; readonly people: readonly DemoPerson[] } | null
}

export function parsePeople(value: unknown): readonly DemoPerson[] {
  return list(value, 'people').map((one) => {
    const row = fields(one, 'person')
    return { email: text(row, 'email'), password: text(row, 'password'), name: text(row, 'name'), role: text(row, 'role') }
  })
}

export function parseConfig(value: unknown, origin: string): Config {
  const row = fields(value, 'config.json')
  const vigilUrl = text(row, 'vigilUrl')
  const demo = row['demo'] === null || row['demo'] === undefined ? null : fields(row['demo'], 'demo')
  return {
    supabaseUrl: text(row, 'supabaseUrl'),
    publishableKey: text(row, 'publishableKey'),
    vigilUrl: vigilUrl === '' ? origin : vigilUrl,
    demo: demo === null ? null : { url: text(demo, 'url'), people: parsePeople(demo['people']) },
  }
}

export async function readConfig(signal: AbortSignal): Promise<Config> {
  const response = await fetch('config.json', { signal, cache: 'no-store' })
  if (!response.ok) throw new Error(`config.json: ${response.status}`)
  return parseConfig(json(await response.text(), 'config.json'), window.location.origin)
}
