package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic"
)

// reloading is a node with a traffic manager and a file, and a way to change the file and have it looked at.
func reloading(t *testing.T) (*node, func(text string)) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "proa.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("traffic: {hold_down: 5s}\n")
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cfg: cfg, clock: time.Now, logger: slog.New(slog.DiscardHandler)}
	n.traffic, err = traffic.NewService(traffic.ServiceConfig{
		Policy: n.policy(cfg), Store: traffic.FileStore{Path: filepath.Join(dir, "plan.json")},
		Replication: func() []traffic.Replication { return nil }, Clock: time.Now, Logger: n.logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.traffic.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	n.reload = newReloader(n, file)
	return n, func(text string) {
		write(text)
		n.reload.look(ctx, false)
	}
}

func TestAChangedFileIsInForceAtOnceOrWaitsForAStart(t *testing.T) {
	n, change := reloading(t)
	change("primary: azure\ntraffic: {hold_down: 7s, ttl: 9s}\n")
	s := n.reload.status
	if s.Error != "" || len(s.Waiting) != 1 || s.Waiting[0].Path != "traffic.ttl" || len(s.Changed) != 3 {
		t.Errorf("%+v", s)
	}
	if p := n.traffic.Explain().Preferred; p != "azure" {
		t.Errorf("preferred is %s", p)
	}
	if c := n.inForce(); c.Primary != "azure" || c.Traffic.HoldDown != config.Duration(7*time.Second) || c.Traffic.TTL != n.cfg.Traffic.TTL {
		t.Errorf("in force: %s, %+v", c.Primary, c.Traffic)
	}
	change("primary: azure\ntraffic: {hold_down: 7s}\n")
	if s := n.reload.status; len(s.Changed) != 1 || s.Changed[0].Path != "traffic.ttl" {
		t.Errorf("what the last reading changed: %+v", s.Changed)
	}
	if s := n.reload.status; len(s.Waiting) != 0 {
		t.Errorf("a change that was taken back still waits: %+v", s.Waiting)
	}
}

func TestABadFileLeavesTheLastGoodOneInForce(t *testing.T) {
	n, change := reloading(t)
	change("primary: azure\n")
	change("primary: mars\n")
	s := n.reload.status
	if !strings.Contains(s.Error, "proa.yaml:1:10: primary") || s.Refused.IsZero() {
		t.Errorf("%+v", s)
	}
	if p := n.traffic.Explain().Preferred; p != "azure" {
		t.Errorf("preferred is %s", p)
	}
	if err := os.Remove(n.reload.file); err != nil {
		t.Fatal(err)
	}
	n.reload.look(t.Context(), true)
	if s := n.reload.status; !strings.Contains(s.Error, "no such file") {
		t.Errorf("without a file: %+v", s)
	}
	change("primary: aws\n")
	if s := n.reload.status; s.Error != "" || n.traffic.Explain().Preferred != "aws" {
		t.Errorf("after a good one: %+v", s)
	}
}
