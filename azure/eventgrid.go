package azure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/proa-cloud/proa"
)

// EventGrid publishes CloudEvents to one custom topic, whose input schema must be CloudEvents 1.0.
//
// https://learn.microsoft.com/azure/event-grid/post-to-custom-topic
type EventGrid struct {
	url    string
	key    proa.Secret
	config Config
	client *http.Client
}

// MaxGridBatch is the most bytes that one publish may have.
const MaxGridBatch = 1 << 20

// NewEventGrid opens a topic by its endpoint, such as
// https://TOPIC.REGION-1.eventgrid.azure.net/api/events, with one of its access keys. It makes no
// call.
func NewEventGrid(c Config, url string, key proa.Secret) *EventGrid {
	return &EventGrid{url: url, key: key, config: c, client: c.client()}
}

// Publish sends CloudEvents in JSON as one batch: all are taken or none. A batch that is too large
// wraps proa.ErrTooLarge.
func (g *EventGrid) Publish(ctx context.Context, events [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.timeout())
	defer cancel()
	body := append([]byte{'['}, bytes.Join(events, []byte{','})...)
	body = append(body, ']')
	if len(body) > MaxGridBatch {
		return fail("publish events", g.url, fmt.Errorf("%d bytes: %w", len(body), proa.ErrTooLarge))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, bytes.NewReader(body))
	if err != nil {
		return fail("publish events", g.url, fmt.Errorf("%w: %w", proa.ErrInvalid, err))
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
	req.Header.Set("Aeg-Sas-Key", g.key.Reveal())
	resp, err := g.client.Do(req)
	if err != nil {
		return fail("publish events", g.url, err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // its beginning, for the reason
	if resp.StatusCode/100 != 2 {
		return fail("publish events", g.url,
			fmt.Errorf("%w: HTTP %d: %.512s", kindOfStatus(resp.StatusCode), resp.StatusCode, answer))
	}
	return nil
}
