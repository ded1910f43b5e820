// Package pipeline is the flow of one message: from the log, opened, assessed, and recorded with its alert.
//
//	LOG entries ──▶ read ──▶ admit ──▶ open, assess ──▶ record ──▶ position moves (ack)
//	                           │             │              │
//	                           │ gap         │ temporary    │ foreign key, or somebody else was first
//	                           ▼             ▼              ▼
//	                        parked sessions, caught up from the tables with backoff ◀── reconcile: at start, each minute
//
// A session is in one of two states, and moves between them without a message being able to fall between:
//
//	live ── gap, failure, found behind ──▶ parked ── the tables show nothing left up to the newest position seen ──▶ live
//
// A live session's messages are assessed from the log, in order, many sessions at once, all entries of one batch in one
// transaction. A parked session's messages are read from the tables; the log goes on for all others.
//
// Guarantees: every assisted message is assessed, or recorded as not assessed with the reason and an alert, exactly once in
// effect: the transaction that writes an assessment moves the session's progress from the message before, or writes nothing.
// A permanent cause is recorded at once; a temporary one after Config.GiveUpAfter, and blocks its session only. An outage of
// the database is waited for, and held against no message. What the log never had is found in the tables. A changed policy
// holds for the next message; a withdrawn consent is forgotten before anything committed later is opened. Plaintext does not
// leave the call that opened it: not into an error, a log line, a panic, or a value that outlives the call. Memory is bounded.
// Nothing here waits for a language model.
//
// Not guaranteed: that the clock of Config.GiveUpAfter survives a restart (it starts anew); that an alert reaches somebody
// (Stats.Unreached counts those of organisations that have nobody to be told).
package pipeline
