package local_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/aws/provision"
)

// doomedCloud runs a region until it is killed.
func doomedCloud(dir string) int {
	err := local.Run(context.Background(), local.Config{
		Dir: dir, APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
		AccessKeyID: testKey, SecretAccessKey: proa.NewSecret(testSecret),
		AccountID: account, Region: region, Clock: time.Now,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Ready:  func(a local.Addresses) { _ = json.NewEncoder(os.Stdout).Encode(a) },
	})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// spawn runs a region as a process of its own.
func spawn(t *testing.T, dir string) (running, *exec.Cmd) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cmd := &exec.Cmd{Path: self, Args: []string{"cloud", dir}, Stderr: os.Stderr}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var a local.Addresses
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&a); err != nil {
		t.Fatal(err)
	}
	t.Logf("the process answers after %v", time.Since(began))
	return running{Addresses: a}, cmd
}

func TestSIGKILLLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	r, cmd := spawn(t, dir)
	if err := provision.Apply(t.Context(), demo(r, packageOf(t))); err != nil {
		t.Fatal(err)
	}
	cfg := r.config(testKey, testSecret)
	if _, err := eventbridge.NewFromConfig(cfg).PutEvents(t.Context(), &eventbridge.PutEventsInput{
		Entries: []eventtypes.PutEventsRequestEntry{{
			Source: aws.String("test"), DetailType: aws.String("t"), Detail: aws.String("{}"),
		}},
	}); err != nil {
		t.Fatal(err)
	}
	bucket, key := aws.String("attachments"), aws.String("a")
	if _, err := s3.NewFromConfig(cfg, pathStyle).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: strings.NewReader("attached"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	again, _ := spawn(t, dir)
	cfg = again.config(testKey, testSecret)
	if status, body := get(t, again, "/orders/1"); status != 200 {
		t.Errorf("the API answers %d %s", status, body)
	}
	object, err := s3.NewFromConfig(cfg, pathStyle).GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if text, err := io.ReadAll(object.Body); string(text) != "attached" {
		t.Errorf("the object is %q, %v", text, err)
	}
	alarms, err := cloudwatch.NewFromConfig(cfg).DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	if err != nil || len(alarms.MetricAlarms) != 1 {
		t.Errorf("alarms: %v, %v", alarms, err)
	}
}

func pathStyle(o *s3.Options) { o.UsePathStyle = true }

func get(t *testing.T, r running, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + r.Gateway + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestErrorsOfTheGatewayFireTheAlarm(t *testing.T) {
	r := start(t, t.TempDir())
	if err := provision.Apply(t.Context(), demo(r, packageOf(t))); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if status, body := get(t, r, "/orders/fail"); status != 500 {
			t.Fatalf("%d %s", status, body)
		}
	}
	client := cloudwatch.NewFromConfig(r.config(testKey, testSecret))
	began := time.Now()
	waiter := cloudwatch.NewAlarmExistsWaiter(client)
	in := &cloudwatch.DescribeAlarmsInput{StateValue: types.StateValueAlarm}
	if err := waiter.Wait(t.Context(), in, 8*time.Second, func(o *cloudwatch.AlarmExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 100*time.Millisecond
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("the alarm fires after %v", time.Since(began))
	out, err := client.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("AWS/Lambda")})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range out.Metrics {
		seen[*m.MetricName] = true
	}
	for _, want := range []string{"Invocations", "Errors", "Duration", "ConcurrentExecutions"} {
		if !seen[want] {
			t.Errorf("no metric %s in %v", want, seen)
		}
	}
}

// A steady load, well over the 200 requests a second that the demo must carry.
func TestGatewayCarriesALoad(t *testing.T) {
	r := start(t, t.TempDir())
	if err := provision.Apply(t.Context(), demo(r, packageOf(t))); err != nil {
		t.Fatal(err)
	}
	const workers, total = 16, 2000
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	var left, bad atomic.Int64
	left.Store(total)
	began := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				answer, err := client.Get("http://" + r.Gateway + "/orders/1")
				if err != nil {
					bad.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					bad.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("%d requests in %v: %.0f a second", total, took, total/took.Seconds())
	if bad.Load() != 0 {
		t.Errorf("%d of %d requests failed", bad.Load(), total)
	}
}
