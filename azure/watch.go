package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/proa-cloud/proa"
)

// watch cancels a transfer when nothing moved for a while; the length of the transfer itself is not bounded.
type watch struct {
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
}

var errStalled = fmt.Errorf("the transfer stands still: %w", proa.ErrUnavailable)

func newWatch(ctx context.Context, after time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{after: after, cancel: cancel}
	w.timer = time.AfterFunc(after, func() { cancel(errStalled) })
	return ctx, w
}

// begin and pause bracket one wait for the other side; the time that our own caller takes in between does not count.
func (w *watch) begin() { w.timer.Reset(w.after) }

func (w *watch) pause() { w.timer.Stop() }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// body is an object's content under watch. Errors while reading are those of the driver.
type body struct {
	io.ReadCloser
	watch *watch
	fail  func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	b.watch.begin()
	n, err := b.ReadCloser.Read(p)
	b.watch.pause()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fail(err)
	}
	return n, err
}

func (b *body) Close() error {
	b.watch.stop()
	return b.ReadCloser.Close()
}
