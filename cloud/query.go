package cloud

import (
	"context"

	"github.com/proa-cloud/proa"
)

// Query asks for the items of one hash key in the order of their range keys. It is read-only and may be served by an
// eventually consistent replica; the zero bounds leave the range open.
type Query struct {
	Hash       proa.Value
	From, To   proa.Value // inclusive bounds of the range key
	Prefix     string     // range keys of kind S that start so; not together with From and To
	Descending bool
	Limit      int    // rows at most; 0 is the driver's default page
	Cursor     string // "" starts
}

// Querier is what a table with a range key can do beyond Table. Rows may be tombstone images.
type Querier interface {
	Query(ctx context.Context, q Query) (rows []Row, next string, err error)
}
