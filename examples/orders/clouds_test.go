package orders

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/proa-cloud/proa"
	awslocal "github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/aws/provision"
	azurelocal "github.com/proa-cloud/proa/azure/local"
)

// TestMain makes the test binary the function when a cloud starts it as bootstrap.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "bootstrap" {
		if err := Main(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	accessKey = "AKIATEST"
	secretKey = "a secret that is long enough"
	account   = "000000000000"
)

// packageOf writes the one package of both clouds, with this test binary as its executable.
func packageOf(t *testing.T) string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "orders.zip")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Zip(file, executable); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// runCloud runs a cloud until the test ends and returns what it says when it is ready.
func runCloud[A any](t *testing.T, run func(ctx context.Context, ready func(A)) error) A {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan A, 1), make(chan error, 1)
	go func() { done <- run(ctx, func(a A) { ready <- a }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return a
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	panic("unreachable")
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// onAWS serves the package behind the local API Gateway and Lambda and returns its URL.
func onAWS(t *testing.T, zip string) string {
	t.Helper()
	a := runCloud(t, func(ctx context.Context, ready func(awslocal.Addresses)) error {
		return awslocal.Run(ctx, awslocal.Config{
			Dir: t.TempDir(), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", AccessKeyID: accessKey,
			SecretAccessKey: proa.NewSecret(secretKey), AccountID: account, Region: "us-east-1", Clock: time.Now,
			Logger: logger(t), Ready: ready,
		})
	})
	spec := provision.Spec{
		Endpoint: "http://" + a.API, Region: "us-east-1", AccountID: account, AccessKeyID: accessKey,
		SecretAccessKey: secretKey, Tables: []proa.Schema{Schema()}, Buckets: []string{BucketName}, CodeBucket: "code",
		CodePath: zip, Function: "orders", Alarm: "errors",
		Env: map[string]string{"AWS_ENDPOINT_URL": "http://" + a.API},
		Routes: []string{
			"GET /healthz", "ANY /orders", "ANY /orders/{id}", "ANY /orders/{id}/attachment",
		},
	}
	if err := provision.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return "http://" + a.Gateway
}

// onAzure serves the same package behind the local API Management and Functions host.
func onAzure(t *testing.T, zip string) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddress(t)
	key := base64.StdEncoding.EncodeToString([]byte("a key of no particular secrecy!!"))
	connection := fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=proalocal;AccountKey=%s;"+
		"BlobEndpoint=http://%s/proalocal;", key, addr)
	file := azurelocal.File{
		Databases: []azurelocal.Database{{
			Name: "proa", Containers: []azurelocal.CosmosContainer{{Name: TableName, PartitionKey: []string{"/id"}}},
		}},
		BlobContainers: []string{BucketName},
		FunctionApps: []azurelocal.FunctionApp{{Name: "orders", Package: zip, Settings: map[string]string{
			"COSMOS_ENDPOINT": "http://" + addr + "/", "COSMOS_KEY": key, "AZURE_STORAGE_CONNECTION_STRING": connection,
		}}},
		APIs: []azurelocal.API{{Name: "orders", FunctionApp: "orders"}},
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, azurelocal.FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	a := runCloud(t, func(ctx context.Context, ready func(azurelocal.Addresses)) error {
		return azurelocal.Run(ctx, azurelocal.Config{
			Dir: dir, Listen: addr, GatewayListen: "127.0.0.1:0", Account: "proalocal", CosmosKey: proa.NewSecret(key),
			StorageKey: proa.NewSecret(key), MonitorToken: proa.NewSecret("token"), Clock: time.Now, Logger: logger(t),
			Ready: ready,
		})
	})
	return "http://" + a.Gateway
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestOnePackageServesOnBothClouds(t *testing.T) {
	zip := packageOf(t)
	for region, start := range map[proa.Region]func(*testing.T, string) string{proa.AWS: onAWS, proa.Azure: onAzure} {
		t.Run(string(region), func(t *testing.T) {
			c := client{t: t, url: start(t, zip), region: region}
			c.untilHealthy()
			c.journey()
		})
	}
}

// client calls the application through a gateway.
type client struct {
	t      *testing.T
	url    string
	region proa.Region
}

func (c client) do(method, path, body string, want int, header ...string) (string, http.Header) {
	c.t.Helper()
	status, text, h := c.try(method, path, body, header...)
	if status != want {
		c.t.Fatalf("%s %s: got %d %.300s, want %d", method, path, status, text, want)
	}
	if got := h.Get("X-Served-By"); got != string(c.region) {
		c.t.Errorf("%s %s: X-Served-By is %q", method, path, got)
	}
	return text, h
}

func (c client) try(method, path, body string, header ...string) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header
}

func (c client) untilHealthy() {
	c.t.Helper()
	var last string
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		status, text, _ := c.try("GET", "/healthz", "")
		if status == http.StatusOK {
			return
		}
		last = fmt.Sprint(status, " ", text)
	}
	c.t.Fatal("never healthy: ", last)
}

func (c client) journey() {
	c.t.Helper()
	text, h := c.do("POST", "/orders", `{"id":"o~1","price":0.12345678901234567890123456789,"tags":["ü",null]}`, 201)
	const order = `{"id":"o~1","price":0.12345678901234567890123456789,"tags":["ü",null]}`
	if text != order || h.Get("ETag") == "" {
		c.t.Errorf("created %s, %v", text, h)
	}
	c.do("POST", "/orders", `{"id":"o~1"}`, 409)
	c.do("POST", "/orders", `{`, 400)
	if text, _ = c.do("GET", "/orders/o~1", "", 200); text != order {
		c.t.Errorf("read %s", text)
	}
	c.do("PATCH", "/orders/o~1", `{"price":2}`, 200, "Content-Type", mergePatch, "If-Match", h.Get("ETag"))
	c.do("PATCH", "/orders/o~1", `{"price":3}`, 412, "Content-Type", mergePatch, "If-Match", h.Get("ETag"))
	for i := range 12 {
		c.do("POST", "/orders", fmt.Sprintf(`{"id":"n%d"}`, i), 201)
	}
	if got := c.listed(); got != 13 {
		c.t.Errorf("%d orders are listed", got)
	}
	picture := strings.Repeat("\x89PNG\xff\x00", 700_000) // 4.2 MB that no JSON holds as text
	c.do("PUT", "/orders/o~1/attachment", picture, 200, "Content-Type", "image/png")
	_, h = c.do("HEAD", "/orders/o~1/attachment", "", 200)
	got, g := c.do("GET", "/orders/o~1/attachment", "", 200)
	if got != strings.TrimSpace(picture) || g.Get("Content-Type") != "image/png" || g.Get("ETag") != h.Get("ETag") {
		c.t.Errorf("attachment of %d bytes, %v, HEAD gave %v", len(got), g, h)
	}
	c.do("PUT", "/orders/none/attachment", "x", 404)
	if status, text, _ := c.try("PUT", "/orders/o~1/attachment", picture+picture); status != 413 {
		c.t.Errorf("8.4 MB: got %d %.200s", status, text)
	}
	c.do("DELETE", "/orders/o~1", "", 204)
	c.do("GET", "/orders/o~1", "", 404)
	c.do("GET", "/orders/o~1/attachment", "", 404)
}

func (c client) listed() int {
	c.t.Helper()
	ids := map[string]bool{}
	for cursor := ""; ; {
		text, _ := c.do("GET", "/orders?limit=5&cursor="+cursor, "", 200)
		var page struct {
			Orders []struct{ ID string }
			Next   *string
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			c.t.Fatal(err)
		}
		for _, o := range page.Orders {
			ids[o.ID] = true
		}
		if page.Next == nil {
			return len(ids)
		}
		cursor = *page.Next
	}
}
