// A draft for the clinician, from what the client said to what was sent: sealed to this device, verified, and never sent by itself.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MemoryStore } from 'vigil-client/memory'
import type { Suggestion } from 'vigil-client'
import { closeAll, crisis, enter, sql, therapy, type Side } from './people.ts'
import { disconnectAll } from './socket.ts'

afterEach(async () => {
  await disconnectAll()
  await closeAll()
})

async function suggesting(organization: string, setting: 'off' | 'on_demand' | 'elevated'): Promise<void> {
  await sql('update public.organizations set suggestions = $2 where id = $1', [organization, setting])
}

function listen(side: Side): Suggestion[] {
  const heard: Suggestion[] = []
  side.chat.on('suggestion', (suggestion) => heard.push(suggestion))
  return heard
}

const patience = { timeout: 20_000 }

describe('a suggestion', () => {
  it('comes unasked after a crisis, opens here, and is accepted with what was sent', async () => {
    const { organization, id, clientSide, therapist, therapistSide } = await therapy('assisted')
    await suggesting(organization, 'elevated')
    const heard = listen(therapistSide)
    const theirs = listen(clientSide)
    const message = await clientSide.chat.send(crisis)
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ messageId: message, status: 'offered', source: 'bank', requestedBy: null, unreadable: null })
    }, patience)
    const offered = heard.at(-1)
    const text = offered?.text ?? ''
    expect(text.length).toBeGreaterThan(20)
    expect(await therapistSide.chat.suggestions.list()).toEqual([offered])
    expect(await clientSide.chat.suggestions.list()).toEqual([])

    const sent = await therapistSide.chat.send(text)
    const decided = await therapistSide.chat.suggestions.decide(offered?.id ?? '', 'accepted', offered?.version ?? 0, sent)
    expect(decided).toMatchObject({ status: 'accepted', sentMessageId: sent, text })
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ status: 'accepted', sentMessageId: sent })
      expect(clientSide.shown.at(-1)?.text).toBe(text)
    }, patience)
    expect(theirs).toEqual([])
    expect(therapistSide.errors).toEqual([])

    // A device that is newer than the draft cannot read it, and says so.
    const newer = await enter(therapist, id, new MemoryStore())
    expect(await newer.chat.suggestions.list()).toMatchObject([{ id: offered?.id, text: null, unreadable: 'not_sealed' }])
  })

  it('is made when asked for, is another after a rejection, and is withdrawn when they are turned off', async () => {
    const { organization, clientSide, therapistSide } = await therapy('assisted')
    const heard = listen(therapistSide)
    await expect(therapistSide.chat.suggestions.request()).rejects.toMatchObject({ code: 'VG019' })
    await suggesting(organization, 'on_demand')
    await expect(therapistSide.chat.suggestions.request()).rejects.toMatchObject({ code: 'VG021' })
    await clientSide.chat.send('I cannot sleep, I lie awake all night.')
    const first = await therapistSide.chat.suggestions.request()
    expect(first).toMatchObject({ text: null, unreadable: null })
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ id: first.id, status: 'offered' })
    }, patience)
    const offered = heard.at(-1)
    await therapistSide.chat.suggestions.decide(first.id, 'rejected', offered?.version ?? 0)
    await expect(therapistSide.chat.suggestions.decide(first.id, 'rejected', offered?.version ?? 0)).rejects.toMatchObject({ code: 'PT409' })
    const second = await therapistSide.chat.suggestions.request()
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ id: second.id, status: 'offered' })
    }, patience)
    expect(heard.at(-1)?.text).not.toBe(offered?.text)
    await suggesting(organization, 'off')
    await vi.waitFor(() => {
      expect(heard.at(-1)).toMatchObject({ id: second.id, status: 'withdrawn', text: null })
    }, patience)
    await expect(clientSide.chat.suggestions.request()).rejects.toMatchObject({ code: '42501' })
  })

  it('is not for a session that nobody watches', async () => {
    const { organization, clientSide, therapistSide } = await therapy('strict')
    await suggesting(organization, 'elevated')
    const heard = listen(therapistSide)
    await clientSide.chat.send(crisis)
    await expect(therapistSide.chat.suggestions.request()).rejects.toMatchObject({ code: 'VG020' })
    expect(heard).toEqual([])
  })
})
