package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	guestruntime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/lambda"
)

// The test binary is the function under test when it is started as bootstrap, and a cloud that will
// be killed when it is started as cloud.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "bootstrap":
		initialize(os.Getenv("INIT"))
		guestruntime.Start(handle)
	case "cloud":
		os.Exit(doomedCloud(os.Args[1]))
	default:
		os.Exit(m.Run())
	}
}

func initialize(how string) {
	switch how {
	case "exit":
		os.Exit(7)
	case "hang":
		time.Sleep(time.Minute)
	case "twice":
		askTwice("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/")
	case "error":
		api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		r, err := http.Post(api, "application/json",
			strings.NewReader(`{"errorType":"Setup.Failed","errorMessage":"no luck"}`))
		if err == nil {
			r.Body.Close()
		}
		os.Exit(1)
	}
}

// askTwice is a runtime that asks for work while it is asking for work, and answers with what it was told then.
func askTwice(api string) {
	second := make(chan int, 1)
	go func() {
		time.Sleep(100 * time.Millisecond) // the first one must be first; too early or late fails the test
		r, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		r.Body.Close()
		second <- r.StatusCode
	}()
	for {
		r, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		r.Body.Close()
		status := <-second
		second <- status
		answer, err := http.Post(api+r.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json",
			strings.NewReader(strconv.Itoa(status)))
		if err != nil {
			os.Exit(1)
		}
		answer.Body.Close()
	}
}

type task struct {
	Do      string
	Millis  int
	Bytes   int
	Message string
}

func handle(ctx context.Context, in task) (any, error) {
	switch in.Do {
	case "sleep":
		time.Sleep(time.Duration(in.Millis) * time.Millisecond)
		return os.Getpid(), nil
	case "exit":
		os.Exit(3)
	case "panic":
		panic(in.Message)
	case "error":
		return nil, errors.New(in.Message)
	case "env":
		return os.Environ(), nil
	case "big":
		return strings.Repeat("x", in.Bytes), nil
	case "log":
		fmt.Println(in.Message)
		return nil, nil
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"arn": lc.InvokedFunctionArn, "request": lc.AwsRequestID,
			"left_ms": time.Until(deadline).Milliseconds(),
			"client":  lc.ClientContext.Custom["a"],
		}, nil
	}
	return in, nil
}

type cloud struct {
	server *lambda.Server
	client *sdk.Client
	dir    string
	close  func()
	zip    []byte

	mu      sync.Mutex
	samples map[string]float64
}

func (c *cloud) emit(_, metric, _ string, value float64, _ ...[2]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples[metric] += value
}

func (c *cloud) sample(metric string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.samples[metric]
}

func config(dir string) lambda.Config {
	return lambda.Config{
		Dir: dir, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		AccountID: "000000000000", Region: "us-east-1", Endpoint: "http://127.0.0.1:1",
		AccessKeyID: "AKIA", SecretAccessKey: proa.NewSecret("hidden"),
	}
}

func start(t *testing.T, adjust func(*lambda.Config)) *cloud {
	t.Helper()
	return open(t, t.TempDir(), adjust)
}

func open(t *testing.T, dir string, adjust func(*lambda.Config)) *cloud {
	t.Helper()
	c := &cloud{dir: dir, zip: packageOf(t), samples: map[string]float64{}}
	cfg := config(dir)
	cfg.Emit = c.emit
	if adjust != nil {
		adjust(&cfg)
	}
	var err error
	if c.server, err = lambda.New(cfg); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Handler: c.server}
	go func() { _ = front.Serve(listener) }()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.server.Run(ctx) }()
	c.close = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = front.Close()
		if err := c.server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(c.close)
	c.client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + listener.Addr().String()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "hidden", ""), RetryMaxAttempts: 1,
	})
	return c
}

// packageOf zips this binary, or any other content, as bootstrap. Compression keeps it under the
// limit of direct uploads.
func packageOf(t *testing.T) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	return zipOf(t, "bootstrap", code, 0o755)
}

func zipOf(t *testing.T, name string, content []byte, mode os.FileMode) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: name, Method: zip.Store}
	header.SetMode(mode)
	file, err := w.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (c *cloud) create(t *testing.T, name string, adjust func(*sdk.CreateFunctionInput)) {
	t.Helper()
	in := &sdk.CreateFunctionInput{
		FunctionName: &name, Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Role: aws.String("arn:aws:iam::000000000000:role/r"), Timeout: aws.Int32(20),
		Code: &types.FunctionCode{ZipFile: c.zip},
	}
	if adjust != nil {
		adjust(in)
	}
	if _, err := c.client.CreateFunction(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	waiter := sdk.NewFunctionActiveV2Waiter(c.client)
	if err := waiter.Wait(t.Context(), &sdk.GetFunctionInput{FunctionName: &name}, time.Second); err != nil {
		t.Fatal(err)
	}
}

func withEnv(variables map[string]string) func(*sdk.CreateFunctionInput) {
	return func(in *sdk.CreateFunctionInput) { in.Environment = &types.Environment{Variables: variables} }
}

func (c *cloud) invoke(t *testing.T, name string, in task) *sdk.InvokeOutput {
	t.Helper()
	payload, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
		FunctionName: &name, Payload: payload, LogType: types.LogTypeTail,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// failed invokes and returns the error document.
func (c *cloud) failed(t *testing.T, name string, in task) (kind, message string) {
	t.Helper()
	out := c.invoke(t, name, in)
	if aws.ToString(out.FunctionError) != "Unhandled" {
		t.Fatalf("function error is %q: %s", aws.ToString(out.FunctionError), out.Payload)
	}
	var document struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(out.Payload, &document); err != nil {
		t.Fatalf("%v: %s", err, out.Payload)
	}
	return document.ErrorType, document.ErrorMessage
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%s does not happen", what)
}

// doomedCloud serves one function that sleeps, prints its process and waits to be killed.
func doomedCloud(dir string) int {
	cfg := config(dir)
	server, err := lambda.New(cfg)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx := context.Background()
	go func() { _ = server.Run(ctx) }()
	result, err := server.Invoke(ctx, lambda.Call{Function: "f", Payload: []byte(`{"Do":"sleep"}`)})
	fmt.Printf("%s %v\n", result.Payload, err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
