package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
)

// drillTeller tells every node how a drill goes, for the console's pages and its history. A node that is away, which a drill may
// be the cause of, hears all of it with the next word. What cannot be told does not disturb the drill.
type drillTeller struct {
	client *supervisor.Client
	wake   chan struct{}
	done   chan struct{}

	mu  sync.Mutex
	rec console.Drill
}

const (
	tellEvery   = 3 * time.Second
	tellPause   = 250 * time.Millisecond
	tellTimeout = 2 * time.Second
	tellRetries = 5
	// maxTold bounds the lines that are told; the nodes keep no more.
	maxTold = 400
)

func newDrillTeller(c *supervisor.Client, by string, list []drill.Scenario, o *drillFlags) *drillTeller {
	rec := console.Drill{
		ID: fmt.Sprintf("%x", time.Now().UnixNano()), By: by, Seed: o.seed, Repeat: o.repeat, Started: time.Now().UTC(), State: console.DrillRuns,
	}
	for i := range list {
		rec.Scenarios = append(rec.Scenarios, list[i].Name)
	}
	return &drillTeller{client: c, wake: make(chan struct{}, 1), done: make(chan struct{}), rec: rec}
}

// say notes what happens.
func (t *drillTeller) say(text string) {
	t.mu.Lock()
	t.rec.Lines = append(t.rec.Lines, console.DrillLine{At: time.Now().UTC(), Text: text})
	t.rec.Lines = t.rec.Lines[max(0, len(t.rec.Lines)-maxTold):]
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx ends.
func (t *drillTeller) run(ctx context.Context) {
	defer close(t.done)
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		t.tell(ctx, 1)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-t.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tellPause):
		}
	}
}

// end tells the outcome, which a cancelled drill has too.
func (t *drillTeller) end(ctx context.Context, report *drill.Report, err error) {
	now := time.Now().UTC()
	t.mu.Lock()
	t.rec.Ended = &now
	t.rec.State = outcome(report, err)
	if err != nil && t.rec.State == console.DrillFailed {
		t.rec.Error = err.Error()
	}
	if report != nil && len(report.Scenarios) > 0 {
		for i := range report.Scenarios {
			t.rec.Missed = append(t.rec.Missed, report.Scenarios[i].Missed...)
		}
		var page bytes.Buffer
		data, merr := json.Marshal(report)
		if merr == nil && report.WriteHTML(&page) == nil {
			t.rec.Report, t.rec.HTML = data, page.String()
		}
	}
	t.mu.Unlock()
	t.tell(context.WithoutCancel(ctx), tellRetries)
}

func outcome(report *drill.Report, err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return console.DrillStopped
	case err != nil:
		return console.DrillFailed
	case report.Passed:
		return console.DrillPassed
	}
	return console.DrillMissed
}

// tell gives every node the record.
func (t *drillTeller) tell(ctx context.Context, tries int) {
	t.mu.Lock()
	rec := t.rec
	t.mu.Unlock()
	path := "/v1/drills/" + rec.ID
	put := func(ctx context.Context, name string) error {
		if name == "" {
			return t.client.Node(ctx, http.MethodPut, path, rec, nil)
		}
		return t.client.NodeOf(ctx, name, http.MethodPut, path, rec, nil)
	}
	names := []string{""}
	if nodes := t.client.State.Addresses.Nodes; len(nodes) > 0 {
		names = nil
		for _, n := range nodes {
			names = append(names, n.Name)
		}
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			for range tries {
				one, cancel := context.WithTimeout(ctx, tellTimeout)
				err := put(one, name)
				cancel()
				if err == nil || ctx.Err() != nil {
					return
				}
				if tries > 1 {
					time.Sleep(tellPause) // a node that was killed is starting
				}
			}
		})
	}
	wg.Wait()
}
