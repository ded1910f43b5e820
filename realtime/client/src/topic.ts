import { REALTIME_SUBSCRIBE_STATES, type RealtimeChannel, type RealtimeClient } from '@supabase/realtime-js'
import { fields, optionalText, text, type Fields } from './parse.ts'

/** A durable broadcast of the sidecar: the row that was committed, and its place in the log. */
export interface TopicEvent {
  readonly event: string
  /** The row; still unknown until its own parse function has seen it. */
  readonly row: Fields
}

export const TopicStatus = { joined: 'joined', waiting: 'waiting', ended: 'ended' } as const
/** joined; waiting for a connection or a grant, and trying by itself; ended by the server, for good. */
export type TopicStatus = (typeof TopicStatus)[keyof typeof TopicStatus]

export interface TopicListener {
  readonly event: (event: TopicEvent) => void
  readonly status: (status: TopicStatus) => void
  /** A message could not be read, or `event` threw. Nothing thrown reaches the socket, which it would end. */
  readonly failed: (thrown: unknown) => void
}

interface JoinConfig {
  readonly private: true
  readonly broadcast: { readonly ack: boolean; readonly self: boolean; readonly replay?: { readonly after: string } }
  readonly presence: { readonly key: string; readonly enabled: boolean }
  readonly postgres_changes: readonly never[]
}

function joinConfig(cursor: string | undefined): JoinConfig {
  return {
    private: true,
    broadcast: { ack: false, self: false, ...(cursor === undefined ? {} : { replay: { after: cursor } }) },
    presence: { key: '', enabled: false },
    postgres_changes: [],
  }
}

/**
 * One private topic over a plain RealtimeClient. Each broadcast's cursor goes into the payload of the next join, so that a
 * re-join is sent what it missed; the listener reads the tables anew on every `joined`, so nothing rests on that.
 */
export class Topic {
  readonly #client: RealtimeClient
  readonly #channel: RealtimeChannel
  readonly #listener: TopicListener
  #left = false

  constructor(client: RealtimeClient, name: string, listener: TopicListener) {
    this.#client = client
    this.#listener = listener
    this.#channel = client.channel(name, { config: { private: true } })
    this.#channel.on('broadcast', { event: '*' }, (message: unknown) => {
      this.#guard(() => {
        this.#hear(message)
      })
    })
    this.#channel.on('system', {}, (message: unknown) => {
      this.#guard(() => {
        this.#advance(message)
      })
    })
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
          break
        case REALTIME_SUBSCRIBE_STATES.CLOSED:
          this.#listener.status(TopicStatus.ended)
          break
        default:
          this.#listener.status(TopicStatus.waiting)
      }
    })
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
    this.#listener.event({ event: text(message, 'event'), row: fields(message['payload'], 'row') })
    if (message['meta'] !== undefined) this.#advance(message['meta']) // only past what was heard
  }

  /** Takes the cursor of a broadcast's meta, or of the message that says what a join recovered. */
  #advance(value: unknown): void {
    const cursor = optionalText(fields(value, 'meta'), 'cursor')
    if (cursor !== null) this.#channel.updateJoinPayload({ config: joinConfig(cursor) })
  }
}
