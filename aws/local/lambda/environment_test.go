package lambda

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa/internal/guest"
)

// A process may ask for work and hang up before its start has returned: it is ended nevertheless.
func TestAProcessThatHangsUpBeforeItsStartReturnsIsEnded(t *testing.T) {
	e := &environment{launched: make(chan struct{}), dead: make(chan struct{})}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		e.kill()
	}()
	time.Sleep(10 * time.Millisecond) // so that it comes first; nothing fails where it does not
	p, err := guest.Start(guest.Spec{Path: "/bin/sleep", Args: []string{"sleep", "60"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	e.process = p
	close(e.launched)
	<-killed
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Error("it runs on")
	}
}
