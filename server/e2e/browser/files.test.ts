// What leaves a device beside messages: files, sealed before they go to Storage, and an export, sealed before it is saved. Neither the
// words in them nor their names are anywhere else.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { expectAbsent } from '../path/canary.ts'
import { project } from '../standin/project.ts'
import { consent, say, button, expectConversation, visible } from './screens.ts'
import { sql, talk } from './people.ts'
import { withBrowsers, type Seat } from './seats.ts'
import { sidecar, withSidecar } from './stack.ts'

withSidecar()
const seats = withBrowsers()

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

interface Saved {
  name: string
  bytes: Uint8Array
  text: string
}

async function saved(seat: Seat, press: () => Promise<void>): Promise<Saved> {
  const [download] = await Promise.all([seat.page.waitForEvent('download'), press()])
  const file = readFileSync(await download.path())
  return { name: download.suggestedFilename(), bytes: new Uint8Array(file), text: file.toString('latin1') }
}

async function attach(seat: Seat, name: string, content: Uint8Array): Promise<void> {
  const [chooser] = await Promise.all([seat.page.waitForEvent('filechooser'), button(seat, 'Attach a file').click()])
  await chooser.setFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(content) })
  await visible(seat.page.getByRole('list', { name: 'Files to send' }).getByText(name))
}

it('a file is sealed here, opened there, and an export is sealed too: no word of either is anywhere else', async () => {
  const { id, client, clinician } = await talk(seats)
  await visible(consent(client))
  const word = `canary${randomUUID().replaceAll('-', '')}`
  const content = new TextEncoder().encode(`Diary: ${word}\n${randomBytes(100_000).toString('hex')}`)
  await attach(client, `${word}.txt`, content)
  await say(client, `My diary, ${word}.`)
  await expectConversation(clinician, [`My diary, ${word}.`])
  const file = clinician.page.getByRole('button', { name: new RegExp(`^${word}\\.txt 200 kB$`) })
  const opened = await saved(clinician, () => file.click())
  expect(opened.name).toBe(`${word}.txt`)
  expect(hash(opened.bytes)).toBe(hash(content))

  await clinician.page.getByText('More', { exact: true }).click()
  await button(clinician, 'Export this session').click()
  const passphrase = `seven ${word} bridges`
  for (const label of [/^Passphrase, 12/, /^The same again/]) await clinician.page.getByLabel(label).fill(passphrase)
  const exported = await saved(clinician, () => button(clinician, 'Save the file').click())
  expect(exported.name).toBe(`session-${id}.age`)
  expect(exported.text.slice(0, 21)).toBe('age-encryption.org/v1')

  const objects = await sql('select name, metadata from storage.objects where name like $1', [`${id}/%`])
  expect(objects).toHaveLength(1)
  const stored = await fetch(`${project.url}/storage/v1/object/sealed/${String(objects[0]?.['name'])}`, { headers: { apikey: project.secretKey } })
  const sealed = Buffer.from(await stored.arrayBuffer())
  expect(sealed.length, 'it is there, and larger than what was sealed').toBeGreaterThan(content.length)
  const wires = [client, clinician].flatMap((seat) => [...seat.asked, ...seat.sentFrames, ...seat.heardFrames])
  expectAbsent(word, 'a wire', wires)
  expectAbsent(word, 'the log', [readFileSync(sidecar.log, 'utf8')])
  expectAbsent(word, 'Storage or the export', [sealed.toString('latin1'), exported.text])
  expect(await everything(word), 'of all tables').toEqual([])
})

// Whatever the project's tables hold that has a word in it, in any column.
async function everything(secret: string): Promise<string[]> {
  const tables = await sql("select format('%I.%I', table_schema, table_name) as name from information_schema.tables where table_schema in ('public', 'private', 'storage') and table_type = 'BASE TABLE'")
  const found: string[] = []
  for (const { name } of tables) {
    const rows = await sql(`select to_jsonb(t)::text as row from ${String(name)} t where position($1 in to_jsonb(t)::text) > 0`, [secret])
    found.push(...rows.map((one) => String(one['row'])))
  }
  return found
}
