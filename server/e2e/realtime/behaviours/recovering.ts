// What a client gets of the time when it was not there, and what it is told of it.
import type { Behaviour } from '../behaviour.ts'
import { fits } from '../fits.ts'
import { isRecovery, listen } from '../heard.ts'
import { again, cursorOf, subscribed } from '../world.ts'

const topic = 'session:recovering'

export const recovering: Behaviour[] = [
  {
    name: 'gets the newest since a time, as Supabase documents it, and hears how many it did not get',
    run: async (world) => {
      await world.allow('ann', topic)
      await world.order('publish', { Topic: topic, Event: 'message', Count: 30 })
      const heard = listen(await world.signedIn('ann/l1'), topic, { broadcast: { replay: { since: Date.now() - 60_000, limit: 10 } } })
      await subscribed(heard)
      for (let n = 20; n < 30; n++) fits(await heard.messages.next(), { payload: { n }, meta: { replayed: true } })
      fits(await heard.system.until(isRecovery), { recovered: false, code: 'ReplayTruncated', missed: 20 })
      await world.publish(topic, 30)
      fits(await heard.messages.next(), { payload: { n: 30 }, meta: { replayed: undefined } })
    },
  },
  {
    name: 'gets all 60 that it missed after its cursor when its connection broke, in order, once, before what is new',
    run: async (world) => {
      const replay = { since: Date.now(), limit: 25 }
      const heard = await world.joined('ann/l1', topic, { broadcast: { replay } })
      await heard.system.until(isRecovery)
      await world.publish(topic, -1)
      const { meta } = await heard.messages.next()
      cursorOf({ ...replay, after: meta.cursor }, heard.channel)
      await world.order('cut')
      await world.order('publish', { Topic: topic, Event: 'message', Count: 60 })
      let last = meta.seq
      for (let n = 0; n < 60; n++) {
        const message = await heard.messages.next()
        fits(message, { payload: { n }, meta: { prev: last, replayed: true } })
        last = message.meta.seq
      }
      fits(await heard.system.until(isRecovery), { status: 'ok', recovered: true, from: meta.seq, to: last, missed: 0 })
      await world.publish(topic, 60)
      fits(await heard.messages.next(), { payload: { n: 60 }, meta: { prev: last, replayed: undefined } })
      fits(heard.messages.length, 0)
    },
  },
  {
    name: 'is told that nothing is claimed of what it missed, if it names no cursor',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      await heard.system.until(isRecovery)
      await world.order('cut')
      await world.publish(topic, 1)
      await heard.states.until(again)
      fits(await heard.system.until(isRecovery), { status: 'ok', code: 'CursorMissing', recovered: false, missed: null })
      await world.publish(topic, 2)
      fits(await heard.messages.next(), { payload: { n: 2 } })
    },
  },
  {
    name: 'is told that a log made anew cannot be recovered',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic)
      await heard.system.until(isRecovery)
      await world.order('reset')
      fits(await heard.system.next(), { status: 'error', code: 'LogEpochChanged' })
      fits(await heard.states.next(), { status: 'CHANNEL_ERROR' })
      await heard.states.until(again)
      fits(await heard.system.until(isRecovery), { recovered: false, code: 'LogEpochChanged', missed: null })
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
    },
  },
  {
    name: 'is told that a cursor cannot be read',
    run: async (world) => {
      const heard = await world.joined('ann/l1', topic, { broadcast: { replay: { since: Date.now(), after: 'nonsense' } } })
      fits(await heard.system.until(isRecovery), { status: 'error', recovered: false, code: 'CursorInvalid', missed: null })
      await world.publish(topic, 1)
      fits(await heard.messages.next(), { payload: { n: 1 } })
    },
  },
]
