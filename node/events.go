package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/bus"
)

// bridge delivers to EventBridge.
type bridge struct{ to *aws.EventBus }

// Send puts a batch on the bus.
func (b bridge) Send(ctx context.Context, batch []bus.Message) error {
	var events []aws.Event
	for _, m := range batch {
		events = append(events, aws.Event{Source: "proa", DetailType: m.Type, Detail: m.Body})
	}
	return b.to.Put(ctx, events)
}

// grid delivers to Event Grid.
type grid struct{ to *azure.EventGrid }

// Send publishes a batch.
func (g grid) Send(ctx context.Context, batch []bus.Message) error {
	var events [][]byte
	for _, m := range batch {
		events = append(events, m.Body)
	}
	return g.to.Publish(ctx, events)
}

// subscribers opens what gets changes. It calls nobody.
func subscribers(ctx context.Context, c Config, a aws.Config, z azure.Config) ([]datasync.Subscriber, error) {
	var list []datasync.Subscriber
	for _, s := range c.Proa.Events {
		filter, err := bus.NewFilter(s.Tables, s.KeyPrefix, s.Filter)
		if err != nil {
			return nil, err
		}
		sub := datasync.Subscriber{Name: s.Name, Filter: filter}
		if sub.Sink, sub.Batch, err = sink(ctx, c, s, a, z); err != nil {
			return nil, err
		}
		list = append(list, sub)
	}
	return list, nil
}

const (
	webhookTimeout = 15 * time.Second
	gridBatch      = 2 // two of the largest items still fit in one publish
)

func sink(
	ctx context.Context, c Config, s config.Subscriber, a aws.Config, z azure.Config,
) (bus.Sink, int, error) {
	switch s.To {
	case "webhook":
		client := &http.Client{Timeout: webhookTimeout}
		return &bus.Webhook{URL: s.URL, Secret: s.Secret, Clock: c.Clock, Client: client}, 1, nil
	case "eventbridge":
		to, err := aws.NewEventBus(ctx, a, s.Target)
		return bridge{to}, aws.MaxEvents, err
	case "eventgrid":
		return grid{azure.NewEventGrid(z, s.URL, s.Secret)}, gridBatch, nil
	case "lambda":
		f, err := aws.NewFunction(ctx, a, s.Target)
		return bus.Function{Function: f}, 1, err
	case "functions":
		return bus.Function{Function: azure.NewFunction(z, s.URL, s.Secret)}, 1, nil
	}
	return nil, 0, fmt.Errorf("subscriber %s: unknown kind %q: %w", s.Name, s.To, proa.ErrInvalidConfig)
}

// DeadLetter is an event that a subscriber refused.
type DeadLetter struct {
	// Node has it on its disk; "" on a node that is alone.
	Node string `json:"node,omitempty"`
	bus.DeadLetter
}

// DeadReply is GET /v1/events/{name}/dead: of all nodes, the oldest first.
type DeadReply struct {
	Dead []DeadLetter `json:"dead"`
	// Silent are the nodes whose dead letters are missing here.
	Silent []Silence `json:"silent,omitempty"`
}

func (a *api) deadLetters(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 10000)
	if err != nil {
		return nil, err
	}
	n := a.node
	here := func() (DeadReply, error) { return n.deadHere(r.PathValue("name"), limit) }
	if n.alone(r) {
		return here()
	}
	answers, silent, err := everyNode(r.Context(), n, r.Method, r.URL.RequestURI(), "", here)
	if err != nil {
		return nil, err
	}
	return DeadReply{Dead: buried(answers, limit), Silent: silent}, nil
}

// buried joins the dead letters of several nodes, the oldest first.
func buried(answers []said[DeadReply], limit int) []DeadLetter {
	list := []DeadLetter{}
	for _, s := range answers {
		list = append(list, s.answer.Dead...)
	}
	slices.SortStableFunc(list, func(x, y DeadLetter) int { return x.At.Compare(y.At) })
	return list[:min(limit, len(list))]
}

func (n *node) deadHere(name string, limit int) (DeadReply, error) {
	list, err := n.sync.DeadLetters(name, limit)
	reply := DeadReply{Dead: []DeadLetter{}}
	for _, l := range list {
		one := DeadLetter{DeadLetter: l}
		if n.cluster != nil {
			one.Node = n.cfg.Node.Name
		}
		reply.Dead = append(reply.Dead, one)
	}
	return reply, err
}

// redeliver has every node send the dead letters that it has.
func (a *api) redeliver(r *http.Request) (any, error) {
	n, own := a.node, error(nil)
	here := func() (Count, error) {
		count, err := n.sync.Redeliver(r.Context(), r.PathValue("name"))
		own = err
		return Count{Count: count}, nil
	}
	if n.alone(r) {
		reply, _ := here()
		return reply, own
	}
	answers, silent, err := everyNodeWithin(
		r.Context(), orderTimeout, n, r.Method, r.URL.RequestURI(), "", here)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(own, proa.ErrNotFound):
		return nil, own
	case own != nil:
		silent = append(silent, Silence{n.cfg.Node.Name, own.Error()})
	}
	reply := Count{Silent: silent}
	for _, s := range answers {
		reply.Count += s.answer.Count
	}
	return reply, nil
}
