import type { Badge, ChatMessage } from './chat.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { openMessage, parseContent, type Content, type Seen } from './message.ts'
import { readersOf } from './readers.ts'
import { Role, findMember, isWatched } from './roster.ts'
import { ParticipantRole, type MessageRow } from './rows.ts'
import { SeenRows, VerifiedRows } from './seen.ts'
import type { Pins } from './pins.ts'
import type { Refused } from './refusals.ts'
import type { State } from './state.ts'

export interface TranscriptDeps {
  readonly userId: string
  readonly state: State
  readonly pins: Pins
  readonly refused: (refusal: Refused) => void
  readonly message: (message: ChatMessage) => void
  readonly changed: (message: ChatMessage) => void
}

/** How far the sender's clock may be from the database's without a word. */
const ClockMs = 10 * 60 * 1000

/** A row, judged: what is shown of it, what its sender says it had seen, and whether only its key is missing. */
interface Judged {
  readonly message: ChatMessage
  readonly seen: readonly Seen[]
  readonly locked: boolean
}

/** The messages of a session as they are shown: each row verified and opened, in its place, with its readers and its badges. */
export class Transcript {
  readonly #deps: TranscriptDeps
  readonly #shown: ChatMessage[] = []
  readonly #seen = new SeenRows()
  readonly #verified = new VerifiedRows()
  /** By position: rows of epochs that this device was not given the key of yet. */
  readonly #locked = new Map<number, MessageRow>()
  #opening: Promise<void> | undefined
  #readers = ''

  constructor(deps: TranscriptDeps) {
    this.#deps = deps
  }

  get shown(): readonly ChatMessage[] {
    return this.#shown
  }

  /** The last rows that were verified here: what the next message says that it follows. */
  get recent(): readonly Seen[] {
    return this.#seen.recent
  }

  /** Shows the next row of the session. */
  async deliver(row: MessageRow): Promise<void> {
    const judged = await this.#judge(row)
    await this.#openLocked() // what is above it comes first
    await this.#seen.shown(row, judged.message.text !== null)
    if (judged.locked && this.#deps.state.holds(row.epoch)) return this.deliver(row) // the key came meanwhile
    if (judged.locked) this.#locked.set(row.position, row)
    const whole = this.#compared(row, judged)
    this.#shown.push(whole)
    this.#deps.message(whole)
  }

  /** Holds a verified row against those that were shown before it; of any other nothing is believed. */
  #compared(row: MessageRow, { message, seen }: Judged): ChatMessage {
    if (message.text === null) return message
    const badges: Badge[] = [...message.badges]
    const { split, withheld } = this.#seen.compare(row, seen)
    const { missing, late } = this.#verified.follow(row)
    if (split.length > 0) badges.push(this.#doubt(row, 'split_view', split))
    if (withheld.length > 0) badges.push(this.#doubt(row, 'withheld', withheld))
    if (late) badges.push({ kind: 'out_of_order' })
    if (missing > 0) this.#deps.refused({ table: 'messages', id: row.id, reason: 'withheld' })
    return marked({ ...message, missing }, badges)
  }

  #doubt(row: MessageRow, kind: 'split_view' | 'withheld', positions: readonly number[]): Badge {
    this.#deps.refused({ table: 'messages', id: row.id, reason: kind })
    return { kind, positions }
  }

  /** Verifies and opens a row, wherever it comes from; what it follows is not compared. */
  async open(row: MessageRow): Promise<ChatMessage> {
    return (await this.#judge(row)).message
  }

  /** Looks again at what is shown, after the session was read anew: keys and readers may have come, or readers have gone. */
  async update(): Promise<void> {
    await this.#openLocked()
    const readers = JSON.stringify(this.#deps.state.readers)
    if (readers === this.#readers) return
    this.#readers = readers
    const { state } = this.#deps
    const known = await Promise.all(this.#shown.map(async (one) => (one.readers.length === 0 ? [] : readersOf(await state.reading(one.epoch), state))))
    const byPosition = new Map(this.#shown.map((one, i) => [one.position, known[i] ?? []]))
    this.#change((old) => {
      const now = byPosition.get(old.position) ?? old.readers
      return JSON.stringify(now) === JSON.stringify(old.readers) ? old : { ...old, readers: now }
    })
  }

  /** Opens, in their order, the rows whose keys have come. */
  #openLocked(): Promise<void> {
    this.#opening ??= this.#openEach().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openEach(): Promise<void> {
    for (const [position, row] of this.#locked) {
      if (!this.#deps.state.holds(row.epoch)) continue
      const judged = await this.#judge(row)
      if (!this.#locked.delete(position)) return // forgotten meanwhile
      const whole = this.#compared(row, judged)
      this.#change((old) => (old.position === position ? whole : old))
    }
  }

  /** A device was acknowledged: its messages need no mark for that any more. */
  acknowledged(deviceId: string): void {
    this.#change((old) => {
      const badges = old.badges.filter((one) => !('deviceId' in one) || one.deviceId !== deviceId)
      return badges.length === old.badges.length ? old : marked(old, badges)
    })
  }

  /** Forgets everything: the session is erased. */
  forget(): void {
    this.#shown.length = 0
    this.#locked.clear()
  }

  #change(change: (message: ChatMessage) => ChatMessage): void {
    for (const [i, old] of this.#shown.entries()) {
      const now = change(old)
      if (now === old) continue
      this.#shown[i] = now
      this.#deps.changed(now)
    }
  }

  /** Opens a row, or says why not. Throws only what may be otherwise a moment later. */
  async #judge(row: MessageRow): Promise<Judged> {
    const { state } = this.#deps
    const userId = state.devices.find((one) => one.id === row.sender_device_id)?.user_id ?? row.sender_id
    const from = { userId, deviceId: row.sender_device_id, role: null, me: userId === this.#deps.userId }
    const place = {
      id: row.id, position: row.position, epoch: row.epoch, watched: row.assisted, missing: 0, readers: [], files: [], text: null, from,
      badges: [], badge: null, at: new Date(row.created_at),
    }
    const refuse = (refusal: Refusal | 'replay', locked = false): Judged => ({
      message: marked(place, [{ kind: 'unreadable', refusal }]), seen: [], locked,
    })
    try {
      const { content, role, readers, watched } = await this.#open(row)
      if (this.#verified.isRepeated(row)) {
        this.#deps.refused({ table: 'messages', id: row.id, reason: 'split_view' })
        return refuse('replay')
      }
      if (watched !== row.assisted) this.#deps.refused({ table: 'messages', id: row.id, reason: 'mode' }) // what was signed holds
      const writtenAt = Math.abs(content.at.getTime() - place.at.getTime()) > ClockMs && { writtenAt: content.at }
      const message = { ...place, text: content.body, files: content.files, readers, watched, from: { ...from, role }, ...writtenAt }
      return { message: marked(message, await this.#strangeness(row.sender_device_id)), seen: content.seen, locked: false }
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError)) throw thrown
      const locked = thrown.refusal === Refusal.wrap && !state.holds(row.epoch) // nobody's fault: it was sent before this device was there
      if (!locked) this.#deps.refused({ table: 'messages', id: row.id, reason: thrown.refusal })
      return refuse(thrown.refusal, locked)
    }
  }

  async #open(row: MessageRow): Promise<{ content: Content; role: ParticipantRole } & Pick<ChatMessage, 'readers' | 'watched'>> {
    const epoch = await this.#deps.state.reading(row.epoch)
    const content = parseContent(await openMessage(epoch, row))
    const client = findMember(epoch.roster, row.sender_device_id)?.role === Role.client
    const role = client ? ParticipantRole.client : ParticipantRole.therapist
    return { content, role, readers: readersOf(epoch, this.#deps.state), watched: isWatched(epoch.roster) }
  }

  async #strangeness(deviceId: string): Promise<readonly Badge[]> {
    const { pins } = this.#deps
    if (await pins.isTrusted(deviceId)) return []
    const kind = pins.isUnsigned(deviceId) ? 'unsigned_device' : 'new_device'
    if (kind === 'unsigned_device') this.#deps.refused({ table: 'devices', id: deviceId, reason: 'device' })
    return [{ kind, deviceId }]
  }
}

function marked(message: ChatMessage, badges: readonly Badge[]): ChatMessage {
  return { ...message, badges, badge: badges[0] ?? null }
}
