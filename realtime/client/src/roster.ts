import { PointBytes, compare, concat, decodeSized, encodeText, label, sha256, uuidBytes, type Bytes } from './bytes.ts'
import { importEncPub, importSigPub } from './device.ts'
import { EnvelopeError, Refusal } from './failure.ts'
import { fields, id, list, text, whole } from './parse.ts'

/** What a device is in a roster; epoch_wraps.role has the same numbers. A recovery key holds epochs and does nothing else. */
export const Role = { client: 1, therapist: 2, onCall: 3, recovery: 4, analysis: 9 } as const
export type Role = (typeof Role)[keyof typeof Role]

const MaxRosterMembers = 64

/** One device of a roster, its keys checked to lie on the curve. */
export interface Member {
  readonly kid: string
  readonly role: Role
  readonly encPub: Bytes
  readonly sigPub: Bytes
  readonly encKey: CryptoKey
  /** undefined only for an analysis device without a signing key, as the first test vector has it. */
  readonly sigKey: CryptoKey | undefined
}

/** A member as session_epochs.roster holds it. */
export interface MemberJson {
  readonly kid: string
  readonly role: Role
  readonly enc_pub: string
  readonly sig_pub: string
}

export type Roster = readonly Member[]

/** Reads session_epochs.roster: every key on the curve, every kid once, every role known; else 'format'. */
export async function parseRoster(value: unknown): Promise<Roster> {
  const members = list(value, 'roster')
  if (members.length === 0 || members.length > MaxRosterMembers) {
    throw new EnvelopeError(Refusal.format, `roster of ${members.length} members`)
  }
  const roster = await Promise.all(members.map(parseMember))
  if (new Set(roster.map((member) => member.kid)).size !== roster.length) {
    throw new EnvelopeError(Refusal.format, 'a device is on the roster twice')
  }
  return roster
}

async function parseMember(value: unknown): Promise<Member> {
  const row = fields(value, 'member')
  const number = whole(row, 'role')
  const role = Object.values(Role).find((known) => known === number)
  if (role === undefined) throw new EnvelopeError(Refusal.format, `role ${number}`)
  const encPub = decodeSized('enc_pub', text(row, 'enc_pub'), PointBytes)
  const sigText = role === Role.analysis ? (row['sig_pub'] ?? '') : text(row, 'sig_pub')
  const unsigned = sigText === ''
  const sigPub = unsigned ? new Uint8Array(0) : decodeSized('sig_pub', text(row, 'sig_pub'), PointBytes)
  return {
    kid: id(row, 'kid'),
    role,
    encPub,
    sigPub,
    encKey: await importEncPub(encPub),
    sigKey: unsigned ? undefined : await importSigPub(sigPub),
  }
}

/** The roster as session_epochs.roster holds it. */
export function rosterJson(roster: Roster): MemberJson[] {
  return roster.map((member) => ({
    kid: member.kid,
    role: member.role,
    enc_pub: encodeText(member.encPub),
    sig_pub: encodeText(member.sigPub),
  }))
}

/** SHA-256 over the label and, by rising kid, kid ‖ role ‖ SHA-256(enc_pub) ‖ SHA-256(sig_pub). */
export async function rosterHash(roster: Roster): Promise<Bytes> {
  const members = await Promise.all(
    roster.map(async (member) => ({ id: uuidBytes(member.kid), bytes: await memberBytes(member) })),
  )
  members.sort((a, b) => compare(a.id, b.id))
  return sha256(concat(label('pe1/roster'), ...members.map((member) => member.bytes)))
}

async function memberBytes(member: Member): Promise<Bytes> {
  return concat(
    uuidBytes(member.kid),
    Uint8Array.of(member.role),
    await sha256(member.encPub),
    await sha256(member.sigPub),
  )
}

export function findMember(roster: Roster, kid: string): Member | undefined {
  return roster.find((member) => member.kid === kid)
}

/** Whether the roster holds an analysis key. */
export function isWatched(roster: Roster): boolean {
  return roster.some((member) => member.role === Role.analysis)
}

/** The member if it is a participant's device, which may make epochs and send; else 'roster'. */
export function participant(roster: Roster, kid: string): Member & { readonly sigKey: CryptoKey } {
  const member = findMember(roster, kid)
  if (member?.sigKey === undefined || (member.role !== Role.client && member.role !== Role.therapist)) {
    throw new EnvelopeError(Refusal.roster, `${kid} is no participant's device on the roster`)
  }
  return { ...member, sigKey: member.sigKey }
}

/** One hash over both keys of a member: what is pinned. */
export async function fingerprint(keys: { readonly encPub: Bytes; readonly sigPub: Bytes }): Promise<string> {
  return encodeText(await sha256(concat(label('pe1/pin'), keys.encPub, keys.sigPub)))
}
