// Package transfer bounds how long a transfer of any length may stand still, for the drivers of both clouds.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/proa-cloud/proa"
)

// ErrStalled is the cause of the context of a transfer that stood still. It wraps proa.ErrUnavailable.
var ErrStalled = fmt.Errorf("the transfer stands still: %w", proa.ErrUnavailable)

// Watch cancels a transfer when nothing moved for a while; the length of the transfer itself is not bounded.
type Watch struct {
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
}

// New begins to watch: the transfer's calls take the context. The caller stops it, or closes the body that it was given to.
func New(ctx context.Context, after time.Duration) (context.Context, *Watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &Watch{after: after, cancel: cancel}
	w.timer = time.AfterFunc(after, func() { cancel(ErrStalled) })
	return ctx, w
}

// begin and pause bracket one wait for the other side; the time that the caller takes in between does not count.
func (w *Watch) begin() { w.timer.Reset(w.after) }

func (w *Watch) pause() { w.timer.Stop() }

// Stop ends the transfer: its context is cancelled.
func (w *Watch) Stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// Body is content that is read under the watch, which ends when it is closed. fail says what an error of reading is.
func (w *Watch) Body(content io.ReadCloser, fail func(error) error) io.ReadCloser {
	w.pause()
	return &body{ReadCloser: content, watch: w, fail: fail}
}

type body struct {
	io.ReadCloser
	watch *Watch
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
	b.watch.Stop()
	return b.ReadCloser.Close()
}
