import { REALTIME_SUBSCRIBE_STATES, type RealtimeChannel, type RealtimeClient } from '@supabase/realtime-js'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, flag, id, optionalText, text, whole, type Fields } from './parse.ts'

/** What each topic of a session tells of, by the noun of the row. */
export const TopicNouns = {
  session: ['message', 'arrival', 'session', 'participant', 'consent', 'epoch', 'reader', 'erasure'],
  care: ['assessment', 'alert', 'alert_event', 'suggestion', 'suggestion_deleted', 'suggestion_seal', 'score'],
} as const
export type TopicKind = keyof typeof TopicNouns
export type TopicNoun<Kind extends TopicKind> = (typeof TopicNouns)[Kind][number]

/** A durable broadcast of the sidecar: a row of this session that was committed. */
export interface TopicEvent<Noun extends string> {
  readonly event: Noun
  /** The row; but for its session still unknown until its own parse function has seen it. */
  readonly row: Fields
}

export const TopicStatus = { joined: 'joined', waiting: 'waiting', ended: 'ended' } as const
/** joined; waiting for a connection or a grant, and trying by itself; ended by the server, for good. */
export type TopicStatus = (typeof TopicStatus)[keyof typeof TopicStatus]

/** What a re-join says of the time the channel was away. */
export interface Recovery {
  /** Whether nothing can be missing. */
  readonly recovered: boolean
  /** How many entries were sent again. */
  readonly replayed: number
  /** How many are missing; null when nobody can know. */
  readonly missed: number | null
}

export interface TopicListener<Noun extends string> {
  readonly event: (event: TopicEvent<Noun>) => void
  readonly status: (status: TopicStatus) => void
  /** A message could not be read, or `event` threw. Nothing thrown reaches the socket, which it would end. */
  readonly failed: (thrown: unknown) => void
  /** Called after each join but the first. */
  readonly recovery?: (recovery: Recovery) => void
  /** Who is on the topic, by presence key: each client's own word. None while the channel is away. */
  readonly presence?: (keys: readonly string[]) => void
}

interface JoinConfig {
  readonly private: true
  readonly broadcast: { readonly ack: boolean; readonly self: boolean; readonly replay?: { readonly after: string } }
  readonly presence: { readonly key: string; readonly enabled: boolean }
  readonly postgres_changes: readonly never[]
}

function joinConfig(cursor: string, presenceKey: string): JoinConfig {
  return {
    private: true,
    broadcast: { ack: false, self: false, replay: { after: cursor } },
    presence: { key: presenceKey, enabled: presenceKey !== '' },
    postgres_changes: [],
  }
}

/**
 * Takes the meta of a durable broadcast; undefined if there is none. Only the server can set it (PROTOCOL.md): a broadcast
 * without is another client's, and tells of no row.
 */
function durableMeta(message: Fields): Fields | undefined {
  if (message['meta'] === undefined) return undefined
  const meta = fields(message['meta'], 'meta')
  const [seq, prev] = [whole(meta, 'seq'), whole(meta, 'prev')]
  const placed = prev >= 0 && seq > prev && text(meta, 'id') !== '' && text(meta, 'epoch') !== ''
  if (!placed) throw new EnvelopeError(Refusal.format, 'meta names no place in a log')
  return meta
}

/**
 * One private topic of a session over a plain RealtimeClient. What reaches the listener is a row of that session, of a noun of
 * that topic, and was committed. Each broadcast's cursor goes into the payload of the next join, so that a re-join is sent what
 * it missed; the listener reads the tables anew on every `joined`, so nothing rests on that.
 */
export class Topic<Noun extends string> {
  readonly #client: RealtimeClient
  readonly #channel: RealtimeChannel
  readonly #sessionId: string
  readonly #nouns: readonly Noun[]
  readonly #listener: TopicListener<Noun>
  readonly #presenceKey: string
  #replayed = 0
  #left = false

  private constructor(
    client: RealtimeClient, kind: TopicKind, sessionId: string, nouns: readonly Noun[], listener: TopicListener<Noun>, presenceKey = '',
  ) {
    this.#client = client
    this.#sessionId = sessionId
    this.#nouns = nouns
    this.#listener = listener
    this.#presenceKey = presenceKey
    const presence = { key: presenceKey, enabled: presenceKey !== '' }
    this.#channel = client.channel(`${kind}:${sessionId}`, { config: { private: true, presence } })
    this.#channel.on('broadcast', { event: '*' }, (message: unknown) => {
      this.#guard(() => {
        this.#hear(message)
      })
    })
    this.#channel.on('system', {}, (message: unknown) => {
      this.#guard(() => {
        this.#advance(message)
        this.#tell(message)
      })
    })
    if (presence.enabled) {
      this.#channel.on('presence', { event: 'sync' }, () => {
        this.#guard(() => this.#listener.presence?.(Object.keys(this.#channel.presenceState())))
      })
    }
  }

  /** The topic session:<id>: what everyone in the session may know. Under a presence key others see that its person is there. */
  static session(
    client: RealtimeClient, sessionId: string, listener: TopicListener<TopicNoun<'session'>>, presenceKey = '',
  ): Topic<TopicNoun<'session'>> {
    return new Topic(client, 'session', sessionId, TopicNouns.session, listener, presenceKey)
  }

  /** The topic care:<id>: what its clinicians may know. */
  static care(client: RealtimeClient, sessionId: string, listener: TopicListener<TopicNoun<'care'>>): Topic<TopicNoun<'care'>> {
    return new Topic(client, 'care', sessionId, TopicNouns.care, listener)
  }

  /** Joins, with a token in place: a join without one would be refused and tried again a second later. */
  async join(): Promise<void> {
    await this.#client.setAuth()
    if (this.#left) return
    this.#channel.subscribe((status) => {
      if (this.#left) return
      switch (status) {
        case REALTIME_SUBSCRIBE_STATES.SUBSCRIBED:
          this.#listener.status(TopicStatus.joined)
          if (this.#presenceKey !== '') void this.#channel.track({})
          break
        case REALTIME_SUBSCRIBE_STATES.CLOSED:
          this.#away(TopicStatus.ended)
          break
        default:
          this.#away(TopicStatus.waiting)
      }
    })
  }

  #away(status: TopicStatus): void {
    this.#replayed = 0
    this.#listener.presence?.([])
    this.#listener.status(status)
  }

  async leave(): Promise<void> {
    this.#left = true
    await this.#client.removeChannel(this.#channel)
  }

  #guard(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      this.#listener.failed(thrown)
    }
  }

  #hear(value: unknown): void {
    const message = fields(value, 'broadcast')
    const meta = durableMeta(message)
    if (meta === undefined) return
    if (meta['replayed'] === true) this.#replayed++
    const name = text(message, 'event')
    const event = this.#nouns.find((noun) => noun === name)
    if (event !== undefined) this.#listener.event({ event, row: this.#own(event, message['payload']) })
    this.#advance(meta) // only past what was heard
  }

  /** The row of a broadcast, if it is of this session. */
  #own(noun: Noun, value: unknown): Fields {
    const row = fields(value, noun)
    const sessionId = id(row, noun === 'session' ? 'id' : 'session_id')
    if (sessionId !== this.#sessionId.toLowerCase()) throw new EnvelopeError(Refusal.format, `${noun} is of another session`)
    return row
  }

  /** Takes the cursor of a broadcast's meta, or of the message that says what a join recovered. */
  #advance(value: unknown): void {
    const cursor = optionalText(fields(value, 'meta'), 'cursor')
    if (cursor !== null) this.#channel.updateJoinPayload({ config: joinConfig(cursor, this.#presenceKey) })
  }

  /** Passes on what the message after a re-join claims; after the first join it claims nothing. */
  #tell(value: unknown): void {
    const message = fields(value, 'system')
    if (message['extension'] !== 'recovery' || message['code'] === 'CursorMissing') return
    const missed = message['missed'] === null || message['missed'] === undefined ? null : whole(message, 'missed')
    this.#listener.recovery?.({ recovered: flag(message, 'recovered'), replayed: this.#replayed, missed })
    this.#replayed = 0
  }
}
