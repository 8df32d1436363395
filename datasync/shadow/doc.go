// Package shadow is the durable memory of the replicator on Pebble: per key the winner, what each
// side holds and the writes that may still land (resolve.State), and beside them the feeds'
// checkpoints, the queue of keys that await a write, the change log, the conflict journal and the
// announced writes.
//
// Everything that one batch of changes causes is committed in one Pebble batch: shadow, log,
// journal, checkpoint. So a checkpoint is never ahead of what it stands for, and after a crash at
// any point the feeds are read again from exactly where the shadow index stands. Batches become
// durable in the order in which they were made.
//
// Update returns before the batch is on stable storage; nothing may leave the process before the
// returned wait has. The queue lives on disk: with a side away for days, memory stays flat and the
// disk grows by one record for each key that changed.
package shadow
