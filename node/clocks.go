package node

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// ClocksReply is GET /v1/clocks: what time it is at this node, and how far the others' clocks are from its own.
type ClocksReply struct {
	Node   string      `json:"node"`
	At     time.Time   `json:"at"`
	Others []ClockSkew `json:"others"`
	Silent []Silence   `json:"silent"`
}

// ClockSkew is a node's clock less the asking node's, give or take half of the answer's way.
type ClockSkew struct {
	Node     string  `json:"node"`
	OffsetMS float64 `json:"offset_ms"`
	WithinMS float64 `json:"within_ms"`
}

const clocksPath = "/v1/clocks"

// clocks asks the others. The way there and back is timed by the monotonic clock, which no fault moves.
func (a *api) clocks(r *http.Request) (any, error) {
	n := a.node
	reply := ClocksReply{Node: n.cfg.Node.Name, At: n.clock().UTC(), Others: []ClockSkew{}, Silent: []Silence{}}
	if n.alone(r) {
		return reply, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), everyTimeout)
	defer cancel()
	nodes := n.cfg.Cluster.Nodes
	skews, errs := make([]ClockSkew, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, other := range nodes {
		if other.Name == n.cfg.Node.Name {
			continue
		}
		wg.Go(func() {
			var said ClocksReply
			began := time.Now()
			if errs[i] = n.ask(ctx, other.Name, http.MethodGet, clocksPath, "", &said); errs[i] != nil {
				return
			}
			half := time.Since(began) / 2
			skews[i] = ClockSkew{other.Name, float64(said.At.Sub(n.clock().Add(-half)).Microseconds()) / 1000, float64(half.Microseconds()) / 1000}
		})
	}
	wg.Wait()
	for i, other := range nodes {
		switch {
		case other.Name == n.cfg.Node.Name:
		case errs[i] != nil:
			reply.Silent = append(reply.Silent, Silence{other.Name, errs[i].Error()})
		default:
			reply.Others = append(reply.Others, skews[i])
		}
	}
	return reply, nil
}
