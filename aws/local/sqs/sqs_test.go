package sqs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/proa-cloud/proa/aws/local/sqs"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type harness struct {
	server *sqs.Server
	client *sdk.Client
	http   *httptest.Server
	clock  *clock
	dir    string
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{dir: t.TempDir(), clock: &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
	h.open(t)
	t.Cleanup(func() { h.close(t) })
	return h
}

func (h *harness) open(t *testing.T) {
	t.Helper()
	var err error
	h.server, err = sqs.New(sqs.Config{
		Dir: h.dir, Clock: h.clock.now, Logger: slog.New(slog.DiscardHandler),
		AccountID: "000000000000", Region: "us-east-1", Endpoint: "http://sqs.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewServer(h.server)
	h.client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &h.http.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

func (h *harness) close(t *testing.T) {
	t.Helper()
	h.http.Close()
	if err := h.server.Close(); err != nil {
		t.Error(err)
	}
}

// queue makes a queue and returns its URL.
func (h *harness) queue(t *testing.T) *string {
	t.Helper()
	out, err := h.client.CreateQueue(t.Context(), &sdk.CreateQueueInput{QueueName: aws.String("changes")})
	if err != nil {
		t.Fatal(err)
	}
	if *out.QueueUrl != "http://sqs.test/000000000000/changes" {
		t.Errorf("the URL is %s", *out.QueueUrl)
	}
	return out.QueueUrl
}

func (h *harness) receive(t *testing.T, url *string, in *sdk.ReceiveMessageInput) []types.Message {
	t.Helper()
	in.QueueUrl = url
	out, err := h.client.ReceiveMessage(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

// code is a refusal's.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// TestAMessageIsHiddenUntilItIsDeletedOrItsTimeIsUp wants the SDK's own check of the MD5 to pass, too.
func TestAMessageIsHiddenUntilItIsDeletedOrItsTimeIsUp(t *testing.T) {
	h := start(t)
	url := h.queue(t)
	if _, err := h.client.SendMessage(t.Context(), &sdk.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String("grüße"),
	}); err != nil {
		t.Fatal(err)
	}
	in := &sdk.ReceiveMessageInput{MaxNumberOfMessages: 10, VisibilityTimeout: 60}
	first := h.receive(t, url, in)
	if len(first) != 1 || *first[0].Body != "grüße" {
		t.Fatalf("received %+v", first)
	}
	if again := h.receive(t, url, in); len(again) != 0 {
		t.Errorf("it is received while it is hidden: %+v", again)
	}
	h.clock.pass(61 * time.Second)
	again := h.receive(t, url, in)
	if len(again) != 1 || *again[0].MessageId != *first[0].MessageId || *again[0].ReceiptHandle == *first[0].ReceiptHandle {
		t.Fatalf("received %+v after %+v", again, first)
	}
	for range 2 { // deleting again is no error
		if _, err := h.client.DeleteMessage(t.Context(), &sdk.DeleteMessageInput{
			QueueUrl: url, ReceiptHandle: again[0].ReceiptHandle,
		}); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.pass(time.Hour)
	if left := h.receive(t, url, in); len(left) != 0 {
		t.Errorf("it is received after its deletion: %+v", left)
	}
}

func TestMessagesOutliveTheProcess(t *testing.T) {
	h := start(t)
	url := h.queue(t)
	arn := "arn:aws:sqs:us-east-1:000000000000:changes"
	if !h.server.Exists(arn) || h.server.Exists(arn+"2") || h.server.Exists("arn:aws:sqs:eu-west-1:000000000000:changes") {
		t.Error("queues are not told apart by their ARN")
	}
	if err := h.server.Deliver(arn, [][]byte{[]byte("one"), []byte("two")}); err != nil {
		t.Fatal(err)
	}
	if err := h.server.Deliver(arn+"2", [][]byte{[]byte("lost")}); err == nil {
		t.Error("a message was delivered to no queue")
	}
	h.close(t)
	h.open(t)
	got := h.receive(t, url, &sdk.ReceiveMessageInput{MaxNumberOfMessages: 10})
	if len(got) != 2 || *got[0].Body+*got[1].Body != "onetwo" {
		t.Errorf("received %+v", got)
	}
}

func TestALongPollEndsWithTheFirstMessage(t *testing.T) {
	h := start(t)
	url := h.queue(t)
	sent := make(chan error, 1)
	go func() {
		time.Sleep(50 * time.Millisecond) // so that the request is likely to wait; either way it must see the message
		sent <- h.server.Deliver("arn:aws:sqs:us-east-1:000000000000:changes", [][]byte{[]byte("now")})
	}()
	began := time.Now()
	got := h.receive(t, url, &sdk.ReceiveMessageInput{WaitTimeSeconds: 20})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || time.Since(began) > 15*time.Second {
		t.Errorf("received %d after %s", len(got), time.Since(began))
	}
}

func TestABatchIsDeletedEntryByEntry(t *testing.T) {
	h := start(t)
	url := h.queue(t)
	for i := range 3 {
		if err := h.server.Deliver("arn:aws:sqs:us-east-1:000000000000:changes", [][]byte{{'0' + byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	got := h.receive(t, url, &sdk.ReceiveMessageInput{MaxNumberOfMessages: 10})
	var entries []types.DeleteMessageBatchRequestEntry
	for _, m := range got {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
	}
	out, err := h.client.DeleteMessageBatch(t.Context(), &sdk.DeleteMessageBatchInput{QueueUrl: url, Entries: entries})
	if err != nil || len(out.Successful) != 3 || len(out.Failed) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	attributes, err := h.client.GetQueueAttributes(t.Context(), &sdk.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	})
	if err != nil || attributes.Attributes["ApproximateNumberOfMessages"] != "0" ||
		attributes.Attributes["QueueArn"] != "arn:aws:sqs:us-east-1:000000000000:changes" {
		t.Errorf("%+v, %v", attributes, err)
	}
}

func TestRefusalsAreTheVendors(t *testing.T) {
	h := start(t)
	url, ctx := h.queue(t), t.Context()
	none := aws.String("http://sqs.test/000000000000/none")
	_, noQueue := h.client.ReceiveMessage(ctx, &sdk.ReceiveMessageInput{QueueUrl: none})
	_, noName := h.client.GetQueueUrl(ctx, &sdk.GetQueueUrlInput{QueueName: aws.String("none")})
	_, badName := h.client.CreateQueue(ctx, &sdk.CreateQueueInput{QueueName: aws.String("a/b")})
	_, tooMany := h.client.ReceiveMessage(ctx, &sdk.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 11})
	_, empty := h.client.SendMessage(ctx, &sdk.SendMessageInput{QueueUrl: url, MessageBody: aws.String("")})
	_, attribute := h.client.SetQueueAttributes(ctx, &sdk.SetQueueAttributesInput{
		QueueUrl: url, Attributes: map[string]string{"FifoQueue": "true"},
	})
	_, operation := h.client.PurgeQueue(ctx, &sdk.PurgeQueueInput{QueueUrl: url})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"queue":     {noQueue, "QueueDoesNotExist"},
		"name":      {noName, "QueueDoesNotExist"},
		"bad name":  {badName, "InvalidParameterValue"},
		"too many":  {tooMany, "InvalidParameterValue"},
		"no body":   {empty, "InvalidParameterValue"},
		"attribute": {attribute, "InvalidAttributeName"},
		"operation": {operation, "UnsupportedOperation"},
	} {
		if got := code(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	h := start(t)
	for _, c := range []struct{ target, body, want string }{
		{"AmazonSQS.ReceiveMessage", "{", "SerializationException"},
		{"AmazonSQS.ReceiveMessage", `{"QueueUrl":5}`, "SerializationException"},
		{"AmazonSQS.", "{}", "UnsupportedOperation"},
		{"DynamoDB_20120810.GetItem", "{}", "UnsupportedOperation"},
		{"AmazonSQS.SendMessage", strings.Repeat("x", 2<<20+1), "RequestEntityTooLarge"},
	} {
		r, err := http.NewRequest(http.MethodPost, h.http.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", c.target)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var refusal struct {
			Type string `json:"__type"`
		}
		err = json.NewDecoder(resp.Body).Decode(&refusal)
		resp.Body.Close()
		if err != nil || resp.StatusCode/100 != 4 || !strings.Contains(refusal.Type, c.want) {
			t.Errorf("%s: %d %+v %v, want %s", c.target, resp.StatusCode, refusal, err, c.want)
		}
	}
}
