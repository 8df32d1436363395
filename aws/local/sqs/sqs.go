// Package sqs is Amazon SQS on this machine: standard queues, as far as a consumer of S3's
// notifications needs them. Messages are durable and received at least once (internal/msgqueue).
//
// awsJson 1.0, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
package sqs

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a secret's
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/msgqueue"
)

// Config says where queues live. All fields are required.
type Config struct {
	Dir       string
	Clock     func() time.Time
	Logger    *slog.Logger
	AccountID string
	Region    string
	Endpoint  string // "http://host:port", which begins the queues' URLs
}

// Limits, the vendor's.
const (
	contentType  = "application/x-amz-json-1.0"
	targetPrefix = "AmazonSQS."
	maxBody      = 2 << 20
	maxMessage   = 1 << 20
	maxBatch     = 10
	maxWait      = 20 * time.Second
	defaultHide  = 30 * time.Second
	maxHide      = 12 * time.Hour
	retention    = 4 * 24 * time.Hour
)

// Server is the service. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg    Config
	queues *msgqueue.Store
}

// New opens the queues. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Clock == nil || cfg.Logger == nil || cfg.Dir == "" {
		return nil, errors.New("sqs: Dir, Clock and Logger must be set")
	}
	queues, err := msgqueue.Open(msgqueue.Config{
		Dir: cfg.Dir, Clock: cfg.Clock, Logger: cfg.Logger, MaxAge: retention,
	})
	if err != nil {
		return nil, fmt.Errorf("sqs: %w", err)
	}
	return &Server{cfg, queues}, nil
}

// Close closes the queues. No request may be under way.
func (s *Server) Close() error { return s.queues.Close() }

// Exists reports whether an ARN is that of a queue here.
func (s *Server) Exists(arn string) bool {
	name, ok := s.nameOf(arn)
	if !ok {
		return false
	}
	_, _, ok = s.queues.Counts(name)
	return ok
}

// Deliver puts messages of another service into a queue by its ARN.
func (s *Server) Deliver(arn string, bodies [][]byte) error {
	name, ok := s.nameOf(arn)
	if !ok {
		return msgqueue.ErrNoQueue
	}
	_, err := s.queues.Send(name, bodies...)
	return err
}

func (s *Server) arnOf(name string) string {
	return "arn:aws:sqs:" + s.cfg.Region + ":" + s.cfg.AccountID + ":" + name
}

func (s *Server) nameOf(arn string) (string, bool) { return strings.CutPrefix(arn, s.arnOf("")) }

func (s *Server) urlOf(name string) string {
	return s.cfg.Endpoint + "/" + s.cfg.AccountID + "/" + name
}

func (s *Server) lookup(r *http.Request, name string) wire.Operation[any] {
	switch name {
	case "CreateQueue":
		return wire.Op(s.create)
	case "DeleteQueue":
		return wire.Op(s.remove)
	case "GetQueueUrl":
		return wire.Op(s.url)
	case "ListQueues":
		return wire.Op(s.list)
	case "GetQueueAttributes":
		return wire.Op(s.attributes)
	case "SetQueueAttributes":
		return wire.Op(s.setAttributes)
	case "SendMessage":
		return wire.Op(s.send)
	case "ReceiveMessage":
		return wire.Op(func(in receiveInput) (any, *wire.Error) { return s.receive(r.Context(), in) })
	case "DeleteMessage":
		return wire.Op(s.deleteMessage)
	case "DeleteMessageBatch":
		return wire.Op(s.deleteBatch)
	}
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wire.RPC{
		ContentType: contentType, Target: targetPrefix, MaxBody: maxBody, Lookup: s.lookup,
		Unknown: func(name string) *wire.Error {
			return wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#UnsupportedOperation",
				"The operation %q is not implemented here.", name)
		},
		TooLarge: "RequestEntityTooLarge",
	}.ServeHTTP(w, r)
}

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#InvalidParameterValue", format, args...)
}

// refused puts a queue's error in the vendor's words.
func refused(err error) *wire.Error {
	switch {
	case errors.Is(err, msgqueue.ErrNoQueue):
		return wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#QueueDoesNotExist",
			"The specified queue does not exist.")
	case errors.Is(err, msgqueue.ErrNoMessage):
		return wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#ReceiptHandleIsInvalid",
			"The receipt handle has expired or is not valid.")
	case errors.Is(err, msgqueue.ErrFull):
		return wire.Errorf(http.StatusForbidden, "com.amazonaws.sqs#OverLimit", "%v", err)
	}
	return wire.Errorf(http.StatusInternalServerError, "InternalFailure", "%v", err)
}

func (s *Server) create(in struct {
	QueueName  string
	Attributes map[string]string
},
) (any, *wire.Error) {
	bad := func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}
	if in.QueueName == "" || len(in.QueueName) > 80 || strings.ContainsFunc(in.QueueName, bad) {
		return nil, invalid("Can only include alphanumeric characters, hyphens, or underscores. " +
			"1 to 80 in length")
	}
	if err := s.queues.Create(in.QueueName); err != nil {
		return nil, refused(err)
	}
	return map[string]any{"QueueUrl": s.urlOf(in.QueueName)}, nil
}

// named is a request about one queue.
type named struct {
	QueueUrl  string
	QueueName string
}

func (in named) queue() string {
	if in.QueueName != "" {
		return in.QueueName
	}
	return in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:]
}

func (s *Server) remove(in named) (any, *wire.Error) {
	if err := s.queues.Delete(in.queue()); err != nil {
		return nil, refused(err)
	}
	return map[string]any{}, nil
}

func (s *Server) url(in named) (any, *wire.Error) {
	if _, _, ok := s.queues.Counts(in.queue()); !ok {
		return nil, refused(msgqueue.ErrNoQueue)
	}
	return map[string]any{"QueueUrl": s.urlOf(in.queue())}, nil
}

func (s *Server) list(in struct{ QueueNamePrefix string }) (any, *wire.Error) {
	urls := []string{}
	for _, name := range s.queues.Names() {
		if strings.HasPrefix(name, in.QueueNamePrefix) {
			urls = append(urls, s.urlOf(name))
		}
	}
	slices.Sort(urls)
	return map[string]any{"QueueUrls": urls}, nil
}

func (s *Server) attributes(in struct {
	named

	AttributeNames []string
},
) (any, *wire.Error) {
	waiting, hidden, ok := s.queues.Counts(in.queue())
	if !ok {
		return nil, refused(msgqueue.ErrNoQueue)
	}
	all := map[string]string{
		"QueueArn":                              s.arnOf(in.queue()),
		"ApproximateNumberOfMessages":           strconv.Itoa(waiting),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"VisibilityTimeout":                     strconv.Itoa(int(defaultHide.Seconds())),
		"MessageRetentionPeriod":                strconv.Itoa(int(retention.Seconds())),
	}
	out := map[string]string{}
	for name, value := range all {
		if slices.Contains(in.AttributeNames, "All") || slices.Contains(in.AttributeNames, name) {
			out[name] = value
		}
	}
	return map[string]any{"Attributes": out}, nil
}

// setAttributes takes a policy, which nothing here needs, and no other attribute.
func (s *Server) setAttributes(in struct {
	named

	Attributes map[string]string
},
) (any, *wire.Error) {
	if _, _, ok := s.queues.Counts(in.queue()); !ok {
		return nil, refused(msgqueue.ErrNoQueue)
	}
	for name := range in.Attributes {
		if name != "Policy" {
			return nil, wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#InvalidAttributeName",
				"The attribute %q is not implemented here.", name)
		}
	}
	return map[string]any{}, nil
}

func digest(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // the protocol's checksum
	return hex.EncodeToString(sum[:])
}

func (s *Server) send(in struct {
	named

	MessageBody string
},
) (any, *wire.Error) {
	if len(in.MessageBody) == 0 || len(in.MessageBody) > maxMessage || !utf8.ValidString(in.MessageBody) {
		return nil, invalid("One or more parameters are invalid. Reason: Message must be 1 to %d bytes of text.",
			maxMessage)
	}
	sent, err := s.queues.Send(in.queue(), []byte(in.MessageBody))
	if err != nil {
		return nil, refused(err)
	}
	return map[string]any{
		"MessageId": messageID(sent[0].ID), "MD5OfMessageBody": digest([]byte(in.MessageBody)),
	}, nil
}

func messageID(n uint64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

type receiveInput struct {
	named

	MaxNumberOfMessages *int
	VisibilityTimeout   *int
	WaitTimeSeconds     int
}

func (s *Server) receive(ctx context.Context, in receiveInput) (any, *wire.Error) {
	limit, hide := 1, defaultHide
	if in.MaxNumberOfMessages != nil {
		limit = *in.MaxNumberOfMessages
	}
	if in.VisibilityTimeout != nil {
		hide = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	wait := time.Duration(in.WaitTimeSeconds) * time.Second
	if limit < 1 || limit > maxBatch || hide < 0 || hide > maxHide || wait < 0 || wait > maxWait {
		return nil, invalid("A value is out of range.")
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		got, arrived, err := s.queues.Receive(in.queue(), limit, hide)
		if err != nil {
			return nil, refused(err)
		}
		if len(got) > 0 {
			return messages(got), nil
		}
		select {
		case <-arrived:
		case <-timer.C:
			return map[string]any{}, nil
		case <-ctx.Done():
			return map[string]any{}, nil
		}
	}
}

func messages(got []msgqueue.Message) any {
	var out []map[string]any
	for _, m := range got {
		out = append(out, map[string]any{
			"MessageId": messageID(m.ID), "Body": string(m.Body), "MD5OfBody": digest(m.Body),
			"ReceiptHandle": m.Receipt,
		})
	}
	return map[string]any{"Messages": out}
}

func (s *Server) deleteMessage(in struct {
	named

	ReceiptHandle string
},
) (any, *wire.Error) {
	err := s.queues.Remove(in.queue(), in.ReceiptHandle)
	if err != nil && !errors.Is(err, msgqueue.ErrNoMessage) { // deleting again is no error
		return nil, refused(err)
	}
	return map[string]any{}, nil
}

func (s *Server) deleteBatch(in struct {
	named

	Entries []struct{ Id, ReceiptHandle string }
},
) (any, *wire.Error) {
	if len(in.Entries) == 0 || len(in.Entries) > maxBatch {
		return nil, wire.Errorf(http.StatusBadRequest, "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
			"A batch has 1 to %d entries.", maxBatch)
	}
	done, failed := []any{}, []any{}
	for _, e := range in.Entries {
		err := s.queues.Remove(in.queue(), e.ReceiptHandle)
		if errors.Is(err, msgqueue.ErrNoQueue) {
			return nil, refused(err)
		}
		if err != nil && !errors.Is(err, msgqueue.ErrNoMessage) {
			failed = append(failed, map[string]any{"Id": e.Id, "Code": "InternalFailure", "SenderFault": false})
			continue
		}
		done = append(done, map[string]any{"Id": e.Id})
	}
	return map[string]any{"Successful": done, "Failed": failed}, nil
}
