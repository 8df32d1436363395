// Package objects replicates a bucket between S3 and Blob storage by the rules of package resolve:
// a winner per object, conditional writes until both sides hold it, deletes remembered, losers
// kept.
//
// Changes are found by notices where a side has a queue of them: a notice names an object, which is
// looked at and copied at once. A marker that is written now and then shows by its own notice that
// notices arrive. While they do, a sweep of the whole bucket, page by page, takes ten minutes and is a
// safety net; while they do not, and where there is no queue, sweeps follow one another. A sweep
// compares each page with the shadow index in order of name, so that only what is new costs a
// request, and goes on where the last process stopped. A change that was replaced before it was looked
// at is not seen. An object that a listing or a notice says is gone counts as deleted only if it was
// seen there before and Head agrees; a fresh shadow index deletes nothing.
//
// An object is equal to another if sizes, CRC-64/NVME, content types, content headers and
// metadata are. Contents are
// streamed in bounded memory, the checksum is computed on the way, and a stream that does not
// verify is not stored. Large objects cross in parts, and a transfer that ends in the middle goes on
// with the parts that are stored, also in another process. The loser of a conflict is kept before it is written over: by its version
// ID where the bucket keeps versions, else by a copy under .proa/losers/ in the bucket where it
// was.
package objects
