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
import type { ConsentRow, DeviceRow, EpochRow, MessageRow, ParticipantRow, ParticipantRole, SealedMessage, SessionRow } from '../src/rows.ts'

type Method = keyof SessionDatabase

export interface Tables {
  session: SessionRow
  participants: ParticipantRow[]
  devices: DeviceRow[]
  consents: ConsentRow[]
  epochs: EpochRow[]
  wraps: { epoch: number; device: string; wrap: string }[]
  messages: MessageRow[]
}

export function newTables(mode: SessionRow['mode']): Tables {
  const session = {
    id: crypto.randomUUID(), organization_id: crypto.randomUUID(), mode, status: 'active', min_epoch: 1,
  } as const
  return { session, participants: [], devices: [], consents: [], epochs: [], wraps: [], messages: [] }
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
}
