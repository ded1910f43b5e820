/**
 * The database as the session's code sees it, in memory, with the refusals that the real triggers make. The real one is
 * tried by standin.test.ts; this one can lose answers at will.
 */
import { RequestError } from '../src/failure.ts'
import { rosterHash, parseRoster } from '../src/roster.ts'
import { decodeText, encodeText, sha256 } from '../src/bytes.ts'
import type { SessionDatabase } from '../src/database.ts'
import type { Device } from '../src/device.ts'
import type { NewEpoch } from '../src/epoch.ts'
import { signDevice, verifyDevice } from '../src/cross.ts'
import type {
  AttachmentInsert, ConsentRow, DeviceRow, DeviceSignatureRow, EpochRow, EpochShare, FormerWrapRow, Formers, HeldEpoch, MessageRow, ParticipantRow, ParticipantRole,
  ReaderRow, RecoveryKeyRow, ScoreInsert, ScoreRow, SealedMessage, SessionMode, SessionRow, SuggestionDecision, SuggestionRow, SuggestionSealRow,
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
  signatures: DeviceSignatureRow[]
  readers: ReaderRow[]
  formers: FormerWrapRow[]
  recoveryKeys: (RecoveryKeyRow & { readonly user_id: string })[]
  scores: ScoreRow[]
  attachments: AttachmentInsert[]
  refusals: { session_id: string; subject_table: string; subject_id: string; reason: string; user_id: string }[]
  /** Whether a sidecar runs that admits devices. */
  sidecar: boolean
}

export function newTables(mode: SessionRow['mode']): Tables {
  const session = {
    id: crypto.randomUUID(), organization_id: crypto.randomUUID(), mode, status: 'active', min_epoch: 1,
  } as const
  return {
    session, participants: [], devices: [], consents: [], epochs: [], wraps: [], messages: [], suggestions: [], seals: [], signatures: [],
    readers: [], formers: [], recoveryKeys: [], scores: [], attachments: [], refusals: [], sidecar: true,
  }
}

export function join(tables: Tables, role: ParticipantRole): string {
  const user_id = crypto.randomUUID()
  tables.participants.push({ session_id: tables.session.id, user_id, role, ended_at: null })
  return user_id
}

/** A device as it stands once admitted: as a first one if `by` is left out, whatever others there are. */
export function addDevice(tables: Tables, userId: string | null, device: Device, by: Device | null = null): void {
  const created_at = new Date(1790000000000 + tables.devices.length).toISOString()
  const first = userId === null ? 'sidecar' : 'first'
  tables.devices.push({
    id: device.kid, user_id: userId, kind: userId === null ? 'analysis' : 'participant', enc_pub: device.encPub,
    sig_pub: device.sigPub, created_at, revoked_at: null, label: null, admitted_at: created_at,
    admission: by === null ? first : 'signed', admitted_by: by?.kid ?? null, retired_at: null,
  })
}

/** A later device of a person, signed by one that they have, and admitted. */
export async function addSignedDevice(tables: Tables, userId: string, device: Device, by: Device): Promise<void> {
  addDevice(tables, userId, device, by)
  const row = tables.devices.find((one) => one.id === device.kid)
  if (row === undefined) throw new Error('the device is there')
  tables.signatures.push({
    id: crypto.randomUUID(), device_id: device.kid, user_id: userId, by_device_id: by.kid, signature: await signDevice(by, row),
    created_at: new Date().toISOString(), refused_at: null,
  })
}

/** What the sidecar does at each signature: admits the device, or refuses the signature. */
export async function runSidecar(tables: Tables): Promise<void> {
  for (const [i, given] of tables.signatures.entries()) {
    const row = tables.devices.find((one) => one.id === given.device_id)
    const by = tables.devices.find((one) => one.id === given.by_device_id)
    if (row === undefined || by === undefined || row.admitted_at !== null || given.refused_at !== null) continue
    if (!(await verifyDevice(row, by, given.signature))) {
      tables.signatures[i] = { ...given, refused_at: new Date().toISOString() }
      continue
    }
    const now = new Date().toISOString()
    tables.devices = tables.devices.map((one) => {
      if (one.id === row.id) return { ...one, admitted_at: now, admission: 'signed', admitted_by: by.id }
      const replaced = row.kind === 'recovery' && one.kind === 'recovery' && one.user_id === row.user_id && one.admitted_at !== null
      return replaced ? { ...one, revoked_at: one.revoked_at ?? now } : one
    })
    tables.session = { ...tables.session, min_epoch: tables.epochs.length + 1 }
  }
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

  ownDevices(userId: string): Promise<readonly DeviceRow[]> {
    return this.#call('ownDevices', () => this.#tables.devices.filter((row) => row.user_id === userId))
  }

  device(id: string): Promise<DeviceRow | undefined> {
    return this.#call('device', () => this.#tables.devices.find((row) => row.id === id))
  }

  insertDevice(row: { id: string; user_id: string; enc_pub: string; sig_pub: string; label: string | null }): Promise<void> {
    return this.#call('insertDevice', () => {
      const { devices } = this.#tables
      if (devices.some((one) => one.id === row.id)) throw new RequestError('register device', '23505', 409, 'doubled')
      const now = new Date().toISOString()
      const first = !devices.some((one) => one.user_id === row.user_id)
      devices.push({
        ...row, kind: 'participant', created_at: now, revoked_at: null, admitted_at: first ? now : null, admission: first ? 'first' : null,
        admitted_by: null, retired_at: null,
      })
      if (first) this.rotate()
    })
  }

  updateDevice(id: string, change: { readonly label: string } | { readonly revoked_at: string }): Promise<void> {
    return this.#call('updateDevice', () => {
      const tables = this.#tables
      tables.devices = tables.devices.map((row) => (row.id === id && row.user_id === this.#userId ? { ...row, ...change } : row))
      if ('revoked_at' in change) this.rotate()
    })
  }

  signatures(userIds: readonly string[]): Promise<readonly DeviceSignatureRow[]> {
    return this.#call('signatures', () =>
      this.#tables.signatures.filter((row) => row.refused_at === null && (row.user_id === null || userIds.includes(row.user_id))))
  }

  refusedSignatures(deviceId: string): Promise<number> {
    return this.#call('refusedSignatures', () =>
      this.#tables.signatures.filter((row) => row.refused_at !== null && row.device_id === deviceId).length)
  }

  admitRequest(row: Pick<DeviceSignatureRow, 'device_id' | 'user_id' | 'by_device_id' | 'signature'>): Promise<void> {
    return this.#call('admitRequest', async () => {
      const { devices, signatures } = this.#tables
      const device = devices.find((one) => one.id === row.device_id && one.user_id === this.#userId)
      const by = devices.find((one) => one.id === row.by_device_id && one.user_id === this.#userId)
      if (device === undefined || device.admitted_at !== null || device.revoked_at !== null || by?.admitted_at == null || by.revoked_at !== null) {
        throw new RequestError('vouch for device', 'VG011', 400, 'not between these two')
      }
      signatures.push({ ...row, id: crypto.randomUUID(), created_at: new Date().toISOString(), refused_at: null })
      if (this.#tables.sidecar) await runSidecar(this.#tables)
    })
  }

  resetDevices(deviceId: string): Promise<void> {
    return this.#call('resetDevices', () => {
      const tables = this.#tables
      const now = new Date().toISOString()
      tables.devices = tables.devices.map((row) => {
        if (row.id === deviceId) return { ...row, admitted_at: now, admission: 'reset' }
        return row.user_id === this.#userId ? { ...row, revoked_at: row.revoked_at ?? now } : row
      })
      this.rotate()
    })
  }

  readers(): Promise<readonly ReaderRow[]> {
    return this.#call('readers', () => [...this.#tables.readers])
  }

  heldEpochs(): Promise<readonly HeldEpoch[]> {
    return this.#call('heldEpochs', () => {
      const own = this.#tables.devices.filter((row) => row.user_id === this.#userId).map((row) => row.id)
      const held = this.#tables.wraps.filter((row) => own.includes(row.device))
      return held.map((row) => ({ session_id: this.#tables.session.id, epoch: row.epoch, device_id: row.device, wrap: row.wrap })).reverse()
    })
  }

  ownReaders(userId: string): Promise<readonly ReaderRow[]> {
    return this.#call('ownReaders', () => this.#tables.readers.filter((row) => row.user_id === userId && row.ended_at === null))
  }

  /** Keeps the wrap that is about to be replaced. */
  #keepFormer(epoch: number, deviceId: string): void {
    const { wraps, readers, formers } = this.#tables
    const wrap = wraps.find((row) => row.epoch === epoch && row.device === deviceId)?.wrap
    const row = readers.find((one) => one.epoch === epoch && one.device_id === deviceId)
    if (wrap === undefined || row === undefined) return
    const { session_id, by_device_id, signature, created_at } = row
    formers.push({ session_id, epoch, device_id: deviceId, by_device_id, signature, wrap, given_at: created_at })
  }

  formers(): Promise<Formers> {
    return this.#call('formers', () => ({ rows: [...this.#tables.formers], restore: this.#restoreEpochs.bind(this) }))
  }

  #restoreEpochs(deviceId: string, wanted: readonly FormerWrapRow[]): Promise<number> {
    return this.#call('formers', async () => {
      const tables = this.#tables
      let restored = 0
      for (const { epoch, signature } of wanted) {
        const former = tables.formers.find((row) => row.epoch === epoch && row.device_id === deviceId && row.signature === signature)
        if (former === undefined) continue
        tables.formers = tables.formers.filter((row) => row !== former)
        this.#keepFormer(epoch, deviceId)
        const { by_device_id, wrap, given_at: created_at } = former
        const changed = { by_device_id, signature, created_at, wrap_hash: encodeText(await sha256(decodeText(wrap))) }
        tables.wraps = tables.wraps.map((row) => (row.epoch === epoch && row.device === deviceId ? { ...row, wrap } : row))
        tables.readers = tables.readers.map((row) => (row.epoch === epoch && row.device_id === deviceId ? { ...row, ...changed } : row))
        restored++
      }
      return restored
    })
  }

  shareEpochs(deviceId: string, byDeviceId: string, shares: readonly EpochShare[]): Promise<number> {
    return this.#call('shareEpochs', async () => {
      const tables = this.#tables
      const { devices, participants } = tables
      const own = (id: string): DeviceRow | undefined =>
        devices.find((row) => row.id === id && row.user_id === this.#userId && row.admitted_at !== null && row.revoked_at === null)
      const to = own(deviceId)
      if (to === undefined || own(byDeviceId) === undefined) throw new RequestError('share epochs', 'VG011', 400, 'not between these two')
      const mine = participants.find((row) => row.user_id === this.#userId)?.role === 'client' ? 1 : 2
      let shared = 0
      for (const share of shares) {
        const held = (device: string): boolean => tables.wraps.some((row) => row.epoch === share.epoch && row.device === device)
        const there = tables.readers.find((row) => row.epoch === share.epoch && row.device_id === deviceId)
        const mends = there?.reason === 'history' && there.ended_at === null && there.signature !== share.signature
        if (!held(byDeviceId) || (held(deviceId) && !mends)) continue
        this.#keepFormer(share.epoch, deviceId)
        tables.wraps = tables.wraps.filter((row) => row.epoch !== share.epoch || row.device !== deviceId)
        tables.readers = tables.readers.filter((row) => row !== there)
        tables.wraps.push({ epoch: share.epoch, device: deviceId, wrap: share.wrap })
        tables.readers.push({
          session_id: share.session_id, epoch: share.epoch, device_id: deviceId, user_id: this.#userId,
          role: to.kind === 'recovery' ? 4 : mine, reason: 'history', alert_id: null, by_device_id: byDeviceId, signature: share.signature,
          wrap_hash: encodeText(await sha256(decodeText(share.wrap))),
          created_at: new Date().toISOString(), ended_at: null,
        })
        shared++
      }
      return shared
    })
  }

  recoveryKeys(): Promise<readonly RecoveryKeyRow[]> {
    return this.#call('recoveryKeys', () => this.#tables.recoveryKeys.filter((row) => row.user_id === this.#userId).toReversed())
  }

  setRecovery(
    device: { readonly id: string; readonly enc_pub: string; readonly sig_pub: string },
    signature: { readonly by_device_id: string; readonly signature: string },
    key: Omit<RecoveryKeyRow, 'device_id'>,
  ): Promise<void> {
    return this.#call('setRecovery', async () => {
      const tables = this.#tables
      this.#addRecoveryKey(device.id, key)
      tables.devices.push({
        ...device, user_id: this.#userId, kind: 'recovery', label: null, created_at: new Date().toISOString(), revoked_at: null,
        admitted_at: null, admission: null, admitted_by: null, retired_at: null,
      })
      tables.signatures.push({
        ...signature, id: crypto.randomUUID(), device_id: device.id, user_id: this.#userId, created_at: new Date().toISOString(), refused_at: null,
      })
      if (tables.sidecar) await runSidecar(tables)
    })
  }

  #addRecoveryKey(device_id: string, key: Omit<RecoveryKeyRow, 'device_id'>): void {
    const { recoveryKeys } = this.#tables
    const newest = Math.max(0, ...recoveryKeys.filter((row) => row.user_id === this.#userId).map((row) => row.version))
    if (key.version !== newest + 1) throw new RequestError('set recovery', 'PT409', 409, `the next version is ${newest + 1}`)
    recoveryKeys.push({ ...key, device_id, user_id: this.#userId })
  }

  rewrapRecovery(key: Omit<RecoveryKeyRow, 'device_id'>): Promise<void> {
    return this.#call('rewrapRecovery', () => {
      const live = this.#tables.devices.find(
        (row) => row.user_id === this.#userId && row.kind === 'recovery' && row.revoked_at === null && row.admitted_at !== null,
      )
      if (live === undefined) throw new RequestError('change passphrase', 'PT404', 404, 'no recovery key')
      this.#addRecoveryKey(live.id, key)
      const tables = this.#tables
      tables.recoveryKeys = tables.recoveryKeys.filter((row) => row.device_id !== live.id || row.version === key.version)
    })
  }

  removeRecovery(): Promise<void> {
    return this.#call('removeRecovery', () => {
      const tables = this.#tables
      tables.recoveryKeys = tables.recoveryKeys.filter((row) => row.user_id !== this.#userId)
      tables.devices = tables.devices.map((row) =>
        row.kind === 'recovery' && row.user_id === this.#userId ? { ...row, revoked_at: row.revoked_at ?? new Date().toISOString() } : row)
      this.rotate()
    })
  }

  insertScore(row: ScoreInsert): Promise<void> {
    return this.#call('insertScore', () => {
      const { messages, scores, session } = this.#tables
      const message = messages.find((one) => one.id === row.message_id)
      if (message === undefined || message.assisted) throw new RequestError('send score', 'VG026', 400, 'no strict message')
      if (scores.some((one) => one.message_id === row.message_id && one.side === row.side && one.signature === row.signature)) {
        throw new RequestError('send score', '23505', 409, 'doubled')
      }
      scores.push({
        ...row, session_id: session.id, organization_id: session.organization_id, epoch: message.epoch, position: message.position,
        user_id: this.#userId, disagrees: false, created_at: new Date().toISOString(),
      })
    })
  }

  scores(_: string, after: number): Promise<readonly ScoreRow[]> {
    return this.#call('scores', () =>
      this.#tables.scores.filter((row) => row.position > after).toSorted((a, b) => a.position - b.position))
  }

  insertAttachment(row: AttachmentInsert): Promise<void> {
    return this.#call('insertAttachment', () => {
      this.#tables.attachments.push(row)
    })
  }

  reportRefusal(session_id: string, subject_table: string, subject_id: string, reason: string): Promise<void> {
    return this.#call('reportRefusal', () => {
      const { refusals } = this.#tables
      const known = refusals.some((row) => row.subject_id === subject_id && row.reason === reason && row.user_id === this.#userId)
      if (!known) refusals.push({ session_id, subject_table, subject_id, reason, user_id: this.#userId })
    })
  }

  changeMode(_: string, mode: SessionMode): Promise<void> {
    return this.#call('changeMode', () => {
      this.#tables.session = { ...this.#tables.session, mode }
      this.rotate()
    })
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
