/**
 * The database as the session's code sees it, in memory, with the refusals that the real triggers make. The real one is
 * tried by standin.test.ts; this one can lose answers at will.
 */
import { RequestError } from '../src/failure.ts'
import { rosterHash, parseRoster } from '../src/roster.ts'
import { encodeText } from '../src/bytes.ts'
import type { SessionDatabase } from '../src/database.ts'
import type { Device } from '../src/device.ts'
import type { NewEpoch } from '../src/epoch.ts'
import type {
  ConsentRow, DeviceRow, EpochRow, MessageRow, ParticipantRow, ParticipantRole, SealedMessage, SessionRow, SuggestionDecision, SuggestionRow,
  SuggestionSealRow,
} from '../src/rows.ts'

type Method = keyof SessionDatabase

export interface Tables {
  session: SessionRow
  participants: ParticipantRow[]
  devices: DeviceRow[]
  consents: ConsentRow[]
  epochs: EpochRow[]
  wraps: { epoch: number; device: string; wrap: string }[]
  messages: MessageRow[]
  suggestions: SuggestionRow[]
  seals: SuggestionSealRow[]
}

export function newTables(mode: SessionRow['mode']): Tables {
  const session = {
    id: crypto.randomUUID(), organization_id: crypto.randomUUID(), mode, status: 'active', min_epoch: 1,
  } as const
  return { session, participants: [], devices: [], consents: [], epochs: [], wraps: [], messages: [], suggestions: [], seals: [] }
}

export function join(tables: Tables, role: ParticipantRole): string {
  const user_id = crypto.randomUUID()
  tables.participants.push({ session_id: tables.session.id, user_id, role, ended_at: null })
  return user_id
}

export function addDevice(tables: Tables, userId: string | null, device: Device): void {
  tables.devices.push({
    id: device.kid, user_id: userId, kind: userId === null ? 'analysis' : 'participant', enc_pub: device.encPub,
    sig_pub: device.sigPub, created_at: new Date(1790000000000 + tables.devices.length).toISOString(), revoked_at: null,
  })
}

export class MemoryDatabase implements SessionDatabase {
  readonly calls: Method[] = []
  readonly #tables: Tables
  readonly #userId: string
  readonly #faults: { method: Method; before: boolean; error: RequestError }[] = []
  /** Called before an epoch is stored: where a race puts another's first. */
  beforeEpoch: (() => Promise<void>) | undefined

  constructor(tables: Tables, userId: string) {
    this.#tables = tables
    this.#userId = userId
  }

  /** Lets the next call of the method fail: before it did anything, or after it did, so that the answer is lost. */
  fail(method: Method, when: 'before' | 'after', error = new RequestError(method, '', 0, 'no answer')): void {
    this.#faults.push({ method, before: when === 'before', error })
  }

  async #call<T>(method: Method, work: () => T | Promise<T>): Promise<T> {
    this.calls.push(method)
    const at = this.#faults.findIndex((fault) => fault.method === method)
    const fault = at < 0 ? undefined : this.#faults.splice(at, 1)[0]
    if (fault?.before === true) throw fault.error
    const result = await work()
    if (fault !== undefined) throw fault.error
    return result
  }

  session(): Promise<SessionRow | undefined> {
    return this.#call('session', () => this.#tables.session)
  }

  participants(): Promise<readonly ParticipantRow[]> {
    return this.#call('participants', () => [...this.#tables.participants])
  }

  devices(): Promise<readonly DeviceRow[]> {
    return this.#call('devices', () => [...this.#tables.devices])
  }

  device(id: string): Promise<DeviceRow | undefined> {
    return this.#call('device', () => this.#tables.devices.find((row) => row.id === id))
  }

  insertDevice(): Promise<void> {
    return this.#call('insertDevice', () => undefined)
  }

  consents(): Promise<readonly ConsentRow[]> {
    return this.#call('consents', () => [...this.#tables.consents])
  }

  insertConsent(row: Omit<ConsentRow, 'withdrawn_at' | 'withdrawal_signature'>): Promise<void> {
    return this.#call('insertConsent', () => {
      this.#tables.consents.push({ ...row, withdrawn_at: null, withdrawal_signature: null })
    })
  }

  withdrawConsent(id: string, signature: string): Promise<void> {
    return this.#call('withdrawConsent', () => {
      this.#tables.consents = this.#tables.consents.map((row) =>
        row.id === id ? { ...row, withdrawn_at: new Date().toISOString(), withdrawal_signature: signature } : row,
      )
      this.rotate()
    })
  }

  /** Raises min_epoch, as every trigger that takes access away does. */
  rotate(): void {
    this.#tables.session = { ...this.#tables.session, min_epoch: this.#tables.epochs.length + 1 }
  }

  epochs(): Promise<readonly EpochRow[]> {
    return this.#call('epochs', () => [...this.#tables.epochs])
  }

  wraps(_: string, device: string): Promise<ReadonlyMap<number, string>> {
    return this.#call('wraps', () => {
      const own = this.#tables.wraps.filter((row) => row.device === device)
      return new Map(own.map((row) => [row.epoch, row.wrap]))
    })
  }

  createEpoch(row: NewEpoch): Promise<void> {
    return this.#call('createEpoch', async () => {
      await this.beforeEpoch?.()
      const tables = this.#tables
      if (row.epoch !== tables.epochs.length + 1) throw new RequestError('create epoch', 'PT409', 409, 'the next epoch is another')
      const hash = encodeText(await rosterHash(await parseRoster(row.roster)))
      if (hash !== row.roster_hash) throw new RequestError('create epoch', 'VG005', 400, 'roster_hash')
      const { wraps, ...epoch } = row
      tables.epochs.push({ ...epoch, created_at: new Date().toISOString() })
      for (const [device, wrap] of Object.entries(wraps)) tables.wraps.push({ epoch: row.epoch, device, wrap })
    })
  }

  messagesAfter(_: string, position: number): Promise<readonly MessageRow[]> {
    return this.#call('messagesAfter', () => this.#tables.messages.filter((row) => row.position > position))
  }

  stored(id: string): Promise<SealedMessage | undefined> {
    return this.#call('stored', () => this.#tables.messages.find((row) => row.id === id))
  }

  lastSeq(_: string, device: string, epoch: number): Promise<number> {
    return this.#call('lastSeq', () => {
      const own = this.#tables.messages.filter((row) => row.sender_device_id === device && row.epoch === epoch)
      return Math.max(-1, ...own.map((row) => row.seq))
    })
  }

  insertMessage(m: SealedMessage): Promise<void> {
    return this.#call('insertMessage', () => {
      const { session, messages } = this.#tables
      if (session.status !== 'active') throw new RequestError('send', 'VG002', 400, 'the session is paused')
      const doubled = messages.some(
        (row) => row.id === m.id || (row.sender_device_id === m.sender_device_id && row.epoch === m.epoch && row.seq === m.seq),
      )
      if (doubled) throw new RequestError('send', '23505', 409, 'doubled')
      if (m.epoch < session.min_epoch) throw new RequestError('send', 'VG010', 400, 'epoch may not be used')
      const created_at = new Date().toISOString()
      const assisted = session.mode === 'assisted'
      messages.push({ ...m, sender_id: this.#userId, position: messages.length + 1, assisted, created_at })
    })
  }

  suggestions(): Promise<readonly SuggestionRow[]> {
    return this.#call('suggestions', () => [...this.#tables.suggestions])
  }

  suggestionSeals(_: string, device: string): Promise<readonly SuggestionSealRow[]> {
    return this.#call('suggestionSeals', () => this.#tables.seals.filter((row) => row.device_id === device))
  }

  requestSuggestion(): Promise<SuggestionRow> {
    return this.#call('requestSuggestion', () => {
      const { session, participants, messages, suggestions } = this.#tables
      if (session.mode === 'strict') throw new RequestError('request suggestion', 'VG020', 400, 'strict')
      const clients = participants.filter((row) => row.role === 'client').map((row) => row.user_id)
      const answered = messages.filter((row) => clients.includes(row.sender_id)).at(-1)
      if (answered === undefined) throw new RequestError('request suggestion', 'VG021', 400, 'no message')
      const open = suggestions.find((row) => row.message_id === answered.id && (row.status === 'requested' || row.status === 'offered'))
      if (open !== undefined) return open
      const made: SuggestionRow = {
        id: crypto.randomUUID(), session_id: session.id, message_id: answered.id, requested_by: this.#userId, status: 'requested', reason: null,
        source: null, move: null, bank_version: null, model: null, sent_message_id: null, decided_by: null, decided_at: null, version: 1,
        created_at: new Date().toISOString(),
      }
      suggestions.push(made)
      return made
    })
  }

  decideSuggestion(id: string, decision: SuggestionDecision, version: number, sent: string | null = null): Promise<SuggestionRow> {
    return this.#call('decideSuggestion', () => {
      const { messages, suggestions } = this.#tables
      const at = suggestions.findIndex((row) => row.id === id)
      const row = suggestions[at]
      if (row === undefined) throw new RequestError('decide suggestion', 'PT404', 404, 'no such suggestion')
      if (row.status !== 'offered' || row.version !== version) throw new RequestError('decide suggestion', 'PT409', 409, 'somebody was first')
      const known = messages.some((m) => m.id === sent && m.sender_id === this.#userId)
      if (decision !== 'rejected' && !known) throw new RequestError('decide suggestion', 'VG022', 400, 'no message')
      const decided = {
        ...row, status: decision, sent_message_id: decision === 'rejected' ? null : sent, decided_by: this.#userId,
        decided_at: new Date().toISOString(), version: version + 1,
      }
      suggestions[at] = decided
      return decided
    })
  }
}
