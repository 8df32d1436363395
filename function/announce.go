package function

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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
	url    string // "" announces nothing
	token  proa.Secret
	region proa.Region
	client *http.Client
	clock  func() time.Time

	restUntil atomic.Int64 // Unix nanoseconds
	failed    atomic.Uint64
	sent      atomic.Uint64
}

func newAnnouncer(getenv func(string) string, region proa.Region) *announcer {
	return &announcer{
		url: getenv("PROA_ANNOUNCE_URL"), token: proa.NewSecret(getenv("PROA_ANNOUNCE_TOKEN")), region: region, clock: time.Now,
		client: &http.Client{
			Timeout:   announceTimeout,
			Transport: &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		},
	}
}

func (a *announcer) item(ctx context.Context, key proa.Item, table string, v proa.Version, deleted bool) {
	a.send(ctx, proa.Announcement{Table: table, Key: key, Version: v, Deleted: deleted})
}

func (a *announcer) object(ctx context.Context, bucket, name, etag string, deleted bool) {
	a.send(ctx, proa.Announcement{Bucket: bucket, Object: name, ETag: etag, Deleted: deleted})
}

// send posts one announcement and waits for the answer, so that a write is acknowledged only after a node knows of it.
func (a *announcer) send(ctx context.Context, what proa.Announcement) {
	now := a.clock()
	if a.url == "" {
		return
	}
	if now.UnixNano() < a.restUntil.Load() {
		a.failed.Add(1)
		return
	}
	what.Region, what.At = a.region, now.UTC()
	if err := a.post(context.WithoutCancel(ctx), what); err != nil {
		a.restUntil.Store(now.Add(announceRest).UnixNano())
		a.failed.Add(1)
		return
	}
	a.sent.Add(1)
}

func (a *announcer) post(ctx context.Context, what proa.Announcement) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(text))
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
