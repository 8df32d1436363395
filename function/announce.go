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
	announceTimeout = 200 * time.Millisecond
	announceRest    = time.Second // after a failure
)

// announcer tells the nodes of acknowledged writes, so that they can be listed should this region be lost before its change feed was read. It
// never fails a write, and costs at most 200 ms once a second while nobody listens.
type announcer struct {
	nodes  []*listener // none: announces nothing
	token  proa.Secret
	region proa.Region
	client *http.Client
	clock  func() time.Time

	failed atomic.Uint64
	sent   atomic.Uint64
}

// listener is one node.
type listener struct {
	url       string
	restUntil atomic.Int64 // Unix nanoseconds: left alone until then, after a failure
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
			a.nodes = append(a.nodes, &listener{url: url})
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
		if now.UnixNano() < n.restUntil.Load() {
			continue
		}
		asked++
		go func() {
			err := a.post(ctx, n.url, text)
			if err != nil {
				n.restUntil.Store(now.Add(announceRest).UnixNano())
			}
			told <- err
		}()
	}
	for range asked {
		if <-told == nil {
			a.sent.Add(1)
			return
		}
	}
	if len(a.nodes) > 0 {
		a.failed.Add(1)
	}
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
