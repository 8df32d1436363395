package aws

import (
	"context"
	"fmt"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/proa-cloud/proa"
)

// EventBus puts events on one EventBridge bus.
type EventBus struct {
	name   string
	config Config
	events *eventbridge.Client
}

// Event is one entry for EventBridge. Detail is JSON.
type Event struct {
	Source, DetailType string
	Detail             []byte
}

// MaxEvents is the most entries of one PutEvents.
const MaxEvents = 10

// NewEventBus opens a bus by name or ARN.
func NewEventBus(ctx context.Context, c Config, name string) (*EventBus, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &EventBus{name: name, config: c, events: eventbridge.NewFromConfig(cfg)}, nil
}

// Put puts up to MaxEvents events on the bus. EventBridge takes each by itself: those that it
// refuses for now are tried again, in order, as often as a call is; an error says that at least one
// was not taken.
func (b *EventBus) Put(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	var entries []types.PutEventsRequestEntry
	for _, e := range events {
		entries = append(entries, types.PutEventsRequestEntry{
			EventBusName: &b.name, Source: sdk.String(e.Source), DetailType: sdk.String(e.DetailType),
			Detail: sdk.String(string(e.Detail)),
		})
	}
	for range defaultAttempts {
		out, err := b.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		if err != nil {
			return fail("put events", b.name, err)
		}
		if out.FailedEntryCount == 0 {
			return nil
		}
		var left []types.PutEventsRequestEntry
		for i, r := range out.Entries {
			if r.ErrorCode == nil || i >= len(entries) {
				continue
			}
			if kindOf(*r.ErrorCode) == nil {
				return fail("put events", b.name, fmt.Errorf("%s: %s: %w", *r.ErrorCode, sdk.ToString(r.ErrorMessage),
					proa.ErrInvalid))
			}
			left = append(left, entries[i])
		}
		entries = slices.Clone(left)
	}
	return fail("put events", b.name, fmt.Errorf("%d entries were not taken: %w", len(entries), proa.ErrUnavailable))
}
