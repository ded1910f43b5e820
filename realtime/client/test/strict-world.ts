/** A strict session of two people for tests of StrictWatch: what each hears, and when, is the test's to say. */
import type { Badge, ChatMessage, SessionEvents } from '../src/chat.ts'
import { Clock } from '../src/clock.ts'
import type { Finding } from '../src/detect-module.ts'
import { makeDevice, type Device } from '../src/device.ts'
import { makeEpoch, type Epoch } from '../src/epoch.ts'
import { Refusal } from '../src/failure.ts'
import { Emitter, call, type Undo } from '../src/events.ts'
import type { Assessor } from '../src/fold.ts'
import { Role, parseRoster } from '../src/roster.ts'
import { ParticipantRole, type MessageRow, type ScoreInsert, type ScoreRow, type SessionRow } from '../src/rows.ts'
import { TopicStatus } from '../src/topic.ts'
import type { StrictSession } from '../src/strict.ts'
import { MemoryDatabase, addDevice, join, newTables, type Tables } from './memory-database.ts'

/**
 * Finds by words, and by what was before: the state is a hash of all texts in their order, so that any two that folded otherwise
 * find otherwise.
 */
export class WordDetector implements Assessor {
  asked = 0
  version = 'm-1'

  assess(text: string, state?: Uint8Array): Promise<Finding> {
    this.asked++
    let hash = state === undefined ? 7 : ((state[0] ?? 0) << 8) | (state[1] ?? 0)
    for (const letter of text) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) & 0xffff
    const grave = text.includes('grave')
    return Promise.resolve({
      level: grave ? 5 : 0, harmOthers: false, abuse: false, distress: grave, items: [0, grave ? 2 : 0, 0, 0, 0, 0],
      scores: [Math.fround(hash / 0xffff), 0, 0, grave ? 1 : 0], hard: grave ? ['self_harm'] : [], sentiment: 0, emotions: [], topics: ['work'], language: 'en',
      evidence: grave ? [{ rule: 'plan.grave', start: 0, end: 1 }, { rule: 'topic.work', start: 0, end: 1 }] : [], alert: grave, escalate: grave,
      model: this.version, ruleset: 'r-1', state: Uint8Array.of(hash >> 8, hash & 255),
    })
  }
}

/** Tells scores as the relay does, once they stand. */
class TellingDatabase extends MemoryDatabase {
  readonly #tables: Tables
  readonly #tell: (row: ScoreRow) => void

  constructor(tables: Tables, userId: string, tell: (row: ScoreRow) => void) {
    super(tables, userId)
    this.#tables = tables
    this.#tell = tell
  }

  override async insertScore(row: ScoreInsert): Promise<void> {
    await super.insertScore(row)
    const stored = this.#tables.scores.at(-1)
    if (stored !== undefined) this.#tell(stored)
  }
}

export class Seat implements StrictSession {
  readonly id: string
  readonly events = new Emitter<SessionEvents>()
  readonly shown: ChatMessage[] = []
  readonly database: MemoryDatabase
  readonly device: Device
  readonly userId: string
  readonly role: ParticipantRole
  /** How far this seat was told; more waits in the world's table. */
  told = 0
  readonly #world: World

  constructor(world: World, parts: { userId: string; role: ParticipantRole; device: Device }) {
    this.#world = world
    this.id = world.tables.session.id
    this.userId = parts.userId
    this.role = parts.role
    this.device = parts.device
    this.database = new TellingDatabase(world.tables, parts.userId, (row) => { world.tell(row) })
  }

  get row(): SessionRow {
    return this.#world.tables.session
  }

  get watched(): boolean {
    return this.row.mode === 'assisted'
  }

  get entry(): StrictSession['entry'] {
    const { userId, role, device, database } = this
    return { userId, role, device, database, clock: new Clock(), epoch: () => Promise.resolve(this.#world.epoch) }
  }

  on<Name extends keyof SessionEvents>(name: Name, listener: (value: SessionEvents[Name]) => void): Undo {
    const undo = this.events.on(name, listener)
    const first: { readonly [Event in keyof SessionEvents]?: (value: SessionEvents[Event]) => void } = { [name]: listener }
    if (first.message !== undefined) for (const message of this.shown) call(first.message, message)
    if (first.session !== undefined) call(first.session, this.row)
    if (first.status !== undefined) call(first.status, TopicStatus.joined)
    return undo
  }

  /** Stores a text as this seat's; it is told to nobody yet, but to the sender that it is stored. */
  send(text: string, options: { readonly quiet?: boolean; readonly from?: Device; readonly at?: Date } = {}): MessageRow {
    const row = this.#world.store(this, text, options)
    if (options.quiet !== true) this.events.emit('sent', { id: row.id, epoch: row.epoch, text })
    return row
  }

  /** Hears the next messages in their order: all there are, or so many. */
  hear(most = Infinity): void {
    for (const message of this.#world.messages(this).slice(this.told, this.told + most)) {
      this.told++
      this.shown.push(message)
      this.events.emit('message', message)
    }
  }
}

export class World {
  readonly tables: Tables
  readonly texts = new Map<string, string>()
  /** Messages that a seat's device cannot read. */
  readonly unread = new Set<string>()
  /** Messages that nobody can read: their rows are none. */
  readonly garbage = new Set<string>()
  readonly #seats: Seat[] = []
  readonly #at = new Map<string, Date>()
  epoch: Epoch
  client: Seat
  therapist: Seat

  private constructor(tables: Tables, epoch: Epoch, people: readonly { userId: string; role: ParticipantRole; device: Device }[]) {
    this.tables = tables
    this.epoch = epoch
    const [client, therapist] = people.map((one) => new Seat(this, one))
    if (client === undefined || therapist === undefined) throw new Error('two people are needed')
    this.client = client
    this.therapist = therapist
    this.#seats.push(client, therapist)
  }

  static async make(more: readonly Device[] = []): Promise<World> {
    const tables = newTables('strict')
    const people = []
    for (const role of [ParticipantRole.client, ParticipantRole.therapist]) {
      const one = { userId: join(tables, role), role, device: await makeDevice() }
      addDevice(tables, one.userId, one.device)
      people.push(one)
    }
    const members = [
      ...people.map(({ role, device }) => ({ device, role: role === ParticipantRole.client ? Role.client : Role.therapist })),
      ...more.map((device) => ({ device, role: Role.client })),
    ]
    const roster = await parseRoster(members.map(({ device, role }) => ({ kid: device.kid, role, enc_pub: device.encPub, sig_pub: device.sigPub })))
    const by = people[0]?.device ?? (await makeDevice())
    const { epoch } = await makeEpoch(by, { sessionId: tables.session.id, number: 1, roster, consentId: null })
    return new World(tables, epoch, people)
  }

  store(seat: Seat, text: string, options: { readonly from?: Device; readonly at?: Date }): MessageRow {
    const { messages, session } = this.tables
    const at = options.at ?? new Date()
    const row: MessageRow = {
      id: crypto.randomUUID(), session_id: session.id, sender_device_id: (options.from ?? seat.device).kid, epoch: 1, seq: messages.length, body: '',
      sender_id: seat.userId, position: messages.length + 1, assisted: session.mode === 'assisted', created_at: at.toISOString(),
    }
    messages.push(row)
    this.texts.set(row.id, text)
    this.#at.set(row.id, at)
    return row
  }

  messages(seat: Seat): ChatMessage[] {
    return this.tables.messages.map((row) => {
      const role = row.sender_id === this.client.userId ? ParticipantRole.client : ParticipantRole.therapist
      const from = { userId: row.sender_id, deviceId: row.sender_device_id, role, me: row.sender_id === seat.userId }
      const refusal = this.garbage.has(row.id) ? Refusal.signature : this.unread.has(row.id) ? Refusal.wrap : null
      const text = refusal === null ? (this.texts.get(row.id) ?? null) : null
      const badge: Badge | null = refusal === null ? null : { kind: 'unreadable', refusal }
      return {
        id: row.id, position: row.position, epoch: row.epoch, from, text, files: [], badges: badge === null ? [] : [badge], badge, watched: row.assisted, readers: [], missing: 0,
        at: this.#at.get(row.id) ?? new Date(),
      }
    })
  }

  /** Tells clinicians of a score. */
  tell(row: ScoreRow): void {
    for (const seat of this.#seats) if (seat.role === ParticipantRole.therapist) seat.events.emit('score', row)
  }

  /** Another visit of the same person's, on the same device unless it is said: nothing is known but what the tables hold. */
  again(seat: Seat, device = seat.device): Seat {
    const next = new Seat(this, { userId: seat.userId, role: seat.role, device })
    this.#seats[this.#seats.indexOf(seat)] = next
    return next
  }

  scoresOf(messageId: string): readonly ScoreRow[] {
    return this.tables.scores.filter((row) => row.message_id === messageId)
  }
}
