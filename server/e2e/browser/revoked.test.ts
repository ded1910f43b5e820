// A clinician whose membership ends is cut off at once, in the middle of a session.
import { expect, it } from 'vitest'
import { project } from '../standin/project.ts'
import { crisis, signIn, sql, staff, talk } from './people.ts'
import { channel, composer, conversation, expectConversation, heading, say, visible } from './screens.ts'
import { consoleURL, withBrowsers, type Seat } from './seats.ts'
import { withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

// The token that the page itself would send.
async function tokenIn(seat: Seat): Promise<string> {
  const login = await seat.page.evaluate(() => Object.entries(sessionStorage).find(([name]) => name.startsWith('vigil-login-')))
  const token = /"access_token":"([^"]+)"/.exec(String(login?.[1]))?.[1]
  if (token === undefined) throw new Error('nobody is signed in there')
  return token
}

async function readable(table: string, token: string): Promise<unknown> {
  const response = await fetch(`${project.url}/rest/v1/${table}?select=*`, { headers: { apikey: project.publishableKey, authorization: `Bearer ${token}` } })
  return response.ok ? response.json() : response.status
}

it('says so on the screen, shows nothing that comes after, and can read no row', async () => {
  const { id, clinic, client, clinician } = await talk(seats)
  await say(client, 'you can read this')
  await expectConversation(clinician, ['you can read this'])
  const token = await tokenIn(clinician)
  expect(await readable('messages', token)).toHaveLength(1)
  const supervisor = await staff(clinic.organization, 'supervisor', 'Sue')
  const watcher = await seats.sit('supervisor', 1)
  await signIn(watcher, supervisor)
  await watcher.page.goto(`${consoleURL}#/alerts`)
  await visible(channel(watcher, /^Channel: connected/))

  clinician.expecting(/status of 40[134]/)
  client.expecting(/status of 400/) // its next message is refused once: the epoch that the clinician holds is over
  await sql('update public.memberships set ended_at = now() where organization_id = $1 and user_id = $2', [clinic.organization, clinic.therapist.id])
  await visible(channel(clinician, /^Channel: closed by the server/))
  const heard = clinician.heardFrames.length

  await say(client, crisis)
  await visible(watcher.page.getByRole('article', { name: /^Alert:/ })) // it went through everything, and reached who may see it
  const [last] = await sql('select id from public.messages where session_id = $1 order by position desc limit 1', [id])
  expect(clinician.heardFrames.slice(heard).filter((frame) => frame.includes(String(last?.['id'])))).toEqual([])
  expect(clinician.heardFrames.filter((frame) => frame.includes(String(last?.['id'])))).toEqual([])
  expect((await conversation(clinician)).map((one) => one.text)).toEqual(['you can read this'])
  expect(await clinician.page.getByRole('article', { name: /^Alert:/ }).count()).toBe(0)
  await visible(clinician.page.getByText('You have no access to this session any more'))
  expect(await composer(clinician).count(), 'there is nothing to write in').toBe(0)

  for (const table of ['sessions', 'messages', 'assessments', 'alerts', 'epoch_wraps', 'suggestions', 'profiles', 'memberships']) {
    const rows = await readable(table, token)
    const others = Array.isArray(rows) ? rows.filter((row) => !JSON.stringify(row).includes(clinic.therapist.id)) : rows
    expect(Array.isArray(others) ? others : [], `${table} to who was cut off`).toEqual([])
  }
  await clinician.page.goto(`${consoleURL}#/sessions`)
  await clinician.page.reload()
  await visible(heading(clinician, 'Sessions'))
  await visible(clinician.page.getByText('You belong to no practice'))
})
