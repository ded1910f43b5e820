// Storage as Vigil's clients use it, through the real storage-js: private buckets, row-level security as the person.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { admin, ask, keyed, person, project, stranger, tokenOf, type Client, type Person } from './project.ts'

let ann: Person
let ben: Person

beforeAll(async () => {
  ann = await person()
  ben = await person()
})

const bucket = (of: Client) => of.storage.from('standin')
const binary = { contentType: 'application/octet-stream' }
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function bytesOf(of: Client, path: string): Promise<Uint8Array | string> {
  const { data, error } = await bucket(of).download(path)
  return data === null ? error.message : new Uint8Array(await data.arrayBuffer())
}

describe('objects', () => {
  test('come back as they went, as bytes and as a blob', async () => {
    for (const size of [0, 1, 65_535, 65_536, 99_999]) {
      const sent = new Uint8Array(randomBytes(size))
      const path = `${ann.id}/${randomUUID()}`
      const up = size % 2 === 0 ? await bucket(ann.client).upload(path, sent, binary) : await bucket(ann.client).upload(path, new Blob([sent], { type: binary.contentType }))
      expect(up.error).toBeNull()
      expect(up.data).toMatchObject({ path, fullPath: `standin/${path}` })
      const back = await bytesOf(ann.client, path)
      expect(typeof back === 'string' ? back : hash(back)).toBe(hash(sent))
    }
  })

  test('are not written over unless that is asked for, and allowed', async () => {
    const path = `${ann.id}/${randomUUID()}`
    expect((await bucket(ann.client).upload(path, 'first')).error).toBeNull()
    expect((await bucket(ann.client).upload(path, 'second')).error).toMatchObject({ statusCode: '409', message: 'The resource already exists' })
    // There is no policy for update: hosted refuses an upsert then, as here.
    expect((await bucket(ann.client).upload(path, 'third', { upsert: true })).error).toMatchObject({ statusCode: '403' })
    const byAdmin = await bucket(admin).upload(path, 'fourth', { upsert: true })
    expect(byAdmin.error).toBeNull()
    expect(await bytesOf(ann.client, path)).toEqual(new TextEncoder().encode('fourth'))
  })

  test('are listed a level at a time, and removed', async () => {
    const folder = `${ann.id}/listed`
    for (const name of ['b', 'a', 'deep/c', 'deep/d']) await bucket(ann.client).upload(`${folder}/${name}`, name)
    const list = await bucket(ann.client).list(folder)
    expect(list.data?.map((one) => [one.name, one.id === null])).toEqual([['deep', true], ['a', false], ['b', false]])
    expect((await bucket(ann.client).list(folder, { limit: 1, offset: 1 })).data?.map((one) => one.name)).toEqual(['a'])
    expect((await bucket(ann.client).list(`${folder}/deep`, { search: 'd' })).data?.map((one) => one.name)).toEqual(['d'])
    const gone = await bucket(ann.client).remove([`${folder}/a`, `${folder}/deep/c`, `${folder}/never`])
    expect(gone.data?.map((one) => one.name).sort()).toEqual([`${folder}/a`, `${folder}/deep/c`])
    expect(await bytesOf(ann.client, `${folder}/a`)).toBe('Object not found')
    expect((await bucket(ann.client).list(folder)).data?.map((one) => one.name)).toEqual(['deep', 'b'])
  })
})

describe('what is not one’s own', () => {
  test('is not put, seen, listed or removed', async () => {
    const path = `${ann.id}/secret`
    expect((await bucket(ann.client).upload(path, 'for ann')).error).toBeNull()
    expect((await bucket(ben.client).upload(`${ann.id}/planted`, 'x')).error).toMatchObject({
      status: 400, statusCode: '403', message: 'new row violates row-level security policy',
    })
    expect((await bucket(ben.client).download(path)).error).toMatchObject({ message: 'Object not found' })
    expect((await bucket(ben.client).list(ann.id)).data).toEqual([])
    // As on hosted: a remove that may not is no error, and removes nothing.
    expect(await bucket(ben.client).remove([path])).toMatchObject({ data: [], error: null })
    expect(await bytesOf(ann.client, path)).toEqual(new TextEncoder().encode('for ann'))
  })

  test('is seen where a policy shares it, and still not removed', async () => {
    const path = `${ann.id}/shared/one`
    await bucket(ann.client).upload(path, 'for all')
    expect(await bytesOf(ben.client, path)).toEqual(new TextEncoder().encode('for all'))
    expect((await bucket(ben.client).remove([path])).data).toEqual([])
    expect((await bucket(stranger()).download(path)).error).toMatchObject({ message: 'Object not found' })
    expect((await bucket(admin).remove([path])).data).toHaveLength(1)
    expect((await bucket(ann.client).download(path)).error).toMatchObject({ message: 'Object not found' })
  })

  test('a bucket without policies is closed to all but the secret key', async () => {
    const closed = (of: Client) => of.storage.from('standin-closed')
    expect((await closed(ann.client).upload(`${ann.id}/x`, 'x')).error).toMatchObject({ statusCode: '403' })
    expect((await closed(admin).upload('x/y', 'x', { upsert: true })).error).toBeNull()
    expect((await closed(ann.client).download('x/y')).error).toMatchObject({ message: 'Object not found' })
  })
})

describe('refusals', () => {
  test.each<[string, () => PromiseLike<{ error: unknown }>, object]>([
    ['a bucket that is not there', () => ann.client.storage.from('nowhere').upload('a', 'x'), { status: 400, statusCode: '404', message: 'Bucket not found' }],
    ['more than the bucket takes', () => bucket(ann.client).upload(`${ann.id}/big`, randomBytes(100_001), binary), { statusCode: '413', message: 'The object exceeded the maximum allowed size' }],
    ['a type the bucket does not take', () => bucket(ann.client).upload(`${ann.id}/page`, 'x', { contentType: 'text/html' }), { statusCode: '415', message: 'mime type text/html is not supported' }],
    ['a name with what no name has', () => bucket(ann.client).upload('a~b', 'x'), { statusCode: '400', message: 'Invalid key: a~b' }],
    ['nothing to remove', () => bucket(ann.client).remove([]), { status: 400 }],
  ])('%s', async (_, act, want) => {
    expect((await act()).error).toMatchObject(want)
  })

  test('nothing is kept of what was too large', async () => {
    await bucket(ann.client).upload(`${ann.id}/too-big`, randomBytes(100_001), binary)
    expect(await bytesOf(ann.client, `${ann.id}/too-big`)).toBe('Object not found')
  })

  test('a token that nobody signed, and none at all', async () => {
    const path = `/storage/v1/object/standin/${ann.id}/secret`
    const token = await tokenOf(ann.client)
    const forged = await ask(path, { headers: keyed(project.publishableKey, token.slice(0, -6) + 'AAAAAA') })
    expect(forged).toMatchObject({ status: 400, body: { statusCode: '403', error: 'Unauthorized' } })
    expect(await ask(path, { headers: keyed(project.publishableKey) })).toMatchObject({ status: 400, body: { error: 'not_found' } })
    expect((await ask(path)).status).toBe(401)
  })

  test.runIf(project.standin)('what is not here answers 501', async () => {
    expect((await bucket(ann.client).createSignedUrl(`${ann.id}/secret`, 60)).error).toMatchObject({ status: 501 })
    expect((await bucket(ann.client).move('a', 'b')).error).toMatchObject({ status: 501 })
    expect((await bucket(ann.client).update(`${ann.id}/secret`, 'x')).error).toMatchObject({ status: 501 })
    expect((await admin.storage.createBucket('other')).error).toMatchObject({ status: 501 })
  })
})
