package local_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	guestruntime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/aws/provision"
)

const (
	testKey    = "AKIAPROATEST"
	testSecret = "a secret that is long enough"
	account    = "000000000000"
	region     = "us-east-1"
)

// The test binary is the function, too: as bootstrap it echoes the event that it got.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "bootstrap":
		guestruntime.Start(echo)
	case "cloud":
		os.Exit(doomedCloud(os.Args[1]))
	default:
		os.Exit(m.Run())
	}
}

func echo(_ context.Context, event json.RawMessage) (events.APIGatewayV2HTTPResponse, error) {
	var request events.APIGatewayV2HTTPRequest
	if json.Unmarshal(event, &request) == nil && request.RawPath == "/orders/fail" {
		return events.APIGatewayV2HTTPResponse{}, errors.New("as asked")
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusOK, Body: string(event),
		Headers: map[string]string{"Content-Type": "application/json"},
		Cookies: []string{"a=1", "b=2"},
	}, nil
}

// running is a local AWS.
type running struct {
	local.Addresses
	stop func() error
}

func start(t *testing.T, dir string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan local.Addresses, 1), make(chan error, 1)
	go func() {
		done <- local.Run(ctx, local.Config{
			Dir: dir, APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
			AccessKeyID: testKey, SecretAccessKey: proa.NewSecret(testSecret),
			AccountID: account, Region: region, Clock: time.Now,
			Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
			Ready:  func(a local.Addresses) { ready <- a },
		})
	}()
	var stopped bool
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the region ended with %v", err)
		}
	})
	select {
	case a := <-ready:
		return running{a, stop}
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	return running{}
}

func (r running) config(key, secret string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String("http://" + r.API), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	}
}

// packageOf zips this binary as a function's bootstrap, uncompressed.
func packageOf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(code); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "function.zip")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func demo(r running, path string) provision.Spec {
	return provision.Spec{
		Endpoint: "http://" + r.API, Region: region, AccountID: account,
		AccessKeyID: testKey, SecretAccessKey: testSecret,
		Tables:     []proa.Schema{{Table: "orders", HashName: "id", HashKind: proa.KindS}},
		Buckets:    []string{"attachments"},
		CodeBucket: "code", CodePath: path, Function: "orders",
		Routes: []string{"GET /healthz", "ANY /orders", "ANY /orders/{proxy+}"},
		Alarm:  "orders-5xx",
	}
}

func TestDemoIsProvisionedAndServedAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	path := packageOf(t)
	began := time.Now()
	region := start(t, dir)
	t.Logf("up after %v", time.Since(began))
	if err := provision.Apply(t.Context(), demo(region, path)); err != nil {
		t.Fatal(err)
	}
	t.Logf("provisioned after %v", time.Since(began))
	check := func(base string) {
		t.Helper()
		r, err := http.Get("http://" + base + "/orders/42?x=1&x=2")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		var event events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(body, &event); err != nil {
			t.Fatalf("%s: %s", r.Status, body)
		}
		if event.RawPath != "/orders/42" || event.RawQueryString != "x=1&x=2" ||
			event.PathParameters["proxy"] != "42" {
			t.Errorf("event: %s", body)
		}
		if got := r.Header.Values("Set-Cookie"); strings.Join(got, ";") != "a=1;b=2" {
			t.Errorf("cookies: %q", got)
		}
	}
	check(region.Gateway)
	t.Logf("served after %v", time.Since(began))
	if err := region.stop(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	region = start(t, dir)
	t.Logf("up again after %v", time.Since(began))
	check(region.Gateway)
	t.Logf("served again after %v", time.Since(began))
	if err := provision.Apply(t.Context(), demo(region, path)); err != nil {
		t.Fatalf("the second time: %v", err)
	}
	t.Logf("provisioned again after %v", time.Since(began))
}

func TestCallerIsKnownAndStrangersAreNot(t *testing.T) {
	region := start(t, t.TempDir())
	out, err := sts.NewFromConfig(region.config(testKey, testSecret)).
		GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(out.Arn); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("ARN %s", got)
	}
	for _, c := range []struct{ name, key, secret, want string }{
		{"wrong secret", testKey, "no", "SignatureDoesNotMatch"},
		{"unknown key", "AKIAOTHER", testSecret, "InvalidClientTokenId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sts.NewFromConfig(region.config(c.key, c.secret)).
				GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorCode() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestUnsignedRequestsAreRefusedEverywhere(t *testing.T) {
	region := start(t, t.TempDir())
	for _, c := range []struct{ name, method, path, target, want string }{
		{"dynamodb", "POST", "/", "DynamoDB_20120810.ListTables", "MissingAuthenticationToken"},
		{"s3", "GET", "/", "", "AccessDenied"},
		{"s3 object", "GET", "/attachments/x", "", "AccessDenied"},
		{"lambda", "GET", "/2015-03-31/functions/", "", "MissingAuthenticationToken"},
		{"apigateway", "GET", "/v2/apis", "", "MissingAuthenticationToken"},
		{"sts", "GET", "/?Action=GetCallerIdentity", "", "MissingAuthenticationToken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+region.API+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.target != "" {
				r.Header.Set("X-Amz-Target", c.target)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, _ := io.ReadAll(answer.Body)
			text := answer.Header.Get("X-Amzn-ErrorType") + string(body)
			if answer.StatusCode < 400 || !strings.Contains(text, c.want) {
				t.Errorf("%s: %s, want %s", answer.Status, text, c.want)
			}
		})
	}
}

func TestSecondProcessOnAFolderIsToldSo(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	err := local.Run(t.Context(), local.Config{
		Dir: dir, APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
		AccessKeyID: testKey, SecretAccessKey: proa.NewSecret(testSecret),
		AccountID: account, Region: region, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got %v", err)
	}
}
