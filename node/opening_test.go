package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/store"
	"github.com/proa-cloud/proa/traffic/dns"
)

// TestAFullDiskDoesNotSilenceTheNameServer: the store of a node whose disk is full does not open, or blocks.
func TestAFullDiskDoesNotSilenceTheNameServer(t *testing.T) {
	t.Parallel()
	forever := make(chan struct{})
	defer close(forever)
	for name, open := range map[string]func(store.Options) (*pebble.DB, error){
		"fails":  func(store.Options) (*pebble.DB, error) { return nil, fmt.Errorf("open: %w", syscall.ENOSPC) },
		"blocks": func(store.Options) (*pebble.DB, error) { <-forever; return nil, errors.New("the end of the test") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			addr := freeAddress(t)
			cfg.Node.Dir, cfg.Node.DNS, cfg.Zone = filepath.Join(t.TempDir(), "node"), []string{addr}, "orders.proa.test"
			cfg.Regions.AWS.Gateway.Addresses = []string{"192.0.2.1"}
			cfg.Regions.Azure.Gateway.Addresses = []string{"198.51.100.1"}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- Run(ctx, Config{Proa: cfg, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), open: open})
			}()
			var err error
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				var r *mdns.Msg
				if r, err = dns.Exchange(ctx, addr, "orders.proa.test.", mdns.TypeA); err == nil && len(r.Answer) == 1 {
					break
				}
			}
			stop()
			if err != nil {
				t.Errorf("no answer: %v", err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the node does not end")
			}
		})
	}
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAStoreIsOpenedOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		tries int
	}{{syscall.ENOSPC, 4}, {syscall.EIO, 4}, {os.ErrPermission, 1}} {
		synctest.Test(t, func(t *testing.T) {
			tries, want := 0, new(pebble.DB)
			cfg := Config{Logger: slog.New(slog.DiscardHandler), open: func(store.Options) (*pebble.DB, error) {
				if tries++; tries < 4 {
					return nil, fmt.Errorf("open: %w", c.err)
				}
				return want, nil
			}}
			db, err := openStore(t.Context(), cfg)
			if tries != c.tries || (err == nil) != (c.tries == 4) || (db == want) != (err == nil) {
				t.Errorf("%v: %d tries, want %d; %v", c.err, tries, c.tries, err)
			}
		})
	}
}
