package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// Bounds of requests that one node passes on to another.
const (
	peerTimeout   = 10 * time.Minute // a deep comparison takes its time
	statusTimeout = 400 * time.Millisecond
	viewTimeout   = time.Second // then this node's own view is as good
	orderTimeout  = 30 * time.Second
	maxPassedOn   = 64 << 20
)

// NodeHeader names the node that a request is for, where that matters: `proa` sets it when it is
// asked for one node's own view. Without it a request goes to the node that can answer it.
const NodeHeader = "Proa-Node"

// Routes that another node must answer: the one that decides, or the one that owns data sync. Journals,
// dead letters and unreadable changes are asked of all nodes; all others each node answers for itself.
var (
	forLeader = []string{"POST /v1/traffic", "GET /v1/explain"}
	forOwner  = []string{
		"GET /v1/diff", "POST /v1/verify",
		"POST /v1/conflicts/{id}/restore", "POST /v1/conflicts/settle",
		"POST /v1/quarantine/show", "POST /v1/quarantine/retry",
		"GET /v1/backfill", "POST /v1/backfill", "GET /v1/events", "GET /v1/data",
	}
)

// routed answers a request here, or passes it on to the node that can answer it. A request that came
// from a peer is never passed on again.
func (n *node) routed(pattern string, here http.Handler) http.Handler {
	leads, owns := slices.Contains(forLeader, pattern), slices.Contains(forOwner, pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get(NodeHeader)
		if target == "" && n.cluster != nil {
			switch {
			case leads:
				target = n.cluster.View().Leader
			case owns:
				target = n.traffic.Plan().Owner
			}
		}
		passedOn := r.Header.Get(cluster.FromHeader) != ""
		if target == "" || target == n.cfg.Node.Name || passedOn || n.cluster == nil {
			here.ServeHTTP(w, r)
			return
		}
		switch {
		case leads && r.Method == http.MethodGet && target != r.Header.Get(NodeHeader):
			n.passOn(w, r, target, viewTimeout, here)
		case leads:
			n.passOn(w, r, target, orderTimeout, nil)
		default:
			n.passOn(w, r, target, peerTimeout, nil)
		}
	})
}

// passOn has another node answer. Where it cannot be reached in time, otherwise does, or the error is told.
func (n *node) passOn(
	w http.ResponseWriter, r *http.Request, target string, patience time.Duration, otherwise http.Handler,
) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	resp, err := n.call(ctx, target, r.Method, r.URL.RequestURI(), r.Body)
	if err != nil && otherwise != nil {
		otherwise.ServeHTTP(w, r)
		return
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		text := fmt.Sprintf("%s, which answers this, cannot be reached: %v", target, err)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client has gone
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, maxPassedOn)) // the client has gone
}

// call makes a request of a peer. The caller closes the answer's body.
func (n *node) call(ctx context.Context, target, method, uri string, body io.Reader) (*http.Response, error) {
	client, err := n.cluster.Client(target)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+target+uri, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", target, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w: %w", target, proa.ErrUnavailable, err)
	}
	return resp, nil
}

// peerHandler answers the other nodes: the control API, whose token their certificates stand for.
func (n *node) peerHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := n.cfg.Node.ControlToken
		if r.URL.Path == announcePath {
			token = n.cfg.Node.AnnounceToken
		}
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
		r.Header.Del(console.NotedHeader)
		n.api.inside.ServeHTTP(w, withPatience(w, r, bodyPatience))
	})
}

// ClusterStatus is the nodes' part of a Status.
type ClusterStatus struct {
	// Quorum says in a sentence whether the nodes can decide.
	Quorum string `json:"quorum"`
	// Leader is the node that decides and Owner the one that runs data sync; "" when there is none.
	Leader string             `json:"leader"`
	Owner  string             `json:"owner"`
	Epoch  uint64             `json:"epoch"`
	Nodes  []cluster.NodeView `json:"nodes"`
}

// clusterStatus is nil on a node that is alone.
func (n *node) clusterStatus() *ClusterStatus {
	if n.cluster == nil {
		return nil
	}
	v, plan := n.cluster.View(), n.traffic.Plan()
	return &ClusterStatus{
		Quorum: v.Quorum, Leader: v.Leader, Owner: plan.Owner, Epoch: plan.Epoch, Nodes: v.Nodes,
	}
}

// askOwner fills in what only data sync's owner knows. Without its answer it stays unknown.
func (n *node) askOwner(ctx context.Context, s *Status) {
	owner := n.traffic.Plan().Owner
	if n.cluster == nil || owner == "" || owner == n.cfg.Node.Name {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	resp, err := n.call(ctx, owner, http.MethodGet, "/v1/status", http.NoBody)
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s, which owns data sync, cannot be asked: %v", owner, err))
		return
	}
	defer resp.Body.Close()
	var theirs Status
	err = json.NewDecoder(io.LimitReader(resp.Body, maxPassedOn)).Decode(&theirs)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s, which owns data sync, is not understood: %v", owner, err))
		return
	}
	for r, region := range s.Regions {
		t := theirs.Regions[r]
		t.Health, t.Reason = region.Health, region.Reason
		s.Regions[r] = t
	}
	s.Verified = theirs.Verified
	for _, w := range theirs.Warnings {
		if !slices.Contains(s.Warnings, w) {
			s.Warnings = append(s.Warnings, w)
		}
	}
}

// Alive is GET /v1/alive: that this node answers, and who decides as far as it knows; "" for nobody.
type Alive struct {
	Node   string `json:"node"`
	Leader string `json:"leader"`
}

func (a *api) alive(*http.Request) (any, error) {
	v := Alive{Node: a.node.cfg.Node.Name, Leader: a.node.cfg.Node.Name}
	if c := a.node.cluster; c != nil {
		v.Leader = c.View().Leader
	}
	return v, nil
}

// cluster shows this node's own view of the nodes: members, identities, the record's audit.
func (a *api) cluster(*http.Request) (any, error) {
	if a.node.cluster == nil {
		return nil, fmt.Errorf("this node is alone: no cluster is configured: %w", proa.ErrNotFound)
	}
	return a.node.cluster.View(), nil
}

// ForceOrder is POST /v1/cluster/force.
type ForceOrder struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// forceCluster makes this node the only member: for the case that a majority is lost for good.
func (a *api) forceCluster(r *http.Request) (any, error) {
	var o ForceOrder
	if err := decode(r, &o); err != nil {
		return nil, err
	}
	if a.node.cluster == nil {
		return nil, fmt.Errorf("this node is alone: nothing is to be forced: %w", proa.ErrConflict)
	}
	if strings.TrimSpace(o.Reason) == "" {
		return nil, fmt.Errorf("force: a reason is needed for the record: %w", proa.ErrInvalid)
	}
	return struct{}{}, a.node.cluster.Force(r.Context(), o.By, o.Reason)
}
