package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

const (
	leaseTimeout = time.Second
	// leaseRest is how long a refusal is believed before the nodes are asked again.
	leaseRest = 100 * time.Millisecond
)

// lease is this process's right to write a table that has one writer. The nodes give it for a short
// time, which counts here from before they were asked and by the monotonic clock, and they give it to
// no other region until it is over.
type lease struct {
	nodes  []string // URLs
	token  proa.Secret
	client *http.Client
	now    func() time.Time // with a monotonic reading: no clock that is put wrong on purpose

	mu      sync.Mutex
	until   time.Time
	length  time.Duration
	refused error // until rest
	rest    time.Time
	asking  chan struct{} // nil: nobody asks
}

// newLease returns nil for a table that is not named in PROA_FENCED_TABLES: both regions may write it.
func newLease(getenv func(string) string, region proa.Region, table string) *lease {
	if !slices.Contains(strings.Split(getenv("PROA_FENCED_TABLES"), ","), table) {
		return nil
	}
	l := &lease{
		token: proa.NewSecret(getenv("PROA_ANNOUNCE_TOKEN")), now: time.Now,
		client: &http.Client{Timeout: leaseTimeout},
	}
	for u := range strings.SplitSeq(getenv("PROA_LEASE_URL"), ",") {
		if u = strings.TrimSpace(u); u != "" {
			l.nodes = append(l.nodes, u+"?region="+url.QueryEscape(string(region)))
		}
	}
	return l
}

// hold returns a context that ends with the lease, or why there is none. A nil lease holds always.
func (l *lease) hold(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if l == nil {
		return ctx, func() {}, nil
	}
	for {
		l.mu.Lock()
		now, until := l.now(), l.until
		old := now.After(until.Add(-l.length / 2))
		if old && l.asking == nil && !now.Before(l.rest) {
			l.asking = make(chan struct{})
			go l.renew()
		}
		asking, refused := l.asking, l.refused
		l.mu.Unlock()
		if now.Before(until) {
			ctx, cancel := context.WithDeadline(ctx, until)
			return ctx, cancel, nil
		}
		if asking == nil {
			return nil, nil, refused
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("write lease: %w: %w", proa.ErrUnavailable, ctx.Err())
		case <-asking:
		}
		if l.denied(now) != nil {
			return nil, nil, l.denied(now)
		}
	}
}

// denied is the refusal that was given since a moment.
func (l *lease) denied(since time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil && l.rest.After(since) && !l.now().Before(l.until) {
		return l.refused
	}
	return nil
}

// renew asks all nodes; one that grants is enough, since none grants what another must not.
func (l *lease) renew() {
	began := l.now()
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	type answer struct {
		length time.Duration
		err    error
	}
	answers := make(chan answer, len(l.nodes))
	for _, node := range l.nodes {
		go func() {
			length, err := l.ask(ctx, node)
			answers <- answer{length, err}
		}()
	}
	errs := []error{}
	var granted time.Duration
	for range l.nodes {
		a := <-answers
		if a.err == nil {
			granted = a.length
			break
		}
		errs = append(errs, a.err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if granted > 0 {
		l.until, l.length, l.refused = began.Add(granted), granted, nil
	} else {
		l.refused = fmt.Errorf("write lease: %w: %w", proa.ErrFenced, errors.Join(errs...))
		l.rest = l.now().Add(leaseRest)
	}
	close(l.asking)
	l.asking = nil
}

func (l *lease) ask(ctx context.Context, node string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, node, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+l.token.Reveal())
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var said struct {
		LeaseMS int64  `json:"lease_ms"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said); err != nil {
		return 0, fmt.Errorf("HTTP %d: %w", resp.StatusCode, err)
	}
	if resp.StatusCode != http.StatusOK || said.LeaseMS <= 0 {
		return 0, errors.New(said.Error)
	}
	return time.Duration(said.LeaseMS) * time.Millisecond, nil
}
