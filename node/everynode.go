package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// everyTimeout bounds how long a question to all nodes waits for one of them.
const everyTimeout = 5 * time.Second

// Silence is a node that did not answer a question to all nodes, and why.
type Silence struct {
	Node string `json:"node"`
	Why  string `json:"why"`
}

// said is what one node answered.
type said[T any] struct {
	node   string
	answer T
}

// alone reports whether a request is about this node only: it is from another node, or names one.
func (n *node) alone(r *http.Request) bool {
	return n.cluster == nil || r.Header.Get(cluster.FromHeader) != "" || r.Header.Get(NodeHeader) != ""
}

// everyNode asks all nodes the same, this one by here, and returns what each said, in the order in
// which they are configured.
func everyNode[T any](
	ctx context.Context, n *node, method, uri, body string, here func() (T, error),
) (answers []said[T], silent []Silence, err error) {
	return everyNodeWithin(ctx, everyTimeout, n, method, uri, body, here)
}

// everyNodeWithin is everyNode with another patience.
func everyNodeWithin[T any](
	ctx context.Context, patience time.Duration, n *node, method, uri, body string, here func() (T, error),
) (answers []said[T], silent []Silence, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nodes := n.cfg.Cluster.Nodes
	list, errs := make([]T, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, other := range nodes {
		wg.Go(func() {
			if other.Name == n.cfg.Node.Name {
				list[i], errs[i] = here()
				return
			}
			errs[i] = n.ask(ctx, other.Name, method, uri, body, &list[i])
		})
	}
	wg.Wait()
	for i, other := range nodes {
		switch {
		case errs[i] == nil:
			answers = append(answers, said[T]{other.Name, list[i]})
		case other.Name == n.cfg.Node.Name:
			return nil, nil, errs[i]
		default:
			silent = append(silent, Silence{other.Name, errs[i].Error()})
		}
	}
	return answers, silent, nil
}

// ask makes a request of a peer and decodes its answer. A refusal is an error, proa.ErrNotFound where
// the peer says that it has no such thing.
func (n *node) ask(ctx context.Context, target, method, uri, body string, into any) error {
	resp, err := n.call(ctx, target, method, uri, strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPassedOn))
	if err != nil {
		return fmt.Errorf("ask %s: %w: %w", target, proa.ErrUnavailable, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(data, &refusal) != nil || refusal.Error == "" {
			refusal.Error = resp.Status
		}
		return errors.New(refusal.Error)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("ask %s: %w: %w", target, proa.ErrUnavailable, err)
	}
	return nil
}

// places is how many numbers the nodes share: a number on its own disk times places, and the node's
// place in the configuration, is a number that no other node gives.
const places = 100

// place is a node's in the configuration, from 1; 0 where it is not there.
func (n *node) place(name string) uint64 {
	for i, c := range n.cfg.Cluster.Nodes {
		if c.Name == name {
			return uint64(i + 1)
		}
	}
	return 0
}

// shared is the number by which all nodes know what has a number on one node's disk.
func (n *node) shared(name string, id uint64) uint64 {
	if n.cluster == nil {
		return id
	}
	return id*places + n.place(name)
}

// owned splits a shared number into the node and the number there.
func (n *node) owned(shared uint64) (name string, id uint64, err error) {
	if n.cluster == nil {
		return n.cfg.Node.Name, shared, nil
	}
	place := shared % places
	if place == 0 || int(place) > len(n.cfg.Cluster.Nodes) || shared < places {
		return "", 0, fmt.Errorf("number %d: no node gives it: the last two digits are a node's place in cluster.nodes: %w",
			shared, proa.ErrNotFound)
	}
	return n.cfg.Cluster.Nodes[place-1].Name, shared / places, nil
}
