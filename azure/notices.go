package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/queueerror"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Notices is the storage queue into which an Event Grid subscription puts BlobCreated and BlobDeleted
// of one container, in the Event Grid or the CloudEvents schema. Event Grid tells nothing of changes of
// metadata or headers alone.
//
// https://learn.microsoft.com/azure/event-grid/handler-storage-queues
type Notices struct {
	container string
	name      string
	config    Config
	queue     *azqueue.QueueClient
}

var _ cloud.ObjectEvents = (*Notices)(nil)

const maxReceive = 32 // messages of one request

// NewNotices opens a queue by its name in the account of StorageConnection, or of StorageEndpoint with an
// identity, or by its URL. It makes no call.
func NewNotices(c Config, container, queue string) (*Notices, error) {
	client, err := c.queue(queue)
	if err != nil {
		return nil, badConfig(err)
	}
	return &Notices{container, queue, c, client}, nil
}

func (c Config) queue(name string) (*azqueue.QueueClient, error) {
	o := &azqueue.ClientOptions{ClientOptions: c.options()}
	if !c.StorageConnection.IsZero() {
		client, err := azqueue.NewQueueClientFromConnectionString(c.StorageConnection.Reveal(), name, o)
		if err != nil {
			err = errors.New("malformed storage connection string") // the SDK's error may quote it
		}
		return client, err
	}
	if !strings.Contains(name, "://") {
		host := strings.TrimSuffix(strings.Replace(c.StorageEndpoint, ".blob.", ".queue.", 1), "/")
		if host == "" {
			return nil, errors.New("neither a storage connection nor a storage endpoint is given")
		}
		name = host + "/" + name
	}
	identity, err := c.identity()
	if err != nil {
		return nil, err
	}
	return azqueue.NewQueueClient(name, identity, o)
}

// pollEvery is the least time between two looks at an empty queue, which cannot be waited for; pollIdle that of a caller
// who waits for as long as that.
const (
	pollEvery = 200 * time.Millisecond
	pollIdle  = time.Second
)

// Receive returns the events of up to 32 messages.
func (n *Notices) Receive(ctx context.Context, wait time.Duration) ([]cloud.ObjectEvent, error) {
	every := pollEvery
	if wait >= pollIdle {
		every = pollIdle
	}
	for end := time.Now().Add(wait); ; {
		events, err := n.receive(ctx)
		left := time.Until(end)
		if err != nil || len(events) > 0 || left <= 0 {
			return events, err
		}
		timer := time.NewTimer(min(left, every))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fail("receive notices", n.name, ctx.Err())
		}
		if left <= every {
			return nil, nil // the next call looks
		}
	}
}

func (n *Notices) receive(ctx context.Context) ([]cloud.ObjectEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.timeout())
	defer cancel()
	limit := int32(maxReceive)
	out, err := n.queue.DequeueMessages(ctx, &azqueue.DequeueMessagesOptions{NumberOfMessages: &limit})
	if err != nil {
		return nil, fail("receive notices", n.name, err)
	}
	var events []cloud.ObjectEvent
	for _, m := range out.Messages {
		receipt := deref(m.MessageID) + " " + deref(m.PopReceipt)
		events = append(events, n.decode(deref(m.MessageText), receipt)...)
	}
	return events, nil
}

// gridEvent is an event in either schema, as far as it is needed.
type gridEvent struct {
	Subject   string
	EventType string
	Type      string
	EventTime time.Time
	Time      time.Time
	Data      struct {
		ETag          string
		ContentLength *int64
	}
}

// decode reads one message. What is malformed, or about something else, only has to be acknowledged.
func (n *Notices) decode(text, receipt string) []cloud.ObjectEvent {
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		body = []byte(text)
	}
	events := []cloud.ObjectEvent{{Receipt: receipt}}
	var in gridEvent
	if err := json.Unmarshal(body, &in); err != nil {
		n.config.logger().Warn("notice cannot be read", "queue", n.name, "error", err)
		return events
	}
	name, ok := strings.CutPrefix(in.Subject, "/blobServices/default/containers/"+n.container+"/blobs/")
	if !ok {
		return events
	}
	e := cloud.ObjectEvent{Name: name, Size: -1, Time: in.EventTime, Receipt: receipt}
	if e.Time.IsZero() {
		e.Time = in.Time
	}
	switch in.EventType + in.Type {
	case "Microsoft.Storage.BlobDeleted":
		e.Deleted = true
	case "Microsoft.Storage.BlobCreated":
		e.ETag = `"` + strings.Trim(in.Data.ETag, `"`) + `"`
		if in.Data.ContentLength != nil {
			e.Size = *in.Data.ContentLength
		}
	default:
		return events
	}
	return append(events, e)
}

// Acknowledge deletes messages.
func (n *Notices) Acknowledge(ctx context.Context, receipts []string) error {
	var errs []error
	for _, r := range receipts {
		id, receipt, ok := strings.Cut(r, " ")
		if !ok {
			errs = append(errs, fail("acknowledge notices", n.name, fmt.Errorf("receipt %q: %w", r, proa.ErrInvalid)))
			continue
		}
		_, err := n.queue.DeleteMessage(ctx, id, receipt, nil)
		if err != nil && !queueerror.HasCode(err, queueerror.MessageNotFound, queueerror.PopReceiptMismatch) {
			errs = append(errs, fail("acknowledge notices", n.name, err))
		}
	}
	return errors.Join(errs...)
}
