package transfer_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/transfer"
)

// slow gives a byte after each wait, until its context ends.
type slow struct {
	ctx  context.Context
	wait time.Duration
	left int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.wait):
		s.left--
		return copy(p, "x"), nil
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}

func (s *slow) Close() error { return nil }

func named(err error) error { return errors.Join(errors.New("get o-1"), err) }

func TestATransferMayTakeLongButNotStandStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, w := transfer.New(t.Context(), time.Second)
		body := w.Body(&slow{ctx: ctx, wait: 900 * time.Millisecond, left: 100}, named)
		var buf [1]byte
		for range 100 {
			if _, err := body.Read(buf[:]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the reader's own time
		}
		if _, err := body.Read(buf[:]); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
		if err := body.Close(); err != nil || ctx.Err() == nil {
			t.Errorf("closed: %v, and its context %v", err, ctx.Err())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, w := transfer.New(t.Context(), time.Second)
		body := w.Body(&slow{ctx: ctx, wait: time.Hour, left: 1}, named)
		defer body.Close()
		begun := time.Now()
		_, err := io.ReadAll(body)
		if !errors.Is(err, transfer.ErrStalled) || !errors.Is(err, proa.ErrUnavailable) || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}
