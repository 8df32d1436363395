// Package s3 is the S3 of the local AWS: an HTTP handler that speaks restXml to the official SDKs
// and tools, and a durable object store under it.
//
// Requests come in authenticated and with their body decoded by package sigv4. Bodies are streamed
// both ways, so memory is bounded whatever the size of an object.
//
// Guarantees. A write that has been answered with success is on stable storage: the body's file and
// its directory are fsynced before the metadata that refers to it is committed to Pebble with Sync;
// concurrent commits share one fsync. A crash leaves either the old object or the new one, never a
// part of either; files that nothing refers to are removed at the next start. Conditions (If-Match,
// If-None-Match) are decided and the write committed under one lock of the key. Listings are in
// byte order and see every write that was answered before they began.
//
// Do not put http.ServeMux in front of it: that rewrites paths such as "a//b" and "z/../w", which
// are keys here.
package s3
