// Package bus keeps what was read from Postgres until everything that needs it has it: NATS JetStream, embedded in the
// process by default (no port is opened), or a NATS cluster when Config.URL is set.
//
// It holds three streams. LOG is the committed transactions in commit order, one subject. TOPICS is what the relay sends,
// a subject for each topic. STATE is a few small records by key: how far each consumer of LOG is, and whatever continuity
// records the app keeps. All of it is ciphertext and ids, and the embedded store is encrypted at rest (ChaCha20-Poly1305).
//
// Guaranteed:
//   - An acknowledged Append to LOG, and an acknowledged Put of a record, is on the disk (fsync) of an embedded store.
//     Of a cluster that is its own sync_interval, which must be `always`.
//   - Appends are pipelined, and each carries the last sequence that it expects: two writers cannot interleave, a retry
//     cannot double, and the sequence of an entry is known before it is sent. The first failure fails all appends after
//     it with the same cause; nothing is appended until Last is called, which reads where the stream really ends.
//   - LOG refuses new entries when it is full, or when the disk has less than Config.MinFree left: ErrFull. It never
//     drops an old entry that a durable has not passed, and never its last one.
//   - A durable's handler sees entries strictly in order, one call at a time; its position moves after the handler returned nil.
//     After a crash entries are seen again from the stored position, still in order.
//   - TOPICS keeps every topic's last entry, however old it is.
//   - After a write that failed (no space, an I/O error) Run starts the embedded streams again from their files, once there is
//     space; nothing acknowledged is lost, and readers go on.
//   - A store that cannot be opened (another key, damage) is renamed, not removed; Recreated tells.
//
// On a cluster it carries ephemeral frames between nodes, too: Peers, on a connection of its own, at most once and never stored.
//
// Not guaranteed: an acknowledged Append to TOPICS survives kill -9 or a power cut. TOPICS is written behind (persist mode
// `async`; one fsync for each entry would be the ceiling of the relay, 4,000 a second). It is a pure function of LOG, so the sequencer
// writes a lost tail again with the same sequences; Config.LogKeep keeps LOG's entries for longer than TOPICS may lag.
//
// Why positions are records in STATE and not JetStream's durable consumers: a durable consumer with more than one entry
// in flight delivers new entries before it redelivers those that a dead process had taken, so order is lost at each
// restart. Here every start reads LOG anew from the stored position. A position is written with the revision it expects,
// so a second process that runs the same durable stops with ErrTaken.
//
// Sources: docs.nats.io "JetStream Headers" (Nats-Expected-Last-Sequence), nats-server 2.15 ADR-31 (batched direct get).
package bus
