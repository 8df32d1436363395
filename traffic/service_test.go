package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

// memoryStore is a PlanStore that can fail.
type memoryStore struct {
	mu    sync.Mutex
	state State
	fail  error
	saves int
}

func (m *memoryStore) Load() (State, error) { return m.state, nil }

func (m *memoryStore) Save(s State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.state, m.saves = s, m.saves+1
	return nil
}

func (m *memoryStore) saved() proa.Plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Plan
}

func (m *memoryStore) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// runService runs a service in the bubble; the plans that it published are in the returned slice
// after synctest.Wait.
func runService(t *testing.T, cfg ServiceConfig) (*Service, *[]proa.Plan) {
	t.Helper()
	var plans []proa.Plan
	cfg.Policy, cfg.Clock = Default(), time.Now
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Publish = append(cfg.Publish, func(p PlanChanged) { plans = append(plans, p.Plan) })
	s, err := NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return s, &plans
}

func observe(s *Service, aws, azure proa.Health) {
	s.Observe(proa.Verdict{Region: proa.AWS, Health: aws, By: "node-1", Reason: "test"})
	s.Observe(proa.Verdict{Region: proa.Azure, Health: azure, By: "node-1", Reason: "test"})
}

func TestServicePublishesAtTheStartAndAtEachSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		s, plans := runService(t, ServiceConfig{Store: store})
		if len(*plans) != 1 || (*plans)[0].Active != proa.AWS || store.saved().Version != 1 {
			t.Fatalf("at the start: plans %+v, saved %+v", *plans, store.saved())
		}
		observe(s, proa.Unhealthy, proa.Healthy)
		synctest.Wait()
		if len(*plans) != 2 || s.Plan().Active != proa.Azure || store.saved().Version != 2 {
			t.Fatalf("after the verdict: plans %+v, saved %+v", *plans, store.saved())
		}
		if e := s.Explain(); e.Plan.Version != 2 || len(e.History) != 2 || len(s.Events()) == 0 {
			t.Errorf("explained %+v", e)
		}
	})
}

func TestServiceFailsBackThroughTheReplicationItAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		known := false
		s, _ := runService(t, ServiceConfig{
			Store: &memoryStore{state: State{Plan: proa.Plan{Version: 7, Active: proa.Azure}}},
			Replication: func() []Replication {
				mu.Lock()
				defer mu.Unlock()
				return []Replication{{From: proa.AWS, Known: true, CaughtUp: true}, {From: proa.Azure, Known: known, CaughtUp: true}}
			},
		})
		wait := func(d time.Duration) {
			for range int(d / time.Second) {
				observe(s, proa.Healthy, proa.Healthy)
				time.Sleep(time.Second)
			}
		}
		wait(2 * time.Minute)
		if p := s.Plan(); p.Version != 7 {
			t.Fatalf("plan %+v before the lag is known", p)
		}
		if got := strings.Join(s.Explain().Waiting, ";"); !strings.Contains(got, "replication azure→aws lag unknown") {
			t.Errorf("waits for %q", got)
		}
		mu.Lock()
		known = true
		mu.Unlock()
		wait(12 * time.Second)
		if p := s.Plan(); p.Version != 8 || p.Active != proa.AWS {
			t.Errorf("plan %+v", p)
		}
	})
}

func TestFullDiskDoesNotKeepTrafficOnADeadRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		var log bytes.Buffer // the service's goroutine alone writes; it waits when the bubble is looked at
		s, _ := runService(t, ServiceConfig{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		store.set(errors.New("no space left on device"))
		observe(s, proa.Unhealthy, proa.Healthy)
		time.Sleep(time.Second)
		if s.Plan().Active != proa.Azure || store.saved().Version != 1 {
			t.Fatalf("plan %+v, saved %+v", s.Plan(), store.saved())
		}
		store.set(nil)
		time.Sleep(time.Second)
		if store.saved().Version != 2 {
			t.Errorf("saved plan %d after the disk was freed, want 2", store.saved().Version)
		}
		synctest.Wait()
		if said := strings.Count(log.String(), "plan not saved"); said != 1 || !strings.Contains(log.String(), "plan saved again") {
			t.Errorf("said %d times:\n%s", said, log.String())
		}
	})
}

func TestCommandReturnsTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := runService(t, ServiceConfig{Store: &memoryStore{}})
		err := s.Command(t.Context(), Command{Action: Switchover, To: proa.Azure, By: "ops"})
		if !errors.Is(err, proa.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if err := s.Command(t.Context(), Command{Action: Hold, By: "ops"}); err != nil {
			t.Errorf("hold: %v", err)
		}
		if s.Explain().Held == nil {
			t.Error("the hold is not explained")
		}
		bad := Default()
		bad.Vantages = nil
		if err := s.Reconfigure(t.Context(), bad); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("reconfigure: %v", err)
		}
	})
}

func TestFileStoreKeepsTheWholeStateAndRefusesRubbish(t *testing.T) {
	store := FileStore{Path: filepath.Join(t.TempDir(), "plan.json")}
	if s, err := store.Load(); err != nil || s.Plan.Version != 0 {
		t.Fatalf("nothing saved: %+v, %v", s, err)
	}
	r := newRig(t, Default(), State{})
	r.pass(3 * time.Second)
	if err := r.command(Command{Action: Hold, For: time.Hour, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := r.command(Command{Action: Force, To: proa.Azure, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	want := r.ctl.State()
	for range 2 {
		if err := store.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-saved +loaded)\n%s", diff)
	}
	if files, err := os.ReadDir(filepath.Dir(store.Path)); err != nil || len(files) != 1 {
		t.Errorf("files left behind: %v, %v", files, err)
	}
	for _, rubbish := range []string{"", "{", "{}", `{"plan":{"version":0}}`} {
		if err := os.WriteFile(store.Path, []byte(rubbish), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.Load()
		var e *proa.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%q: %v, want an error with a hint", rubbish, err)
		}
	}
}

// TestCrashWhileSavingLeavesTheOldState leaves what a crash between writing and renaming leaves.
func TestCrashWhileSavingLeavesTheOldState(t *testing.T) {
	dir := t.TempDir()
	store := FileStore{Path: filepath.Join(dir, "plan.json")}
	if err := store.Save(State{Plan: proa.Plan{Version: 3, Active: proa.Azure}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plan.json.tmp"), []byte(`{"plan":{"ver`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Load()
	if err != nil || s.Plan.Version != 3 {
		t.Errorf("loaded %+v, %v", s.Plan, err)
	}
	if err := store.Save(State{Plan: proa.Plan{Version: 4, Active: proa.AWS}}); err != nil {
		t.Errorf("what a crash left stops the next save: %v", err)
	}
}

// What a sick endpoint says ends up in every node's log. However long it is, the state can be agreed on.
func TestWhatOthersSayDoesNotSwellTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("\x1b[31m\x00 500 of everything ", 1000)
		store := &memoryStore{}
		s, _ := runService(t, ServiceConfig{
			Store: store,
			Replication: func() []Replication {
				return []Replication{{From: proa.AWS, Reason: long}, {From: proa.Azure, Reason: long}}
			},
		})
		for i := range 2 * Default().HistoryLimit {
			aws, azure := proa.Unhealthy, proa.Healthy
			if i%2 == 1 {
				aws, azure = azure, aws
			}
			s.Observe(proa.Verdict{Region: proa.AWS, Health: aws, By: "node-1", Reason: long})
			s.Observe(proa.Verdict{Region: proa.Azure, Health: azure, By: "node-1", Reason: long})
			s.HearNode("node-1", long)
			time.Sleep(defaultTick)
			synctest.Wait()
		}
		b, err := json.Marshal(store.state)
		if len(store.state.History) != Default().HistoryLimit || err != nil {
			t.Fatalf("%d plans, %v", len(store.state.History), err)
		}
		if len(b) > 256<<10 || strings.Contains(string(b), `\u001b`) {
			t.Errorf("%d bytes of state: %.300s", len(b), b)
		}
	})
}
