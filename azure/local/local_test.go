package local_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local"
)

// TestMain makes the test binary a custom handler when it is started as one.
func TestMain(m *testing.M) {
	if port := os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"); port != "" {
		if err := http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(handler)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// handler is the test's function: it tells what it got.
func handler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/crash":
		os.Exit(3)
	case "/healthz":
		w.WriteHeader(http.StatusOK)
		return
	case "/broken":
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("X-Served-By", "azure")
	w.Header().Add("Set-Cookie", "a=1")
	w.Header().Add("Set-Cookie", "b=2")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "body": string(body),
		"env": os.Environ(), "base": filepath.Base(os.Args[0]), "headers": r.Header,
	})
}

const (
	account = "proalocal"
	token   = "monitor-token"
)

func secret(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// cloud is a running local Azure.
type cloud struct {
	dir string
	local.Addresses
	stop func() error
}

func start(t *testing.T, dir string) cloud {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan local.Addresses, 1), make(chan error, 1)
	go func() {
		done <- local.Run(ctx, local.Config{
			Dir: dir, Listen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", Account: account,
			CosmosKey:     proa.NewSecret(secret("cosmos")),
			CosmosReadKey: proa.NewSecret(secret("reader")),
			StorageKey:    proa.NewSecret(secret("storage")), MonitorToken: proa.NewSecret(token),
			Clock: time.Now, Ready: func(a local.Addresses) { ready <- a },
		})
	}()
	c := cloud{dir: dir, stop: func() error { cancel(); return <-done }}
	select {
	case c.Addresses = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	stopped := false
	inner := c.stop
	c.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		return inner()
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// appFolder makes a package whose bootstrap is this test binary.
func appFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(executable, filepath.Join(dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "host.json"), `{"version":"2.0",
		"extensions":{"http":{"routePrefix":""}},
		"extensionBundle":{"id":"Microsoft.Azure.Functions.ExtensionBundle","version":"[4.*, 5.0.0)"},
		"customHandler":{"description":{"defaultExecutablePath":"bootstrap"},
		"enableProxyingHttpRequest":true}}`)
	write(t, filepath.Join(dir, "api", "function.json"), `{"bindings":[
		{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","route":"{*path}",
		"methods":["get","post","put","patch","delete","head","options"]},
		{"type":"http","direction":"out","name":"res"}]}`)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func demo(t *testing.T) local.File {
	return local.File{
		Databases: []local.Database{{Name: "proa", Containers: []local.CosmosContainer{
			{Name: "orders", PartitionKey: []string{"/id"}},
		}}},
		BlobContainers: []string{"attachments"},
		FunctionApps: []local.FunctionApp{{
			Name: "orders", Package: appFolder(t), Settings: map[string]string{"GREETING": "hello: #1"},
		}},
		APIs: []local.API{{Name: "orders", FunctionApp: "orders"}},
	}
}

func TestTheWholeCloudServesWhatItsFileNames(t *testing.T) {
	dir := t.TempDir()
	if err := demo(t).Write(filepath.Join(dir, local.FileName)); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+c.Gateway+"/orders/a%2Fb?x=1&x=2&y", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		Path, Query, Body, Base string
		Env                     []string
		Headers                 http.Header
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Path != "/orders/a%2Fb" || got.Query != "x=1&x=2&y" || got.Body != "hi" ||
		got.Base != "bootstrap" || len(response.Header["Set-Cookie"]) != 2 {
		t.Errorf("the function got %+v", got)
	}
	if got.Headers.Get("X-Azure-Functions-InvocationId") == "" {
		t.Error("no invocation id")
	}
	env := strings.Join(got.Env, "\n")
	for _, want := range []string{"GREETING=hello: #1", "FUNCTIONS_WORKER_RUNTIME=custom"} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment lacks %s:\n%s", want, env)
		}
	}
	if len(got.Env) != 13 {
		t.Errorf("the environment is not exactly what is set:\n%s", env)
	}
	useCosmos(t, c)
	useBlob(t, c)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
}

func useCosmos(t *testing.T, c cloud) {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(secret("cosmos"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey("http://"+c.Data+"/", key, nil)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := client.NewContainer("proa", "orders")
	if err != nil {
		t.Fatal(err)
	}
	pk := azcosmos.NewPartitionKeyString("1")
	if _, err := orders.CreateItem(t.Context(), pk, []byte(`{"id":"1","n":5}`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := orders.ReadItem(t.Context(), pk, "1", nil); err != nil {
		t.Fatal(err)
	}
}

func useBlob(t *testing.T, c cloud) {
	t.Helper()
	connection := "DefaultEndpointsProtocol=http;AccountName=" + account + ";AccountKey=" +
		secret("storage") + ";BlobEndpoint=http://" + c.Data + "/" + account + ";"
	client, err := azblob.NewClientFromConnectionString(connection, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UploadBuffer(t.Context(), "attachments", "a", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
}
