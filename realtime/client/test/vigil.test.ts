/** What Vigil keeps of the sessions that it opened: nothing of those that never began, or are over. */
import { RealtimeClient } from '@supabase/realtime-js'
import { afterEach, expect, test, vi } from 'vitest'
import { MemoryStore } from '../src/memory.ts'
import { Session } from '../src/session.ts'
import { Topic } from '../src/topic.ts'
import { Vigil } from '../src/vigil.ts'
import { join } from './memory-database.ts'
import { SeatDatabase, World } from './seats.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function setup(): Promise<{ readonly world: World; readonly v: Vigil; readonly database: SeatDatabase }> {
  const world = await World.open()
  cleanUps.push(() => world.close())
  const userId = join(world.tables, 'client')
  const database = new SeatDatabase(world.tables, userId)
  const realtime = new RealtimeClient(`${world.server.url.replace('http', 'ws')}/realtime/v1`, {
    params: { apikey: 'key' }, accessToken: () => Promise.resolve('token'), reconnectAfterMs: () => 1,
  })
  const v = await Vigil.open({ realtime, userId, database, store: new MemoryStore(), account: userId })
  cleanUps.push(() => v.close())
  return { world, v, database }
}

test('a session that is closed is let go', async () => {
  const { world, v } = await setup()
  const close = vi.spyOn(Session.prototype, 'close')
  const first = await v.session(world.tables.session.id)
  await first.close()
  const second = await v.session(world.tables.session.id)
  await v.close()
  expect(close.mock.contexts).toEqual([first, second])
})

test('a session whose start fails is left again, whenever it fails', async () => {
  const { world, v, database } = await setup()
  const close = vi.spyOn(Session.prototype, 'close')
  vi.spyOn(Topic.prototype, 'join').mockRejectedValueOnce(new Error('no socket'))
  await expect(v.session(world.tables.session.id)).rejects.toThrow('no socket')
  expect(close).toHaveBeenCalledTimes(1)
  database.fail('session', 'before')
  await expect(v.session(world.tables.session.id)).rejects.toThrow('session')
  expect(close).toHaveBeenCalledTimes(2)
  await v.close()
  expect(close).toHaveBeenCalledTimes(2)
})

test('a session that opens while the login ends is none', async () => {
  const { world, v } = await setup()
  const close = vi.spyOn(Session.prototype, 'close')
  const opening = v.session(world.tables.session.id)
  await v.close()
  await expect(opening).rejects.toMatchObject({ reason: 'closed' })
  expect(close).toHaveBeenCalledTimes(1)
})
