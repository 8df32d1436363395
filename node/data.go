package node

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/bus"
)

// maxDataBody bounds a request that carries an item.
const maxDataBody = 4 << 20

// dataRoutes are the routes of the operator's verbs on data.
func (a *api) dataRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/conflicts/{id}":           a.conflict,
		"POST /v1/conflicts/{id}/restore":  a.restore,
		"POST /v1/conflicts/settle":        a.settle,
		"POST /v1/conflicts/replay":        a.replay,
		"GET /v1/quarantine":               a.quarantine,
		"POST /v1/quarantine/show":         a.quarantined,
		"POST /v1/quarantine/retry":        a.retry,
		"POST /v1/quarantine/drop":         a.drop,
		"GET /v1/backfill":                 a.scans,
		"POST /v1/backfill":                a.scan,
		"GET /v1/validate":                 a.validate,
		"GET /v1/events":                   a.subscribers,
		"GET /v1/events/{name}/dead":       a.deadLetters,
		"POST /v1/events/{name}/redeliver": a.redeliver,
		"GET /v1/data":                     a.data,
	}
}

// KeyRequest names one key as a person types it: numbers in decimal, bytes in base64 for URLs.
type KeyRequest struct {
	Table string `json:"table"`
	Hash  string `json:"hash,omitempty"`
	Range string `json:"range,omitempty"`
}

// key reads a key by its table's schema.
func (n *node) key(r KeyRequest) (proa.Key, error) {
	for _, t := range n.cfg.Tables {
		if t.Name != r.Table {
			continue
		}
		s := t.Schema()
		hash, err := keyValue(s.HashName, s.HashKind, r.Hash)
		if err != nil {
			return proa.Key{}, err
		}
		k := proa.Key{Table: r.Table, Hash: hash}
		if s.RangeName == "" && r.Range != "" {
			return k, fmt.Errorf("table %s has no range key: %w", r.Table, proa.ErrInvalid)
		}
		if s.RangeName != "" {
			k.Range, err = keyValue(s.RangeName, s.RangeKind, r.Range)
		}
		return k, err
	}
	return proa.Key{}, fmt.Errorf("table %q is not replicated: %w", r.Table, proa.ErrNotFound)
}

func keyValue(name string, kind proa.Kind, text string) (proa.Value, error) {
	switch {
	case text == "":
		return proa.Value{}, fmt.Errorf("key attribute %s is missing: %w", name, proa.ErrInvalid)
	case kind == proa.KindN:
		return proa.Number(text)
	case kind == proa.KindB:
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return proa.Value{}, fmt.Errorf("key attribute %s: want base64 for URLs: %w", name, proa.ErrInvalid)
		}
		return proa.Binary(b), nil
	}
	return proa.String(text), nil
}

// SettleRequest is the body of POST /v1/conflicts/settle: one of Take, Item and Drop.
type SettleRequest struct {
	KeyRequest
	Take proa.Region `json:"take,omitempty"`
	Item proa.Item   `json:"item,omitempty"`
	Drop bool        `json:"drop,omitempty"`
}

func (a *api) settle(r *http.Request) (any, error) {
	var req SettleRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	key, err := a.node.key(req.KeyRequest)
	if err != nil {
		return nil, err
	}
	return a.node.sync.Settle(key, datasync.Settlement{Take: req.Take, Item: req.Item, Drop: req.Drop})
}

func (a *api) quarantined(r *http.Request) (any, error) {
	var req KeyRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	key, err := a.node.key(req)
	if err != nil {
		return nil, err
	}
	return a.node.sync.QuarantinedKey(key)
}

// Count says how many were meant.
type Count struct {
	Count int `json:"count"`
	// Silent are the nodes, of several that were asked, that have not done all of it, and why.
	Silent []Silence `json:"silent,omitempty"`
}

func (a *api) retry(r *http.Request) (any, error) {
	var req KeyRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if req.Hash == "" {
		n, err := a.node.sync.RetryAll(req.Table)
		return Count{Count: n}, err
	}
	key, err := a.node.key(req)
	if err != nil {
		return nil, err
	}
	if _, err := a.node.sync.QuarantinedKey(key); err != nil {
		return nil, err
	}
	return Count{Count: 1}, a.node.sync.Retry(key)
}

// ScansReply is GET /v1/backfill.
type ScansReply struct {
	Scans []datasync.Scan `json:"scans"`
}

func (a *api) scans(*http.Request) (any, error) {
	list, err := a.node.sync.Scans()
	return ScansReply{append([]datasync.Scan{}, list...)}, err
}

// ScanRequest is the body of POST /v1/backfill: pause, resume, restart, or restored with a region. A bucket may stand in
// the place of a table: pause, resume, restored and release.
type ScanRequest struct {
	Table  string      `json:"table"`
	Action string      `json:"action"`
	Region proa.Region `json:"region,omitempty"`
	// At is when the restore of a bucket was complete; left out: now.
	At time.Time `json:"at,omitzero"`
}

func (a *api) scan(r *http.Request) (any, error) {
	var req ScanRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if a.node.sync.IsBucket(req.Table) {
		if err := a.scanBucket(req); err != nil {
			return nil, err
		}
		return a.scans(r)
	}
	act := map[string]func(string) error{
		"pause": a.node.sync.PauseScan, "resume": a.node.sync.ResumeScan, "restart": a.node.sync.Rescan,
		"restored": func(table string) error { return a.node.sync.SideRestored(r.Context(), table, req.Region) },
	}[req.Action]
	if act == nil {
		return nil, fmt.Errorf("action %.40q: want pause, resume, restart or restored: %w", req.Action, proa.ErrInvalid)
	}
	if err := act(req.Table); err != nil {
		return nil, err
	}
	return a.scans(r)
}

func (a *api) scanBucket(req ScanRequest) error {
	sync := a.node.sync
	switch req.Action {
	case "pause":
		return sync.PauseBucket(req.Table)
	case "resume":
		return sync.ResumeBucket(req.Table)
	case "release":
		return sync.ReleaseBucket(req.Table)
	case "restored":
		return sync.BucketRestored(req.Table, req.Region, req.At)
	}
	return fmt.Errorf("action %.40q of a bucket: want pause, resume, restored or release: %w", req.Action, proa.ErrInvalid)
}

func (a *api) validate(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 1000, 100000)
	if err != nil {
		return nil, err
	}
	return a.node.sync.CheckData(r.Context(), limit)
}

// SubscribersReply is GET /v1/events.
type SubscribersReply struct {
	Subscribers []bus.SubscriptionStatus `json:"subscribers"`
}

func (a *api) subscribers(*http.Request) (any, error) {
	return SubscribersReply{a.node.sync.Subscribers()}, nil
}

// data is all of data sync's own status: metrics, costs, scans, subscribers, warnings.
func (a *api) data(*http.Request) (any, error) { return a.node.sync.Status() }

// Preflight looks at both sides' data with what a configuration says, without a running node.
func Preflight(
	ctx context.Context, c config.Config, limit int, progress func(string, proa.Region, int64),
) (datasync.Preflight, error) {
	a, z := awsConfig(c), azureConfig(c)
	a.Logger, z.Logger = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	o := datasync.PreflightOptions{Limit: limit, Clock: time.Now, Progress: progress}
	for _, t := range c.Tables {
		table, err := newTable(ctx, a, z, t, c.DataSync.ResidencyKey)
		if err != nil {
			return datasync.Preflight{}, err
		}
		o.Tables = append(o.Tables, table)
	}
	return datasync.CheckData(ctx, o)
}
