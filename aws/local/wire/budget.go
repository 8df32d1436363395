package wire

import (
	"errors"
	"io"
	"sync/atomic"
)

// ErrBudget is what a read fails with once a Budget is used up.
var ErrBudget = errors.New("too many request bodies are in memory")

// freeBytes of each body are not counted, so that small requests get through whatever large ones do.
const freeBytes = 64 << 10

// Budget bounds how much of all request bodies is in memory at once. Only bytes that have come count: a peer must send them to use it
// up. It is safe for concurrent use.
type Budget struct {
	Limit int64 // bytes
	used  atomic.Int64
}

// Body counts what is read from a body, until it is released.
func (b *Budget) Body(body io.ReadCloser) *BudgetedBody {
	return &BudgetedBody{ReadCloser: body, budget: b, free: freeBytes}
}

// BudgetedBody is a body that fails with ErrBudget instead of taking more memory than there is.
type BudgetedBody struct {
	io.ReadCloser
	budget *Budget
	free   int64
	held   int64
	// Exhausted is set once a read has failed for want of budget.
	Exhausted bool
}

// Read reads a part of the body.
func (b *BudgetedBody) Read(p []byte) (int, error) {
	if b.Exhausted {
		return 0, ErrBudget
	}
	n, err := b.ReadCloser.Read(p)
	counted := max(int64(n)-b.free, 0)
	b.free -= int64(n) - counted
	b.held += counted
	if b.budget.used.Add(counted) > b.budget.Limit && counted > 0 {
		b.Exhausted = true
		return n, ErrBudget
	}
	return n, err
}

// Release gives back what the body has used. It is called once, when its bytes are no longer in memory.
func (b *BudgetedBody) Release() { b.budget.used.Add(-b.held) }
