package node

import (
	"context"
	"fmt"
	"net/http"
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
