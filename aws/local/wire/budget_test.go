package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestABudgetHoldsLargeBodiesBackAndLetsSmallOnesThrough(t *testing.T) {
	budget := &Budget{Limit: 1 << 20}
	read := func(size int) (*BudgetedBody, error) {
		body := budget.Body(io.NopCloser(bytes.NewReader(make([]byte, size))))
		n, err := io.Copy(io.Discard, body)
		if err == nil && n != int64(size) {
			t.Errorf("read %d of %d bytes", n, size)
		}
		return body, err
	}
	first, err := read(900 << 10)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(900 << 10)
	if !errors.Is(err, ErrBudget) || !second.Exhausted {
		t.Errorf("the second large body: %v", err)
	}
	for range 100 {
		if _, err := read(freeBytes); err != nil {
			t.Fatalf("a small body: %v", err)
		}
	}
	second.Release()
	first.Release()
	third, err := read(900 << 10)
	if err != nil {
		t.Errorf("after the release: %v", err)
	}
	if third.Release(); budget.used.Load() != 0 {
		t.Errorf("%d bytes are lost", budget.used.Load())
	}
}
