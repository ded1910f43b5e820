import { EnvelopeError, Refusal } from './failure.ts'
import {
  SuggestionStatus, parseSuggestion, parseSuggestionSeal, type SuggestionDecision, type SuggestionRow, type SuggestionSealRow,
  type SuggestionSource,
} from './rows.ts'
import { parseErased } from './seldom-rows.ts'
import { openSuggestion } from './suggestion.ts'
import type { SessionDatabase } from './database.ts'
import type { Device } from './device.ts'
import type { Fields } from './parse.ts'

/** A drafted reply for the clinician: verified and opened, or the reason why not. It is never sent by itself. */
export interface Suggestion {
  readonly id: string
  /** The client's message that it answers. */
  readonly messageId: string
  /** Who asked; null: unasked. */
  readonly requestedBy: string | null
  readonly status: SuggestionStatus
  /** Why there is none, if it is not_made. */
  readonly reason: string | null
  readonly source: SuggestionSource | null
  /** The therapist's move that it is, by its id in the bank. */
  readonly move: string | null
  /** The model that wrote it, if one did. */
  readonly model: string | null
  /** null while there is none (requested, not_made, withdrawn), and when it cannot be read here. */
  readonly text: string | null
  /** Why a text that is there cannot be read: it is not sealed to this device (one that is newer than it), or it is refused. */
  readonly unreadable: 'not_sealed' | Refusal | null
  /** The clinician's own message that came of it. */
  readonly sentMessageId: string | null
  readonly decidedBy: string | null
  /** What `decide` asks for: the version that was seen. */
  readonly version: number
  readonly at: Date
}

export interface SuggestionsDeps {
  readonly id: string
  readonly device: Device
  readonly database: Pick<SessionDatabase, 'suggestions' | 'suggestionSeals' | 'requestSuggestion' | 'decideSuggestion'>
  /** The signing keys of the sidecar's devices that are trusted here; read anew, if fresh. */
  readonly signers: (fresh: boolean) => Promise<readonly CryptoKey[]>
  readonly changed: (suggestion: Suggestion) => void
  /** One that was told is no more. */
  readonly erased: (id: string) => void
}

const Textless: readonly SuggestionStatus[] = [SuggestionStatus.requested, SuggestionStatus.not_made, SuggestionStatus.withdrawn]

type Opened = Pick<Suggestion, 'text' | 'unreadable'>

/** The suggestions of one session, as this device can read them. */
export class Suggestions {
  readonly #deps: SuggestionsDeps
  readonly #rows = new Map<string, SuggestionRow>()
  readonly #seals = new Map<string, SuggestionSealRow>()
  readonly #opened = new Map<string, { readonly sealed: string; readonly text: string }>()
  readonly #shown = new Map<string, Suggestion>()
  /** Those whose seals were looked for in the table once: who has none is not asked again, but told when one comes. */
  readonly #looked = new Set<string>()
  readonly #erased = new Set<string>()
  /** One thing at a time, so that what is told of a suggestion never goes back. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(deps: SuggestionsDeps) {
    this.#deps = deps
  }

  /** What was told so far, oldest first. */
  get shown(): readonly Suggestion[] {
    return [...this.#shown.values()].sort((a, b) => a.at.getTime() - b.at.getTime() || a.id.localeCompare(b.id))
  }

  /** Reads all there are, tells what is new, and returns them, oldest first. */
  list(): Promise<readonly Suggestion[]> {
    return this.#then(async () => {
      await this.#read()
      return this.shown
    })
  }

  /** Asks for a suggestion on the client's last message: the one that is open already, or a new one, requested. */
  async request(): Promise<Suggestion> {
    return this.#took(await this.#deps.database.requestSuggestion(this.#deps.id))
  }

  /** Says what became of an offered one, at the version that was seen; accepted and edited name the message that was sent. */
  async decide(id: string, decision: SuggestionDecision, version: number, sentMessageId: string | null = null): Promise<Suggestion> {
    return this.#took(await this.#deps.database.decideSuggestion(id, decision, version, sentMessageId))
  }

  /** Takes a row of suggestions from the log. */
  hear(fields: Fields): Promise<void> {
    const row = parseSuggestion(fields)
    return this.#then(async () => {
      this.#keep(row)
      if (this.#unsealed(row)) await this.#read() // its seals are committed with it
      else if (!this.#erased.has(row.id)) await this.#tell(row.id)
    })
  }

  /** Takes from the log that a suggestion was erased: nothing of it stays here, and nothing later brings it back. */
  hearErased(fields: Fields): Promise<void> {
    const id = parseErased(fields)
    return this.#then(() => {
      this.#erase(id)
      return Promise.resolve()
    })
  }

  /** Takes a row of suggestion_seals from the log; those of other devices say nothing here. */
  hearSeal(fields: Fields): Promise<void> {
    const seal = parseSuggestionSeal(fields)
    if (seal.device_id !== this.#deps.device.kid) return Promise.resolve()
    return this.#then(async () => {
      if (this.#erased.has(seal.suggestion_id)) return
      this.#seals.set(seal.suggestion_id, seal)
      if (this.#rows.has(seal.suggestion_id)) await this.#tell(seal.suggestion_id) // else its suggestion is on the way
    })
  }

  #then<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined) // told to whoever asked for it
    return done
  }

  #took(row: SuggestionRow): Promise<Suggestion> {
    return this.#then(async () => {
      this.#keep(row)
      if (this.#unsealed(row)) await this.#read()
      return this.#tell(row.id)
    })
  }

  async #read(): Promise<void> {
    const { database, id, device } = this.#deps
    const rows = await database.suggestions(id)
    for (const seal of await database.suggestionSeals(id, device.kid)) this.#seals.set(seal.suggestion_id, seal)
    for (const row of rows) this.#keep(row)
    for (const row of this.#rows.values()) if (this.#unsealed(row)) this.#looked.add(row.id)
    for (const known of this.#rows.keys()) await this.#tell(known)
  }

  #erase(id: string): void {
    this.#erased.add(id)
    for (const kept of [this.#rows, this.#seals, this.#opened]) kept.delete(id)
    if (this.#shown.delete(id)) this.#deps.erased(id)
  }

  /** Keeps a row, unless a later version is known. */
  #keep(row: SuggestionRow): void {
    if (this.#erased.has(row.id)) return
    const known = this.#rows.get(row.id)
    if (known === undefined || known.version <= row.version) this.#rows.set(row.id, row)
  }

  #unsealed(row: SuggestionRow): boolean {
    return !Textless.includes(row.status) && !this.#seals.has(row.id) && !this.#looked.has(row.id) && !this.#erased.has(row.id)
  }

  /** Tells of a suggestion if anything of it is new, and returns it. */
  async #tell(id: string): Promise<Suggestion> {
    const row = this.#rows.get(id)
    if (row === undefined) throw new EnvelopeError(Refusal.format, `suggestion ${id} is not there`)
    const suggestion: Suggestion = {
      id,
      messageId: row.message_id, requestedBy: row.requested_by, status: row.status, reason: row.reason, source: row.source, move: row.move,
      model: row.model, sentMessageId: row.sent_message_id, decidedBy: row.decided_by, version: row.version, at: new Date(row.created_at),
      ...(await this.#open(row)),
    }
    if (JSON.stringify(suggestion) !== JSON.stringify(this.#shown.get(id))) {
      this.#shown.set(id, suggestion)
      this.#deps.changed(suggestion)
    }
    return suggestion
  }

  async #open(row: SuggestionRow): Promise<Opened> {
    if (Textless.includes(row.status)) return { text: null, unreadable: null }
    const seal = this.#seals.get(row.id)
    if (seal === undefined) return { text: null, unreadable: 'not_sealed' }
    const known = this.#opened.get(row.id)
    if (known?.sealed === seal.sealed) return { text: known.text, unreadable: null }
    const bound = { ...seal, session_id: row.session_id, message_id: row.message_id } // as the suggestion says, not the seal
    try {
      const text = await this.#verified(bound)
      this.#opened.set(row.id, { sealed: seal.sealed, text })
      return { text, unreadable: null }
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError)) throw thrown
      return { text: null, unreadable: thrown.refusal }
    }
  }

  async #verified(seal: SuggestionSealRow): Promise<string> {
    const { device, signers } = this.#deps
    try {
      return await openSuggestion(device, await signers(false), seal)
    } catch (thrown) {
      if (!(thrown instanceof EnvelopeError) || thrown.refusal !== Refusal.signature) throw thrown
      return openSuggestion(device, await signers(true), seal) // the sidecar may have a key that was not read yet
    }
  }
}
