// Package objects replicates a bucket between S3 and Blob storage by the rules of package resolve:
// a winner per object, conditional writes until both sides hold it, deletes remembered, losers
// kept.
//
// Changes are found by sweeping: each side is listed over and over and compared with the shadow
// index in order of name, so that only what is new costs a request. A change between two sweeps
// that was itself replaced before the second is not seen. An object that a listing lacks counts as
// deleted only if it was seen there before and Head agrees; a fresh shadow index deletes nothing.
//
// An object is equal to another if sizes, CRC-64/NVME, content types, content headers and
// metadata are. Contents are
// streamed in bounded memory, the checksum is computed on the way, and a stream that does not
// verify is not stored. The loser of a conflict is kept before it is written over: by its version
// ID where the bucket keeps versions, else by a copy under .proa/losers/ in the bucket where it
// was.
package objects
