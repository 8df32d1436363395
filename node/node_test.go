package node

import (
	"context"
	"errors"
	"testing"
)

func TestANodeEndsWithItsNameServer(t *testing.T) {
	t.Parallel()
	broken := errors.New("the name server broke")
	err := answerLast(t.Context(), func(context.Context) error { return broken }, func(ctx context.Context) error {
		<-ctx.Done() // all else would go on
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}

func TestTheNameServerStopsLast(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	rest := false
	err := answerLast(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		if !rest {
			t.Error("the name server stopped while the rest ran")
		}
		return nil
	}, func(ctx context.Context) error {
		<-ctx.Done()
		rest = true
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
