package datasync

import (
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestBothDirectionsCanBeAskedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start()
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for range 3000 {
				if _, err := w.s.Replication(proa.Regions()[i%2]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { asking.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic("two who ask for the state of opposite directions wait for each other") // Cleanup would wait as well
	}
}
