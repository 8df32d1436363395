package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Notices is the SQS queue into which a bucket's event notifications go: s3:ObjectCreated:* and
// s3:ObjectRemoved:*, for all keys. Its visibility time-out must be longer than a small object's copy.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type Notices struct {
	bucket string
	queue  string // URL
	config Config
	sqs    *sqs.Client
}

var _ cloud.ObjectEvents = (*Notices)(nil)

const (
	maxReceive = 10 // messages of one request
	maxAck     = 10
	longPoll   = 20 * time.Second
)

// NewNotices opens a queue by its URL, or by its name in the caller's account.
func NewNotices(ctx context.Context, c Config, bucket, queue string) (*Notices, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &Notices{bucket, queue, c, sqs.NewFromConfig(cfg)}, nil
}

// address finds the queue's URL.
func (n *Notices) address(ctx context.Context) error {
	if strings.Contains(n.queue, "://") {
		return nil
	}
	out, err := n.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &n.queue})
	if err != nil {
		return fail("find queue", n.queue, err)
	}
	n.queue = sdk.ToString(out.QueueUrl)
	return nil
}

// Receive returns the events of up to ten messages. It is called by one goroutine at a time.
func (n *Notices) Receive(ctx context.Context, wait time.Duration) ([]cloud.ObjectEvent, error) {
	if err := n.address(ctx); err != nil {
		return nil, err
	}
	seconds := min(max(wait, time.Second), longPoll) / time.Second // 0 would ask only some of the servers
	ctx, cancel := context.WithTimeout(ctx, wait+n.config.timeout())
	defer cancel()
	out, err := n.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &n.queue, MaxNumberOfMessages: maxReceive, WaitTimeSeconds: int32(seconds),
	})
	if err != nil {
		return nil, fail("receive notices", n.queue, err)
	}
	var events []cloud.ObjectEvent
	for _, m := range out.Messages {
		events = append(events, n.decode(sdk.ToString(m.Body), sdk.ToString(m.ReceiptHandle))...)
	}
	return events, nil
}

// notification is what S3 sends, as far as it is needed.
type notification struct {
	Records []struct {
		EventName string
		EventTime time.Time
		S3        struct {
			Bucket struct{ Name string }
			Object struct {
				Key  string
				Size *int64
				ETag string
			}
		}
	}
}

// decode reads one message. What is malformed, or about something else, only has to be acknowledged.
func (n *Notices) decode(body, receipt string) []cloud.ObjectEvent {
	var in notification
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		n.config.logger().Warn("notice cannot be read", "queue", n.queue, "error", err)
	}
	events := []cloud.ObjectEvent{{Receipt: receipt}}
	for _, r := range in.Records {
		name, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil || r.S3.Bucket.Name != n.bucket {
			continue
		}
		e := cloud.ObjectEvent{
			Name: name, Size: -1, Time: r.EventTime, Receipt: receipt,
			Deleted: strings.HasPrefix(r.EventName, "ObjectRemoved:"),
		}
		if !e.Deleted {
			e.ETag = strconv.Quote(r.S3.Object.ETag)
			if r.S3.Object.Size != nil {
				e.Size = *r.S3.Object.Size
			}
		}
		events = append(events, e)
	}
	return events
}

// Acknowledge deletes messages, ten with one request.
func (n *Notices) Acknowledge(ctx context.Context, receipts []string) error {
	var errs []error
	for len(receipts) > 0 {
		batch := receipts[:min(maxAck, len(receipts))]
		receipts = receipts[len(batch):]
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &n.queue}
		for i, receipt := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
				Id: sdk.String(strconv.Itoa(i)), ReceiptHandle: sdk.String(receipt),
			})
		}
		out, err := n.sqs.DeleteMessageBatch(ctx, in)
		if err != nil {
			errs = append(errs, fail("acknowledge notices", n.queue, err))
			continue
		}
		for _, f := range out.Failed {
			if !f.SenderFault {
				errs = append(errs, fail("acknowledge notices", n.queue,
					fmt.Errorf("%s: %w", sdk.ToString(f.Code), proa.ErrUnavailable)))
			}
		}
	}
	return errors.Join(errs...)
}

// Subscribe makes a queue and has the bucket put its notices there. It replaces the bucket's whole
// notification configuration, so it is for buckets of which nobody else takes notices.
func (n *Notices) Subscribe(ctx context.Context, b *Bucket) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.timeout())
	defer cancel()
	made, err := n.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &n.queue})
	if err != nil {
		return fail("create queue", n.queue, err)
	}
	out, err := n.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: made.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return fail("read queue", n.queue, err)
	}
	n.queue = sdk.ToString(made.QueueUrl)
	return b.notify(ctx, out.Attributes["QueueArn"])
}
