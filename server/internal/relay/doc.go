// Package relay turns what was committed into what is sent: the sequencer derives TOPICS from LOG, the dispatcher gives
// TOPICS to the sockets in order, and History answers joins that ask for what they missed.
//
//	LOG ─▶ Sequencer: rows → entries (topic, event, payload) and revocations ─▶ TOPICS ─┬─▶ Dispatcher ─▶ Publish, Reauthorize, EndLogin
//	                                                                                  └─▶ History ─▶ replay after a cursor
//
// Guaranteed:
//   - One entry for each (row, topic), in commit order along each topic, through any crash: every entry carries its place
//     in LOG (sequence and part), and a sequencer begins after the last one that TOPICS has.
//   - TOPICS is a pure function of LOG since the last new epoch. A tail that TOPICS lost with a power cut is derived again with the
//     same sequences, ids and prevs. For that, an entry of LOG that yields nothing leaves a position entry.
//   - prev is the sequence of the topic's entry before, 0 for the first.
//   - When LOG no longer has what follows TOPICS' last place, TOPICS is emptied and begins a new epoch: nobody is
//     told that nothing was missed.
//   - Revocations are entries too, on a topic that nobody can join, ahead of the entries of their own transaction. A
//     dispatcher drops grants and stops the channels named before it publishes anything that was committed later.
//
// Not guaranteed: that a new snapshot of the database already shows the transaction that a revocation comes from (the log runs
// ahead of snapshots). Scope.XID is for that: whoever asks for a grant because of it looks whether it is visible, and else asks again.
//
// A logical message is a hint, for anyone signed in may emit one: it yields a Policy scope, which says that policies may
// have changed and nothing else.
package relay
