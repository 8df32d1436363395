package dns

import (
	"context"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	notifyTries   = 5
	notifyTimeout = 2 * time.Second
)

// remember keeps the snapshot for incremental transfers and wakes those who tell secondaries. The
// publish lock is held.
func (t *transfers) remember(s *Snapshot) {
	if t == nil {
		return
	}
	if n := len(t.history); n > 0 && t.history[n-1].base != s.base {
		t.history = nil // the zones themselves are others
	}
	t.history = append(t.history, s)
	if n := len(t.history); n > transferHistory {
		t.history = append([]*Snapshot(nil), t.history[n-transferHistory:]...)
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// keepNotified tells secondaries of new serials until ctx ends: at the start, and at each change. A
// change while they are being told begins anew.
func (s *Server) keepNotified(ctx context.Context) error {
	if s.transfers == nil {
		return nil
	}
	told := map[string]uint32{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.transfers.changed:
		}
		round, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for _, t := range s.transfers.list {
			serial, ok := s.serialOf(t.Zone)
			if last, known := told[t.Zone+t.Key]; !ok || known && last == serial {
				continue
			}
			told[t.Zone+t.Key] = serial
			for _, address := range t.Notify {
				wg.Go(func() { s.notify(round, t, address) })
			}
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-s.transfers.changed:
			s.transfers.wake()
		case <-ctx.Done():
		}
		cancel()
		<-done
	}
}

func (t *transfers) wake() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (s *Server) serialOf(origin string) (uint32, bool) {
	now := s.Current()
	for i, z := range now.base.zones {
		if mdns.CanonicalName(z.Origin) == origin {
			return now.soas[i].serial, true
		}
	}
	return 0, false
}

// notify tells one secondary, several times when it does not answer.
func (s *Server) notify(ctx context.Context, t Transfer, address string) {
	c := mdns.Client{
		Net: "udp", Timeout: notifyTimeout, TsigSecret: map[string]string{t.Key: t.Secret.Reveal()},
	}
	for try := range notifyTries {
		m := new(mdns.Msg).SetNotify(t.Zone)
		m.SetTsig(t.Key, t.Algorithm, transferFudge, s.cfg.Clock().Unix())
		res, _, err := c.ExchangeContext(ctx, m, address)
		if err == nil && res.Rcode == mdns.RcodeSuccess {
			return
		}
		if err == nil {
			s.cfg.Logger.Warn("secondary does not take a notification", "zone", t.Zone, "at", address,
				"rcode", mdns.RcodeToString[res.Rcode])
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second << try):
		}
	}
	s.cfg.Logger.Warn("secondary does not answer", "zone", t.Zone, "at", address)
}
