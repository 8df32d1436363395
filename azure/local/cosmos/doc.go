// Package cosmos is Azure Cosmos DB for NoSQL on this machine: the REST protocol that the official
// SDKs speak, durable on Pebble.
//
// A write is on stable storage before it is acknowledged, and a reader, a query or a change feed
// never sees one that is not. Within a physical partition the log sequence numbers follow the
// commit order, so a change feed never skips a change that commits later with a lower number.
// Requests are authenticated by the front (ResourceOf says what the signature covers); this package
// authenticates nothing.
//
// README.md says what is there, what is not and what may surprise.
package cosmos
