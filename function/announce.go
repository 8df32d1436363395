package function

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
)

const (
	announceWait    = 200 * time.Millisecond // the most that a write waits for a node to know of it
	announceTimeout = 5 * time.Second        // the most that an announcement is under way, which the write does not wait for
	announceRest    = time.Second            // a node is not told after it has failed, and nobody waits after waits were in vain
	announceVain    = 3                      // waits in vain, one after the other, until then
	announceWays    = 256                    // announcements under way to one node
)

// announcer tells the nodes of acknowledged writes, so that they can be listed should this region be lost before its change feed was read. It
// never fails a write, and costs at most three times 200 ms a second while nobody listens. A node that is late is told all the same.
type announcer struct {
	nodes  []*listener // none: announces nothing
	token  proa.Secret
	region proa.Region
	client *http.Client
	clock  func() time.Time

	vain      atomic.Int64 // waits in vain since a node last answered
	restUntil atomic.Int64 // Unix nanoseconds: nobody waits until then

	failed atomic.Uint64 // no node was known to have it when the write was acknowledged
	sent   atomic.Uint64
}

// listener is one node.
type listener struct {
	url       string
	restUntil atomic.Int64  // Unix nanoseconds: left alone until then, after a failure
	ways      chan struct{} // holds one for each announcement under way
}

func newListener(url string) *listener {
	return &listener{url: url, ways: make(chan struct{}, announceWays)}
}

func newAnnouncer(getenv func(string) string, region proa.Region) *announcer {
	a := &announcer{
		token: proa.NewSecret(getenv("PROA_ANNOUNCE_TOKEN")), region: region, clock: time.Now,
		client: &http.Client{
			Timeout:   announceTimeout,
			Transport: &http.Transport{MaxIdleConns: 192, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		},
	}
	for url := range strings.SplitSeq(getenv("PROA_ANNOUNCE_URL"), ",") {
		if url = strings.TrimSpace(url); url != "" {
			a.nodes = append(a.nodes, newListener(url))
		}
	}
	return a
}

func (a *announcer) item(ctx context.Context, key proa.Item, table string, v proa.Version, deleted bool) {
	a.send(ctx, proa.Announcement{Table: table, Key: key, Version: v, Deleted: deleted})
}

func (a *announcer) object(ctx context.Context, bucket, name, etag string, deleted bool) {
	a.send(ctx, proa.Announcement{Bucket: bucket, Object: name, ETag: etag, Deleted: deleted})
}

// send posts one announcement to every node and waits for the first that has it, so that a write is acknowledged only after a node
// knows of it. The others are told meanwhile: any of them may own data sync.
func (a *announcer) send(ctx context.Context, what proa.Announcement) {
	if len(a.nodes) == 0 {
		return
	}
	now := a.clock()
	what.Region, what.At = a.region, now.UTC()
	text, err := json.Marshal(what)
	if err != nil {
		a.failed.Add(1)
		return
	}
	ctx = context.WithoutCancel(ctx)
	told := make(chan error, len(a.nodes))
	asked := 0
	for _, n := range a.nodes {
		if now.UnixNano() >= n.restUntil.Load() && n.begin() {
			asked++
			go func() { told <- a.tell(ctx, n, text) }()
		}
	}
	if a.known(now, told, asked) {
		a.sent.Add(1)
	} else {
		a.failed.Add(1)
	}
}

// begin reports whether one more announcement may be under way.
func (n *listener) begin() bool {
	select {
	case n.ways <- struct{}{}:
		return true
	default:
		return false
	}
}

// tell posts to one node, which may take longer than the write waits.
func (a *announcer) tell(ctx context.Context, n *listener, text []byte) error {
	defer func() { <-n.ways }()
	err := a.post(ctx, n.url, text)
	if err != nil {
		n.restUntil.Store(a.clock().Add(announceRest).UnixNano())
		return err
	}
	a.vain.Store(0)
	return nil
}

// known waits for the first node that has the announcement.
func (a *announcer) known(now time.Time, told <-chan error, asked int) bool {
	if now.UnixNano() < a.restUntil.Load() {
		return false
	}
	late := time.NewTimer(announceWait)
	defer late.Stop()
	for range asked {
		select {
		case err := <-told:
			if err == nil {
				return true
			}
		case <-late.C:
			if a.vain.Add(1) >= announceVain {
				a.vain.Store(0)
				a.restUntil.Store(a.clock().Add(announceRest).UnixNano())
			}
			return false
		}
	}
	return false
}

func (a *announcer) post(ctx context.Context, url string, text []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if !a.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection is kept
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("announce: HTTP %d", resp.StatusCode)
	}
	return nil
}
