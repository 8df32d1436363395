package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/blob"
)

// notices are Event Grid's events of changed blobs on their way to the queues that subscribe to a
// container. Event Grid delivers each at least once; here a crash, or more than maxNotices on their
// way, loses some, which is logged.
type notices struct {
	account string
	waiting chan blob.Event
	lost    atomic.Int64

	mu     sync.Mutex
	queues map[string][]string // by container
}

// maxNotices bounds the events on their way; deliverTogether those of one write to the disk.
const (
	maxNotices      = 20_000
	deliverTogether = 500
)

func newNotices(account string) *notices {
	return &notices{account: account, waiting: make(chan blob.Event, maxNotices), queues: map[string][]string{}}
}

// subscribe replaces the subscriptions.
func (n *notices) subscribe(subscriptions []EventSubscription) {
	queues := map[string][]string{}
	for _, s := range subscriptions {
		queues[s.Container] = append(queues[s.Container], s.Queue)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queues = queues
}

func (n *notices) queuesOf(container string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queues[container]
}

// add hands an event over. It never blocks.
func (n *notices) add(e blob.Event) {
	if len(n.queuesOf(e.Container)) == 0 {
		return
	}
	select {
	case n.waiting <- e:
	default:
		n.lost.Add(1)
	}
}

// deliver puts events into their queues, many with one write to the disk.
func (s *services) deliver(ctx context.Context) error {
	for {
		var first blob.Event
		select {
		case <-ctx.Done():
			return nil
		case first = <-s.notices.waiting:
		}
		events := []blob.Event{first}
		for more := true; more && len(events) < deliverTogether; {
			select {
			case e := <-s.notices.waiting:
				events = append(events, e)
			default:
				more = false
			}
		}
		byQueue := map[string][][]byte{}
		for _, e := range events {
			message, err := s.notices.message(e)
			if err != nil {
				s.logger.Error("event lost", "blob", e.Name, "error", err)
				continue
			}
			for _, queue := range s.notices.queuesOf(e.Container) {
				byQueue[queue] = append(byQueue[queue], message)
			}
		}
		for queue, messages := range byQueue {
			if err := s.queue.Deliver(queue, messages); err != nil {
				s.logger.Warn("events lost", "queue", queue, "count", len(messages), "error", err)
			}
		}
		if lost := s.notices.lost.Swap(0); lost > 0 {
			s.logger.Warn("events lost: too many were on their way", "count", lost)
		}
	}
}

// message is an event in the Event Grid schema, in base64 as Event Grid puts it into storage queues.
// https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
func (n *notices) message(e blob.Event) ([]byte, error) {
	kind, data := "Microsoft.Storage.BlobCreated", map[string]any{
		"api": e.API, "requestId": auth.NewID(), "blobType": "BlockBlob",
		"sequencer": fmt.Sprintf("%032X", e.Tick),
		"url":       "https://" + n.account + ".blob.core.windows.net/" + e.Container + "/" + e.Name,
	}
	if e.Deleted {
		kind = "Microsoft.Storage.BlobDeleted"
	} else {
		data["eTag"], data["contentLength"], data["contentType"] = strings.Trim(e.ETag, `"`), e.Size, e.ContentType
	}
	body, err := json.Marshal(map[string]any{
		"topic": "/subscriptions/" + Subscription + "/resourceGroups/" + ResourceGroup +
			"/providers/Microsoft.Storage/storageAccounts/" + n.account,
		"subject":   "/blobServices/default/containers/" + e.Container + "/blobs/" + e.Name,
		"eventType": kind, "eventTime": e.At.UTC().Format(time.RFC3339Nano), "id": auth.NewID(), "data": data,
		"dataVersion": "", "metadataVersion": "1",
	})
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(body)), nil
}
