/**
 * Sealed chat beside supabase-js. `vigil(supabase, url)` makes this browser's device; `session(id)` gives the chat: `send`,
 * `open`, `on`, `consent`. Everything else (sign-in, tables, functions, channels) is plain supabase-js and realtime-js.
 */
export { vigil, type Vigil, type VigilOptions } from './vigil.ts'
export { DeviceState, ResetWords, type Devices, type OwnDevice, type VigilEvents, type WaitingDevice } from './devices.ts'
export type { HistoryState } from './history.ts'
export { safetyNumber } from './safety.ts'
export { signDevice, verifyDevice, type DeviceTerms } from './cross.ts'
export type { Session, SessionEntry } from './session.ts'
export type { Badge, ChatMessage, ModeChange, QueuedText, SendOptions, SessionEvents } from './chat.ts'
export type { Reader } from './readers.ts'
export type { Suggestion } from './suggestions.ts'
export { openSuggestion } from './later.ts'
export type { Undo } from './events.ts'
export { TopicStatus, type Recovery } from './topic.ts'
export { DeviceChangedError, EnvelopeError, Refusal, RequestError, SessionError } from './failure.ts'
export { ConsentScope, signConsent, signWithdrawal, verifyConsent, verifyWithdrawal } from './consent.ts'
export { importDevice, makeDevice, type Device } from './device.ts'
export { makeEpoch, openEpoch, type Epoch, type NewEpoch, type OpenOptions } from './epoch.ts'
export { openMessage, parseContent, sealMessage, textContent, type AttachedFile, type Content } from './message.ts'
export { Role, parseRoster, rosterHash, type Member, type Roster } from './roster.ts'
export { IndexedDbStore } from './indexeddb.ts'
export type { Pin, QueuedMessage, Store } from './store.ts'
export {
  DeviceKind, ParticipantRole, SessionMode, SessionStatus,
  SuggestionDecision, SuggestionSource, SuggestionStatus,
  parseConsent, parseDevice, parseEpoch, parseMessage, parseParticipant, parseSession, parseSuggestion, parseSuggestionSeal,
  type ConsentRow, type DeviceRow, type EpochRow, type MessageRow, type ParticipantRow, type SealedMessage, type SessionRow,
  type SuggestionRow, type SuggestionSealRow,
} from './rows.ts'
export type { // their columns and parsers: vigil-client/findings
  AlertEventRow, AlertRow, AssessmentRow, EvidenceRow, Level, SessionTopicsRow, TopicWeight,
} from './findings.ts'
