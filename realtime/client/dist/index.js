/**
 * Sealed chat beside supabase-js. `vigil(supabase, url)` makes this browser's device; `session(id)` gives the chat: `send`,
 * `open`, `on`, `consent`. Everything else (sign-in, tables, functions, channels) is plain supabase-js and realtime-js.
 */
export { vigil } from "./vigil.js";
export { TopicStatus } from "./topic.js";
export { DeviceChangedError, EnvelopeError, Refusal, RequestError, SessionError } from "./failure.js";
export { ConsentScope, signConsent, signWithdrawal, verifyConsent, verifyWithdrawal } from "./consent.js";
export { importDevice, makeDevice } from "./device.js";
export { makeEpoch, openEpoch } from "./epoch.js";
export { openMessage, parseContent, sealMessage, textContent } from "./message.js";
export { Role, parseRoster, rosterHash } from "./roster.js";
export { IndexedDbStore } from "./indexeddb.js";
export { MemoryStore } from "./store.js";
export { DeviceKind, ParticipantRole, SessionMode, SessionStatus, parseConsent, parseDevice, parseEpoch, parseMessage, parseParticipant, parseSession, } from "./rows.js";
