package azure

import (
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
)

// maxTTL is Cosmos DB's: an int32 of seconds.
const maxTTL = 1<<31 - 1

// withTTL adds Cosmos's own ttl to a document: the seconds from now until a time in seconds since
// 1970, at least one. A value that is no such time adds nothing. It stands outside the content, so
// reading the document gives the same image.
//
// https://learn.microsoft.com/azure/cosmos-db/nosql/time-to-live
func withTTL(doc []byte, expires proa.Value, now time.Time) []byte {
	if expires.Kind != proa.KindN {
		return doc
	}
	at, err := strconv.ParseFloat(expires.Str, 64)
	if err != nil {
		return doc
	}
	left := at - float64(now.Unix())
	if left > maxTTL {
		return doc
	}
	ttl := strconv.FormatInt(int64(max(left, 1)), 10)
	return append(append(append(doc[:len(doc)-1:len(doc)-1], `,"ttl":`...), ttl...), '}')
}
