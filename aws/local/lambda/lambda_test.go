package lambda_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/aws/local/lambda"
)

func TestInvokeReturnsWhatTheFunctionReturns(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", nil)
	out := c.invoke(t, "f", task{Do: "echo", Message: "hällo"})
	var got task
	if err := json.Unmarshal(out.Payload, &got); err != nil || got.Message != "hällo" {
		t.Errorf("payload %s, %v", out.Payload, err)
	}
	if out.StatusCode != 200 || out.FunctionError != nil || aws.ToString(out.ExecutedVersion) != "$LATEST" {
		t.Errorf("output is %+v", out)
	}
	for _, reference := range []string{
		"arn:aws:lambda:us-east-1:000000000000:function:f", "000000000000:function:f",
		"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
	} {
		c.invoke(t, reference, task{Do: "echo"})
	}
	if c.sample("Invocations") != 4 || c.sample("Errors") != 0 || c.sample("Duration") <= 0 {
		t.Errorf("metrics: %v", c.samples)
	}
}

func TestFunctionFindsWhatLambdaPromises(t *testing.T) {
	t.Setenv("SECRET_OF_THE_CLOUD", "leaks")
	c := start(t, nil)
	c.create(t, "f", withEnv(map[string]string{"OWN": "value"}))
	var env []string
	if err := json.Unmarshal(c.invoke(t, "f", task{Do: "env"}).Payload, &env); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"OWN=value", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "_HANDLER=bootstrap",
		"AWS_LAMBDA_FUNCTION_NAME=f", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "TZ=:UTC",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=hidden",
		"AWS_ENDPOINT_URL=http://127.0.0.1:1",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %q", want, env)
		}
	}
	for _, variable := range env {
		if strings.HasPrefix(variable, "SECRET_OF_THE_CLOUD") || strings.HasPrefix(variable, "HOME=") {
			t.Errorf("%s is inherited", variable)
		}
	}
	out, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
		FunctionName: aws.String("f"), Payload: []byte(`{"Do":"context"}`),
		ClientContext: aws.String(base64.StdEncoding.EncodeToString([]byte(`{"custom":{"a":"b"}}`))),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ARN, Request, Client string
		LeftMS               int `json:"left_ms"`
	}
	if err := json.Unmarshal(out.Payload, &got); err != nil {
		t.Fatal(err)
	}
	if got.ARN != "arn:aws:lambda:us-east-1:000000000000:function:f" || len(got.Request) != 36 ||
		got.Client != "b" || got.LeftMS < 15000 || got.LeftMS > 20000 {
		t.Errorf("context is %+v", got)
	}
}

func TestAWrongClockOfTheCloudLeavesFunctionsTheirTime(t *testing.T) {
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		c := start(t, func(cfg *lambda.Config) { cfg.Clock = func() time.Time { return time.Now().Add(off) } })
		c.create(t, "f", withEnv(nil))
		var got struct {
			LeftMS int `json:"left_ms"`
		}
		if err := json.Unmarshal(c.invoke(t, "f", task{Do: "context"}).Payload, &got); err != nil {
			t.Fatal(err)
		}
		if got.LeftMS < 15000 || got.LeftMS > 20000 {
			t.Errorf("with a clock that is %s off, %d ms are left", off, got.LeftMS)
		}
	}
}

func TestErrorsOfTheFunction(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", func(in *sdk.CreateFunctionInput) { in.Timeout = aws.Int32(1) })
	for _, what := range []struct {
		name, kind, message string
		in                  task
	}{
		{"returned", "errorString", "oh no", task{Do: "error", Message: "oh no"}},
		{"panic", "string", "ouch", task{Do: "panic", Message: "ouch"}},
		{"exit", "Runtime.ExitError", "Runtime exited with error: exit status 3", task{Do: "exit"}},
		{
			"time-out", "Sandbox.Timedout", "Error: Task timed out after 1.00 seconds",
			task{Do: "sleep", Millis: 60000},
		},
		{
			"response too large", "Function.ResponseSizeTooLarge",
			"exceeded maximum allowed payload size (6291556 bytes).",
			task{Do: "big", Bytes: 7 << 20},
		},
	} {
		t.Run(what.name, func(t *testing.T) {
			kind, message := c.failed(t, "f", what.in)
			if kind != what.kind || !strings.Contains(message, what.message) {
				t.Errorf("got %s: %s", kind, message)
			}
			c.invoke(t, "f", task{Do: "echo"}) // and the next request is served
		})
	}
	if c.sample("Errors") != 5 {
		t.Errorf("errors counted: %v", c.sample("Errors"))
	}
}

func TestErrorsOfInitialisation(t *testing.T) {
	c := start(t, func(cfg *lambda.Config) { cfg.InitTimeout = 200 * time.Millisecond })
	for _, what := range []struct{ init, kind, message string }{
		{"exit", "Runtime.ExitError", "Runtime exited with error: exit status 7"},
		{"error", "Setup.Failed", "no luck"},
		{"hang", "Sandbox.Timedout", "Task timed out after 1.00 seconds"},
	} {
		t.Run(what.init, func(t *testing.T) {
			c.create(t, what.init, func(in *sdk.CreateFunctionInput) {
				withEnv(map[string]string{"INIT": what.init})(in)
				in.Timeout = aws.Int32(1)
			})
			kind, message := c.failed(t, what.init, task{Do: "echo"})
			if kind != what.kind || !strings.Contains(message, what.message) {
				t.Errorf("got %s: %s", kind, message)
			}
		})
	}
	t.Run("no bootstrap", func(t *testing.T) {
		c.zip = zipOf(t, "other", []byte("x"), 0o755)
		c.create(t, "none", nil)
		if kind, _ := c.failed(t, "none", task{}); kind != "Runtime.InvalidEntrypoint" {
			t.Errorf("got %s", kind)
		}
	})
	t.Run("not executable", func(t *testing.T) {
		c.zip = zipOf(t, "bootstrap", []byte("#!/bin/sh\n"), 0o644)
		c.create(t, "mode", nil)
		kind, message := c.failed(t, "mode", task{})
		if kind != "Runtime.InvalidEntrypoint" || !strings.Contains(message, "permission denied") {
			t.Errorf("got %s: %s", kind, message)
		}
	})
}

func TestRequestsRunSideBySideOneToAnEnvironment(t *testing.T) {
	const n = 4
	c := start(t, nil)
	c.create(t, "f", nil)
	var mu sync.Mutex
	pids := map[string]bool{}
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			out := c.invoke(t, "f", task{Do: "sleep", Millis: 1500})
			mu.Lock()
			defer mu.Unlock()
			pids[string(out.Payload)] = true
		})
	}
	wg.Wait()
	if len(pids) != n {
		t.Errorf("%d environments served %d requests at once", len(pids), n)
	}
	if took := time.Since(began); took > n*1500*time.Millisecond {
		t.Errorf("one after the other: %v", took)
	}
	again := c.invoke(t, "f", task{Do: "sleep"})
	if !pids[string(again.Payload)] {
		t.Error("no warm environment was used again")
	}
}

func TestReservedConcurrencyThrottles(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", nil)
	put := &sdk.PutFunctionConcurrencyInput{
		FunctionName: aws.String("f"), ReservedConcurrentExecutions: aws.Int32(1),
	}
	if _, err := c.client.PutFunctionConcurrency(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	go func() {
		defer close(first)
		for { // the requests below may hold the only place
			_, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
				FunctionName: aws.String("f"), Payload: []byte(`{"Do":"sleep","Millis":2000}`),
			})
			if err == nil {
				return
			}
		}
	}()
	eventually(t, "a throttled request", func() bool {
		_, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("f")})
		if err == nil {
			return false
		}
		wantCode(t, err, "TooManyRequestsException")
		return true
	})
	<-first
	if c.sample("Throttles") < 1 {
		t.Error("no throttles counted")
	}
	put.ReservedConcurrentExecutions = aws.Int32(950)
	_, err := c.client.PutFunctionConcurrency(t.Context(), put)
	wantCode(t, err, "InvalidParameterValueException")
	put.ReservedConcurrentExecutions = aws.Int32(0)
	if _, err := c.client.PutFunctionConcurrency(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	_, err = c.client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("f")})
	wantCode(t, err, "TooManyRequestsException")
	del := &sdk.DeleteFunctionConcurrencyInput{FunctionName: aws.String("f")}
	if _, err := c.client.DeleteFunctionConcurrency(t.Context(), del); err != nil {
		t.Fatal(err)
	}
	c.invoke(t, "f", task{})
}

func TestMoreRequestsThanEnvironmentsWaitTheirTurn(t *testing.T) {
	c := start(t, func(cfg *lambda.Config) { cfg.MaxEnvironments = 2 })
	c.create(t, "f", nil)
	var mu sync.Mutex
	pids := map[string]bool{}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			out := c.invoke(t, "f", task{Do: "sleep", Millis: 20})
			mu.Lock()
			defer mu.Unlock()
			pids[string(out.Payload)] = true
		})
	}
	wg.Wait()
	if len(pids) > 2 {
		t.Errorf("%d environments, at most 2 are allowed", len(pids))
	}
}

func TestIdleEnvironmentsEndDownToTheWarmOne(t *testing.T) {
	c := start(t, func(cfg *lambda.Config) { cfg.IdleTimeout = time.Nanosecond })
	c.create(t, "f", nil)
	var wg sync.WaitGroup
	pids := make([]int, 3)
	for i := range pids {
		wg.Go(func() {
			pid, err := strconv.Atoi(string(c.invoke(t, "f", task{Do: "sleep", Millis: 800}).Payload))
			if err != nil {
				t.Error(err)
			}
			pids[i] = pid
		})
	}
	wg.Wait()
	eventually(t, "one process left", func() bool {
		alive := 0
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				alive++
			}
		}
		return alive == 1
	})
}

func TestTailOfTheLogAndTheLogFile(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", nil)
	out := c.invoke(t, "f", task{Do: "log", Message: "the line"})
	tail, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil || !strings.Contains(string(tail), "START RequestId: ") ||
		!strings.Contains(string(tail), "REPORT RequestId: ") {
		t.Errorf("tail %q, %v", tail, err)
	}
	eventually(t, "the line in the log file", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.dir, "logs", "lambda-f.log"))
		return strings.Contains(string(text), "the line")
	})
}

func TestEventInvocationsRunLater(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", nil)
	out, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
		FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent,
		Payload: []byte(`{"Do":"log","Message":"asynchronous"}`),
	})
	if err != nil || out.StatusCode != http.StatusAccepted {
		t.Fatal(out, err)
	}
	eventually(t, "the function's run", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.dir, "logs", "lambda-f.log"))
		return strings.Contains(string(text), "asynchronous")
	})
	dry, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
		FunctionName: aws.String("f"), InvocationType: types.InvocationTypeDryRun,
	})
	if err != nil || dry.StatusCode != http.StatusNoContent {
		t.Error(dry, err)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", nil)
	invoke := func(name, payload string, kind types.InvocationType) error {
		_, err := c.client.Invoke(t.Context(), &sdk.InvokeInput{
			FunctionName: &name, Payload: []byte(payload), InvocationType: kind,
		})
		return err
	}
	create := func(adjust func(*sdk.CreateFunctionInput)) error {
		in := &sdk.CreateFunctionInput{
			FunctionName: aws.String("g"), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("x"),
			Role: aws.String("arn:aws:iam::000000000000:role/r"), Code: &types.FunctionCode{ZipFile: c.zip},
		}
		adjust(in)
		_, err := c.client.CreateFunction(t.Context(), in)
		return err
	}
	big := `"` + strings.Repeat("x", 7<<20) + `"`
	for _, what := range []struct {
		name, code string
		err        error
	}{
		{"no such function", "ResourceNotFoundException", invoke("nobody", "{}", "")},
		{"no such version", "ResourceNotFoundException", invoke("f:7", "{}", "")},
		{"malformed name", "ValidationException", invoke("a b", "{}", "")},
		{"no JSON", "InvalidRequestContentException", invoke("f", "{", "")},
		{"payload too large", "RequestTooLargeException", invoke("f", big, "")},
		{"event too large", "RequestTooLargeException", invoke("f", big[:2<<20]+`"`, "Event")},
		{"exists", "ResourceConflictException", create(func(in *sdk.CreateFunctionInput) {
			in.FunctionName = aws.String("f")
		})},
		{"no zip", "InvalidParameterValueException", create(func(in *sdk.CreateFunctionInput) {
			in.Code.ZipFile = []byte("junk")
		})},
		{"other runtime", "ValidationException", create(func(in *sdk.CreateFunctionInput) {
			in.Runtime = types.RuntimeNodejs22x
		})},
		{"reserved variable", "InvalidParameterValueException", create(
			withEnv(map[string]string{"AWS_REGION": "x"}))},
		{"time-out", "ValidationException", create(func(in *sdk.CreateFunctionInput) {
			in.Timeout = aws.Int32(901)
		})},
		{"no S3 here", "InvalidParameterValueException", create(func(in *sdk.CreateFunctionInput) {
			in.Code = &types.FunctionCode{S3Bucket: aws.String("code"), S3Key: aws.String("k")}
		})},
	} {
		t.Run(what.name, func(t *testing.T) { wantCode(t, what.err, what.code) })
	}
}

func TestFunctionsSurviveARestart(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", withEnv(map[string]string{"AA": "1"}))
	if _, err := c.client.AddPermission(t.Context(), &sdk.AddPermissionInput{
		FunctionName: aws.String("f"), StatementId: aws.String("s"), Principal: aws.String("apigateway.amazonaws.com"),
		Action: aws.String("lambda:InvokeFunction"), SourceArn: aws.String("arn:aws:execute-api:*:*:abc/*"),
	}); err != nil {
		t.Fatal(err)
	}
	describe := func(c *cloud) *types.FunctionConfiguration {
		out, err := c.client.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("f")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Configuration
	}
	before := describe(c)
	c.close()
	if err := os.RemoveAll(filepath.Join(c.dir, "code")); err != nil { // it is made again from the package
		t.Fatal(err)
	}
	c = open(t, c.dir, nil)
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".noSmithyDocumentSerde" },
		cmp.Ignore())
	if diff := cmp.Diff(before, describe(c), ignore); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	c.invoke(t, "f", task{})
	arn := "arn:aws:lambda:us-east-1:000000000000:function:f"
	for source, want := range map[string]bool{
		"arn:aws:execute-api:us-east-1:000000000000:abc/$default/GET/x": true,
		"arn:aws:execute-api:us-east-1:000000000000:abd/$default/GET/x": false,
	} {
		if got := c.server.Allows(arn, "apigateway.amazonaws.com", source); got != want {
			t.Errorf("Allows(%s) = %v", source, got)
		}
	}
}

func TestUpdatesReplaceTheEnvironments(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", withEnv(map[string]string{"AA": "old"}))
	if _, err := c.client.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("f"), Environment: &types.Environment{Variables: map[string]string{"AA": "new"}},
	}); err != nil {
		t.Fatal(err)
	}
	if out := c.invoke(t, "f", task{Do: "env"}); !strings.Contains(string(out.Payload), `"AA=new"`) {
		t.Errorf("environment: %s", out.Payload)
	}
	updated, err := c.client.UpdateFunctionCode(t.Context(), &sdk.UpdateFunctionCodeInput{
		FunctionName: aws.String("f"), ZipFile: zipOf(t, "bootstrap", []byte("#!/bin/sh\nexit 9\n"), 0o755),
	})
	if err != nil || updated.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Fatal(updated, err)
	}
	if _, message := c.failed(t, "f", task{}); !strings.Contains(message, "exit status 9") {
		t.Errorf("the old code ran: %s", message)
	}
	if _, err := c.client.DeleteFunction(t.Context(),
		&sdk.DeleteFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.client.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("f")})
	wantCode(t, err, "ResourceNotFoundException")
	list, err := c.client.ListFunctions(t.Context(), &sdk.ListFunctionsInput{})
	if err != nil || len(list.Functions) != 0 {
		t.Error(list, err)
	}
}

// This is what a SIGKILL of the cloud means for its functions.
func TestFunctionDiesWithTheCloud(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	c := start(t, nil)
	c.create(t, "f", nil)
	c.close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	doomed := &exec.Cmd{Path: self, Args: []string{"cloud", c.dir}, Stderr: os.Stderr}
	out, err := doomed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := doomed.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := doomed.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if err := doomed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = doomed.Wait()
	eventually(t, "the function's death", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestPermissionsTagsAndConcurrencyAreListed(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", func(in *sdk.CreateFunctionInput) { in.Tags = map[string]string{"team": "a"} })
	f := aws.String("f")
	_, err := c.client.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: f})
	wantCode(t, err, "ResourceNotFoundException")
	add := &sdk.AddPermissionInput{
		FunctionName: f, StatementId: aws.String("s"), Principal: aws.String("events.amazonaws.com"),
		Action: aws.String("lambda:InvokeFunction"),
	}
	if _, err := c.client.AddPermission(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	_, err = c.client.AddPermission(t.Context(), add)
	wantCode(t, err, "ResourceConflictException")
	policy, err := c.client.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: f})
	if err != nil || !strings.Contains(aws.ToString(policy.Policy), `"Service":"events.amazonaws.com"`) {
		t.Error(policy, err)
	}
	if _, err := c.client.RemovePermission(t.Context(), &sdk.RemovePermissionInput{
		FunctionName: f, StatementId: aws.String("s"),
	}); err != nil {
		t.Error(err)
	}
	arn := aws.String("arn:aws:lambda:us-east-1:000000000000:function:f")
	tags, err := c.client.ListTags(t.Context(), &sdk.ListTagsInput{Resource: arn})
	if err != nil || tags.Tags["team"] != "a" {
		t.Error(tags, err)
	}
	reserved, err := c.client.GetFunctionConcurrency(t.Context(),
		&sdk.GetFunctionConcurrencyInput{FunctionName: f})
	if err != nil || reserved.ReservedConcurrentExecutions != nil {
		t.Error(reserved, err)
	}
	_, err = c.client.ListAliases(t.Context(), &sdk.ListAliasesInput{FunctionName: f})
	wantCode(t, err, "UnknownOperationException")
}

func TestARuntimeThatAsksTwiceAtOnceGetsOneRequestAtATime(t *testing.T) {
	c := start(t, nil)
	c.create(t, "f", withEnv(map[string]string{"INIT": "twice"}))
	for range 3 {
		if out := c.invoke(t, "f", task{}); string(out.Payload) != "403" {
			t.Errorf("the second call was answered %s", out.Payload)
		}
	}
}
