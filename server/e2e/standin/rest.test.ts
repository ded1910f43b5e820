// What Vigil's clients ask of the REST API, through the real supabase-js.
import { beforeAll, describe, expect, test } from 'vitest'
import { admin, ask, keyed, person, project, stranger, tokenOf, type Person } from './project.ts'

const notes = 'standin_notes'

let ann: Person
let ben: Person

beforeAll(async () => {
  ann = await person()
  ben = await person()
  const { error } = await ann.client.from(notes).insert([
    { title: 'apple', tags: ['red', 'fruit'], data: { size: 3, where: { shelf: 'top' } }, score: 1, day: '2026-01-02' },
    { title: 'bread', tags: ['brown'], data: { size: 5 }, score: 2, day: null },
    { title: 'Cherry, dried', tags: ['red'], data: { size: 1, list: ['a', 'b'] }, score: 3, day: '2026-03-04' },
    { title: 'date', tags: [], data: {}, score: 4, day: '2026-05-06' },
  ])
  if (error) throw error
})

async function titles(query: PromiseLike<{ data: unknown; error: unknown }>): Promise<unknown[]> {
  const { data, error } = await query
  expect(error).toBeNull()
  if (!Array.isArray(data)) throw new Error('no rows')
  return data.map((row: unknown) => Reflect.get(Object(row), 'title') as unknown)
}

describe('reading', () => {
  const of = () => ann.client.from(notes)
  const sorted = (columns = 'title') => of().select(columns).order('id')

  test.each<[string, () => PromiseLike<{ data: unknown; error: unknown }>, string[]]>([
    ['eq', () => sorted().eq('title', 'apple'), ['apple']],
    ['neq', () => sorted().neq('title', 'apple'), ['bread', 'Cherry, dried', 'date']],
    ['gt and lte', () => sorted().gt('score', 1).lte('score', 3), ['bread', 'Cherry, dried']],
    ['gte and lt', () => sorted().gte('score', 2).lt('score', 3), ['bread']],
    ['like', () => sorted().like('title', '%rr%'), ['Cherry, dried']],
    ['ilike', () => sorted().ilike('title', 'c%'), ['Cherry, dried']],
    ['ilike any of', () => sorted().ilikeAnyOf('title', ['a%', 'B%']), ['apple', 'bread']],
    ['is null', () => sorted().is('day', null), ['bread']],
    ['not is null', () => sorted().not('day', 'is', null), ['apple', 'Cherry, dried', 'date']],
    ['in, with a comma in a value', () => sorted().in('title', ['Cherry, dried', 'date']), ['Cherry, dried', 'date']],
    ['in nothing', () => sorted().in('title', []), []],
    ['not in', () => sorted().not('score', 'in', '(1,2)'), ['Cherry, dried', 'date']],
    ['array contains', () => sorted().contains('tags', ['red']), ['apple', 'Cherry, dried']],
    ['array contained', () => sorted().containedBy('tags', ['brown', 'x']), ['bread', 'date']],
    ['array overlaps', () => sorted().overlaps('tags', ['brown', 'fruit']), ['apple', 'bread']],
    ['JSON contains', () => sorted().contains('data', { size: 5 }), ['bread']],
    ['a JSON path', () => sorted().eq('data->where->>shelf', 'top'), ['apple']],
    ['or', () => sorted().or('score.eq.1,title.eq."Cherry, dried"'), ['apple', 'Cherry, dried']],
    ['or of ands', () => sorted().or('and(score.gt.1,score.lt.3),not.and(score.lt.4)'), ['bread', 'date']],
    ['match', () => sorted().match({ title: 'date', score: 4 }), ['date']],
    ['order down', () => of().select('title').order('score', { ascending: false }), ['date', 'Cherry, dried', 'bread', 'apple']],
    ['order by two, nulls first', () => of().select('title').order('day', { nullsFirst: true }).order('id'), ['bread', 'apple', 'Cherry, dried', 'date']],
    ['limit', () => sorted().limit(2), ['apple', 'bread']],
    ['range', () => sorted().range(1, 2), ['bread', 'Cherry, dried']],
  ])('%s', async (_, query, wanted) => {
    expect(await titles(query())).toEqual(wanted)
  })

  test('columns are renamed, cast and picked from JSON', async () => {
    const { data, error } = await of().select('who:title, score::text, data->where->>shelf, size:data->size').eq('title', 'apple').single()
    expect(error).toBeNull()
    expect(data).toEqual({ who: 'apple', score: '1', shelf: 'top', size: 3 })
  })

  test('rows are counted, exactly and by plan', async () => {
    const exact = await of().select('*', { count: 'exact', head: true })
    expect(exact).toMatchObject({ error: null, count: 4, data: null, status: 200 })
    const page = await of().select('id', { count: 'exact' }).range(0, 1)
    expect(page).toMatchObject({ count: 4, status: 206 })
    for (const count of ['planned', 'estimated'] as const) {
      expect((await of().select('id', { count })).count).toBeGreaterThanOrEqual(1)
    }
  })

  test('one row, no row and several rows', async () => {
    expect((await of().select().eq('title', 'apple').single()).data).toMatchObject({ title: 'apple', owner: ann.id })
    const none = await of().select().eq('title', 'nothing').single()
    expect(none).toMatchObject({ status: 406, error: { code: 'PGRST116', details: 'The result contains 0 rows' } })
    const several = await of().select().single()
    expect(several).toMatchObject({ status: 406, error: { code: 'PGRST116', details: 'The result contains 4 rows' } })
    expect(await of().select().eq('title', 'nothing').maybeSingle()).toMatchObject({ data: null, error: null })
  })

  test('nobody reads what is not theirs, and the secret key reads all', async () => {
    expect(await titles(ben.client.from(notes).select('title'))).toEqual([])
    expect(await titles(admin.from(notes).select('title').eq('owner', ann.id))).toHaveLength(4)
  })

  test('a page is never larger than the server gives', async () => {
    const token = await tokenOf(ann.client)
    const { headers, status } = await ask(`/rest/v1/${notes}?select=id&order=id`, {
      headers: { ...keyed(project.publishableKey, token), range: '1-2', prefer: 'count=exact' },
    })
    expect(status).toBe(206)
    expect(headers.get('content-range')).toBe('1-2/4')
    const beyond = await ask(`/rest/v1/${notes}?select=id&offset=9`, { headers: { ...keyed(project.publishableKey, token), prefer: 'count=exact' } })
    expect(beyond).toMatchObject({ status: 416, body: { code: 'PGRST103', details: 'An offset of 9 was requested, but there are only 4 rows.' } })
  })
})

describe('writing', () => {
  const of = () => ben.client.from(notes)

  test('an insert answers nothing unless it is asked to', async () => {
    const quiet = await of().insert({ title: 'quiet' })
    expect(quiet).toMatchObject({ error: null, data: null, status: 201 })
    const told = await of().insert({ title: 'told' }).select('title, score, owner').single()
    expect(told).toMatchObject({ error: null, status: 201, data: { title: 'told', score: 7, owner: ben.id } })
    const many = await of().insert([{ title: 'm1' }, { title: 'm2' }], { count: 'exact' }).select('title')
    expect(many).toMatchObject({ error: null, count: 2, data: [{ title: 'm1' }, { title: 'm2' }] })
  })

  test('rows with different columns: null, or the default', async () => {
    const filled = await of().insert([{ title: 'd1' }, { title: 'd2', score: 9 }], { defaultToNull: false }).select('title, score')
    expect(filled.data).toEqual([{ title: 'd1', score: 7 }, { title: 'd2', score: 9 }])
    const emptied = await of().insert([{ title: 'd3' }, { title: 'd4', score: 9 }])
    expect(emptied).toMatchObject({ status: 400, error: { code: '23502' } })
  })

  test('an upsert merges or ignores', async () => {
    const first = await of().insert({ title: 'up', score: 1 }).select('id').single()
    expect(first.error).toBeNull()
    const on = { onConflict: 'owner,title' }
    const merged = await of().upsert({ owner: ben.id, title: 'up', score: 2 }, on).select('id, score').single()
    expect(merged).toMatchObject({ status: 200, data: { score: 2 } })
    const ignored = await of().upsert({ owner: ben.id, title: 'up', score: 3 }, { ...on, ignoreDuplicates: true }).select('score')
    expect(ignored).toMatchObject({ error: null, data: [] })
    const fresh = await of().upsert({ owner: ben.id, title: 'up2', score: 3 }, on).select('score').single()
    expect(fresh).toMatchObject({ status: 201, data: { score: 3 } })
  })

  test('an update and a delete change what is filtered', async () => {
    await of().insert([{ title: 'x1', score: 50 }, { title: 'x2', score: 50 }])
    const updated = await of().update({ score: 51, data: { a: [1] } }, { count: 'exact' }).eq('title', 'x1')
    expect(updated).toMatchObject({ error: null, status: 204, count: 1 })
    const told = await of().update({ score: 52 }).eq('title', 'x1').select('score, data')
    expect(told.data).toEqual([{ score: 52, data: { a: [1] } }])
    const gone = await of().delete({ count: 'exact' }).gte('score', 50)
    expect(gone).toMatchObject({ error: null, status: 204, count: 2 })
    expect((await of().delete().eq('title', 'x1').select()).data).toEqual([])
  })

  test('one row is demanded of a change, and the change is undone if it is not one', async () => {
    await of().insert([{ title: 'p1', score: 60 }, { title: 'p2', score: 60 }])
    const refused = await of().update({ score: 61 }).eq('score', 60).select().single()
    expect(refused).toMatchObject({ status: 406, error: { code: 'PGRST116' } })
    expect((await of().select('id', { count: 'exact', head: true }).eq('score', 60)).count).toBe(2)
    const bounded = await ask('/rest/v1/standin_notes?score=eq.60', {
      method: 'DELETE',
      headers: { ...keyed(project.publishableKey, await tokenOf(ben.client)), prefer: 'handling=strict, max-affected=1' },
    })
    expect(bounded).toMatchObject({ status: 400, body: { code: 'PGRST124', details: 'The query affects 2 rows' } })
  })
})

describe('functions', () => {
  test('arguments are named, and may have defaults', async () => {
    expect((await stranger().rpc('standin_add', { a: 1, b: 5 })).data).toBe(6)
    expect((await stranger().rpc('standin_add', { a: 1 })).data).toBe(3)
    expect((await stranger().rpc('standin_add', { a: 1 }, { get: true })).data).toBe(3)
  })

  test('role and claims are the caller’s, in one transaction', async () => {
    const mine = await ann.client.rpc('standin_claims')
    expect(mine.data).toMatchObject({ uid: ann.id, role: 'authenticated', current: 'authenticated', claims: { sub: ann.id, aal: 'aal1' } })
    expect((await stranger().rpc('standin_claims')).data).toMatchObject({ uid: null, role: 'anon', current: 'anon' })
    expect((await admin.rpc('standin_claims')).data).toMatchObject({ uid: null, role: 'service_role', current: 'service_role' })
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? ann : ben).client.rpc('standin_claims')))
    expect(all.map((one) => Reflect.get(Object(one.data), 'uid') as unknown)).toEqual(all.map((_, i) => (i % 2 === 0 ? ann : ben).id))
  })

  test('rows, one row, values and nothing', async () => {
    expect(await titles(ann.client.rpc('standin_mine').select('title').order('score').limit(1))).toEqual(['apple'])
    expect((await ann.client.rpc('standin_mine', {}, { count: 'exact' }).eq('score', 2)).count).toBe(1)
    expect((await ann.client.rpc('standin_one')).data).toMatchObject({ title: 'apple' })
    expect((await ann.client.rpc('standin_pairs').gt('n', 1).select('word')).data).toEqual([{ word: 'two' }, { word: 'three' }])
    expect((await ann.client.rpc('standin_pairs').eq('n', 1).single()).data).toEqual({ n: 1, word: 'one' })
    expect((await ann.client.rpc('standin_words')).data).toEqual(['one', 'two'])
    expect(await ann.client.rpc('standin_nothing')).toMatchObject({ status: 204, data: null, error: null })
  })

  test('a function that writes may be posted and not got', async () => {
    expect((await ann.client.rpc('standin_write', {}, { get: true })).error).toMatchObject({ code: '25006' })
    expect((await ann.client.rpc('standin_write')).error).toBeNull()
    await ann.client.from(notes).delete().eq('title', 'written')
  })

  test('a single unnamed argument is the body', async () => {
    expect((await ann.client.rpc('standin_body', { anything: [1] })).data).toEqual({ anything: [1] })
  })
})
