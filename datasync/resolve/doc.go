// Package resolve is the pure core of the replicator: one state machine a key, Step(state, now,
// input) → outputs, that captures changes of both sides, decides which is the winner, and says what
// must be written where until both sides hold it.
//
// It does no I/O, reads no clock, starts nothing and uses no randomness: same state, same inputs,
// same outputs. The shell must make a step's state durable, together with the checkpoint of the
// feed that the step came from, before it does what the step's outputs say; after a crash it steps
// with Restarted what was in flight. Steps of one key must not overlap.
//
// # Rules
//
// A change is ours if its envelope's hash matches its content, a recorded intent says that we wrote
// that version there, and the side's previous state is what that write was compared with. Every
// other change is a local write, whose parent is the side's previous state. Its version is
// max(time, parent+1, last assigned+1), where time is the event's, refined by a stamp that is
// within the skew bound of it. It conflicts when the winner is not its parent; then the higher
// version wins and the loser is put out whole. While a side differs from the winner, the winner is
// written there by compare-and-set, one write at a time. Deletes are written as a tombstone image,
// which is then purged, so that the feed tells our removals from others.
package resolve
