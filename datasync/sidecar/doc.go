// Package sidecar keeps, in a table of each region, what must outlive the node that owns data sync:
// how far that region's feeds have been captured, and which keys were deleted there.
//
// One row, the root, names the owner by its epoch. Every write of it is a compare-and-set of a token
// that all such writes change, so that of two owners one is refused, and the one with the lower epoch
// for ever. Deletes are kept in segments: rows that are written once, before the root's write that
// makes them count. What a stale owner wrote after its successor's claim counts for nothing.
//
// Nothing here is exactly-once: a segment may say again what another one says. A Sidecar is used by
// one goroutine at a time.
package sidecar
