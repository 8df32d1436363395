package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// Conflict is one entry of a conflict journal. Its number is one that all nodes know it by.
type Conflict struct {
	// Node has the entry on its disk; "" on a node that is alone.
	Node string `json:"node,omitempty"`
	journal.Conflict
}

// ConflictsReply is GET /v1/conflicts?table=&since=&limit=: of all nodes' journals, the newest first.
type ConflictsReply struct {
	Conflicts []Conflict `json:"conflicts"`
	// Silent are the nodes whose journals are missing here.
	Silent []Silence `json:"silent,omitempty"`
}

// conflictQuery reads table, hash, range, since, until and policy.
func (a *api) conflictQuery(r *http.Request) (journal.Query, error) {
	q := journal.Query{Table: r.FormValue("table"), Policy: r.FormValue("policy")}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		s := r.FormValue(name)
		if s == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return q, fmt.Errorf("%s: want a time such as 2026-01-02T15:04:05Z: %w", name, proa.ErrInvalid)
		}
		*into = at
	}
	if hash := r.FormValue("hash"); hash != "" {
		k, err := a.node.key(KeyRequest{Table: q.Table, Hash: hash, Range: r.FormValue("range")})
		if err != nil {
			return q, err
		}
		q.KeyID = k.ID()
	}
	return q, nil
}

// page is the most that the journal gives at once.
const page = 1000

func (a *api) conflicts(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 100000)
	if err != nil {
		return nil, err
	}
	q, err := a.conflictQuery(r)
	if err != nil {
		return nil, err
	}
	here := func() (reply ConflictsReply, err error) {
		reply.Conflicts, err = a.node.journaled(q, limit)
		return reply, err
	}
	if a.node.alone(r) {
		return here()
	}
	answers, silent, err := everyNode(r.Context(), a.node, r.Method, r.URL.RequestURI(), "", here)
	if err != nil {
		return nil, err
	}
	reply := ConflictsReply{Conflicts: []Conflict{}, Silent: silent}
	for _, s := range answers {
		reply.Conflicts = append(reply.Conflicts, s.answer.Conflicts...)
	}
	reply.Conflicts = newest(reply.Conflicts, func(c *Conflict) (time.Time, string) {
		return c.Time, identity(c.Table, c.Key, c.Bucket, c.Object, c.Winner.Version, c.Loser.Version)
	})
	reply.Conflicts = reply.Conflicts[:min(limit, len(reply.Conflicts))]
	return reply, nil
}

// newest sorts what was made of entries of several journals, the newest first. Of those that two owners of
// data sync wrote down alike it keeps the first, whose number may have been shown already. entry tells when
// one was written down, and what of: "" where nothing says so.
func newest[T any](list []T, entry func(*T) (at time.Time, id string)) []T {
	slices.SortStableFunc(list, func(x, y T) int {
		a, _ := entry(&x)
		b, _ := entry(&y)
		return b.Compare(a)
	})
	slices.Reverse(list)
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(one T) bool {
		_, id := entry(&one)
		again := id != "" && seen[id]
		seen[id] = true
		return again
	})
	slices.Reverse(list)
	return list
}

// identity tells conflicts apart, whoever wrote them down.
func identity(table string, key proa.Item, bucket, object string, winner, loser proa.Version) string {
	if winner.IsZero() || loser.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s/%s/%s/%s %s %s", table, key.AppendJSON(nil), bucket, object, winner, loser)
}

// journaled searches this node's own journal.
func (n *node) journaled(q journal.Query, limit int) ([]Conflict, error) {
	list := []Conflict{}
	for len(list) < limit {
		q.Limit = min(page, limit-len(list))
		found, err := n.sync.Conflicts(q)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			list = append(list, n.conflictOf(c))
		}
		if len(found) < q.Limit {
			break
		}
		q.Before = found[len(found)-1].ID
	}
	return list, nil
}

func (n *node) conflictOf(c journal.Conflict) Conflict {
	if n.cluster == nil {
		return Conflict{Conflict: c}
	}
	c.ID = n.shared(n.cfg.Node.Name, c.ID)
	return Conflict{Node: n.cfg.Node.Name, Conflict: c}
}

// conflictOn finds an entry by its number, on the node that has it.
func (a *api) conflictOn(r *http.Request) (Conflict, error) {
	shared, err := pathID(r)
	if err != nil {
		return Conflict{}, err
	}
	name, id, err := a.node.owned(shared)
	if err != nil {
		return Conflict{}, fmt.Errorf("conflict: %w", err)
	}
	if name == a.node.cfg.Node.Name {
		c, err := a.node.sync.Conflict(id)
		return a.node.conflictOf(c), err
	}
	var c Conflict
	return c, a.node.ask(r.Context(), name, http.MethodGet, fmt.Sprint("/v1/conflicts/", shared), "", &c)
}

func pathID(r *http.Request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("id %.40q: want a number: %w", r.PathValue("id"), proa.ErrInvalid)
	}
	return id, nil
}

func (a *api) conflict(r *http.Request) (any, error) { return a.conflictOn(r) }

// RestoreRequest is the body of POST /v1/conflicts/{id}/restore: the loser when From is empty.
type RestoreRequest struct {
	From proa.Region `json:"from,omitempty"`
}

// restore runs on data sync's owner, whichever node has the entry.
func (a *api) restore(r *http.Request) (any, error) {
	var req RestoreRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	c, err := a.conflictOn(r)
	if err != nil {
		return nil, err
	}
	return a.node.sync.RestoreEntry(r.Context(), c.Conflict, req.From)
}

// ReplayRequest is the body of POST /v1/conflicts/replay: policies as Parse reads them.
type ReplayRequest struct {
	Policy     string            `json:"policy"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Table      string            `json:"table,omitempty"`
	Since      time.Time         `json:"since,omitzero"`
	Until      time.Time         `json:"until,omitzero"`
	// Decided is the beginning of the policy that an entry was decided by.
	Decided string `json:"decided,omitempty"`
	// Limit is how many are replayed, the newest; 100,000 when 0, and at most.
	Limit int `json:"limit,omitempty"`
}

// ReplayReply says what another policy would have decided, the newest first.
type ReplayReply struct {
	Policy    string            `json:"policy"`
	Conflicts int               `json:"conflicts"`
	Different int               `json:"different"`
	Replayed  []datasync.Replay `json:"replayed"`
	// More says that there are older ones, past the limit.
	More bool `json:"more,omitempty"`
	// Silent are the nodes whose journals are missing here.
	Silent []Silence `json:"silent,omitempty"`
}

func (a *api) replay(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("replay: %w: %w", proa.ErrInvalid, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var req ReplayRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	here := func() (ReplayReply, error) { return a.node.replayed(req) }
	if a.node.alone(r) {
		return here()
	}
	answers, silent, err := everyNode(r.Context(), a.node, r.Method, r.URL.RequestURI(), string(body), here)
	if err != nil {
		return nil, err
	}
	reply := ReplayReply{Replayed: []datasync.Replay{}, Silent: silent}
	for _, s := range answers {
		reply.Policy, reply.More = s.answer.Policy, reply.More || s.answer.More
		reply.Replayed = append(reply.Replayed, s.answer.Replayed...)
	}
	reply.Replayed = newest(reply.Replayed, func(r *datasync.Replay) (time.Time, string) {
		return r.Time, identity(r.Table, r.Key, "", "", r.Winner, r.Loser)
	})
	if req.Limit > 0 && len(reply.Replayed) > req.Limit {
		reply.Replayed, reply.More = reply.Replayed[:req.Limit], true
	}
	reply.count()
	return reply, nil
}

// replayed judges this node's own journal anew.
func (n *node) replayed(req ReplayRequest) (ReplayReply, error) {
	rule, err := policy.Parse(req.Policy)
	if err != nil {
		return ReplayReply{}, err
	}
	attributes := map[string]policy.Rule{}
	for name, text := range req.Attributes {
		if attributes[name], err = policy.Parse(text); err != nil {
			return ReplayReply{}, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	reply := ReplayReply{Policy: rule.String(), Replayed: []datasync.Replay{}}
	list, more, err := n.sync.Replay(journal.Query{
		Table: req.Table, Since: req.Since, Until: req.Until, Policy: req.Decided, Limit: req.Limit,
	}, rule, attributes)
	if err != nil {
		return reply, err
	}
	reply.More = more
	for _, one := range list {
		one.ID = n.shared(n.cfg.Node.Name, one.ID)
		reply.Replayed = append(reply.Replayed, one)
	}
	reply.count()
	return reply, nil
}

func (r *ReplayReply) count() {
	r.Conflicts, r.Different = len(r.Replayed), 0
	for i := range r.Replayed {
		if !r.Replayed[i].Same {
			r.Different++
		}
	}
}

// Quarantined is what cannot be replicated: a key, by data sync's owner, or a change of a feed that a
// node could not read when it was the owner.
type Quarantined struct {
	// Node has an unreadable change on its disk; "" for a key, and on a node that is alone.
	Node string `json:"node,omitempty"`
	datasync.Quarantined
}

// QuarantineReply is GET /v1/quarantine.
type QuarantineReply struct {
	Total       int           `json:"total"`
	Quarantined []Quarantined `json:"quarantined"`
	// Silent are the nodes that may have unreadable changes which are missing here.
	Silent []Silence `json:"silent,omitempty"`
}

// quarantine lists keys as data sync's owner knows them, and all nodes' unreadable changes: only the
// node that met one has it.
func (a *api) quarantine(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 1000, 100000)
	if err != nil {
		return nil, err
	}
	n := a.node
	here := func() (QuarantineReply, error) { return n.quarantinedHere(limit) }
	if n.alone(r) {
		return here()
	}
	answers, silent, err := everyNode(r.Context(), n, r.Method, r.URL.RequestURI(), "", here)
	if err != nil {
		return nil, err
	}
	reply, owner := QuarantineReply{Quarantined: []Quarantined{}, Silent: silent}, n.traffic.Plan().Owner
	for _, s := range answers {
		changes := slices.DeleteFunc(slices.Clone(s.answer.Quarantined), func(q Quarantined) bool {
			return q.Kind != datasync.QuarantineFeed
		})
		if s.node == owner {
			reply.Total += s.answer.Total
			reply.Quarantined = append(slices.Clone(s.answer.Quarantined), reply.Quarantined...)
			continue
		}
		reply.Total += len(changes)
		reply.Quarantined = append(reply.Quarantined, changes...)
	}
	reply.Quarantined = reply.Quarantined[:min(limit, len(reply.Quarantined))]
	return reply, nil
}

func (n *node) quarantinedHere(limit int) (QuarantineReply, error) {
	list, total, err := n.sync.Quarantine(limit)
	reply := QuarantineReply{Total: total, Quarantined: []Quarantined{}}
	for _, q := range list {
		one := Quarantined{Quarantined: q}
		if q.Kind == datasync.QuarantineFeed && n.cluster != nil {
			one.Node, one.ID = n.cfg.Node.Name, n.shared(n.cfg.Node.Name, q.ID)
		}
		reply.Quarantined = append(reply.Quarantined, one)
	}
	return reply, err
}

// DropRequest is the body of POST /v1/quarantine/drop: an unreadable change of a feed.
type DropRequest struct {
	ID uint64 `json:"id"`
}

// drop forgets an unreadable change, on the node that has it.
func (a *api) drop(r *http.Request) (any, error) {
	var req DropRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	name, id, err := a.node.owned(req.ID)
	if err != nil {
		return nil, fmt.Errorf("drop: %w", err)
	}
	if name == a.node.cfg.Node.Name {
		return Count{Count: 1}, a.node.sync.DropMalformed(id)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("drop: %w", err)
	}
	var c Count
	return c, a.node.ask(r.Context(), name, http.MethodPost, "/v1/quarantine/drop", string(body), &c)
}
