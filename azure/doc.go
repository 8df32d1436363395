// Package azure is the driver of the Azure region: Cosmos DB for NoSQL, Blob storage, Functions and Azure Monitor through the official
// SDKs, behind the interfaces of package cloud.
//
// It never knows what it faces: Azure itself, the local cloud of package azure/local, or any other endpoint that speaks the protocols.
// How an item becomes a Cosmos document is fixed in docs/adr/0002-cosmos-keys-and-types.md. Every call has a time-out, every
// retry a bound, and the vendor's error codes become the sentinels of package proa here and nowhere else.
package azure
