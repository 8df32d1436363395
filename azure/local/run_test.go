package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local"
)

func ask(t *testing.T, url string, h ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(h); i += 2 {
		r.Header.Set(h[i], h[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func blobs(t *testing.T, c cloud) *azblob.Client {
	t.Helper()
	client, err := azblob.NewClientFromConnectionString("DefaultEndpointsProtocol=http;AccountName="+
		account+";AccountKey="+secret("storage")+";BlobEndpoint=http://"+c.Data+"/"+account+";", nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAnEmptyFolderIsOnlyTheDataPlane(t *testing.T) {
	c := start(t, t.TempDir())
	if _, err := blobs(t, c).CreateContainer(t.Context(), "box", nil); err != nil {
		t.Fatal(err)
	}
	status, body := ask(t, "http://"+c.Gateway+"/orders")
	if status != 404 || body != `{"statusCode":404,"message":"Resource not found"}` {
		t.Errorf("the gateway answers %d %s", status, body)
	}
}

func TestNothingIsReachableWithoutASignature(t *testing.T) {
	dir := t.TempDir()
	if err := demo(t).Write(filepath.Join(dir, local.FileName)); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	for _, path := range []string{
		"/", "/dbs", "/dbs/proa/colls/orders/docs", "/offers", "/proalocal/?comp=list",
		"/proalocal/attachments?restype=container&comp=list", "/subscriptions/" + local.Subscription,
		"/orders", "/api/orders", "//dbs", "/./dbs", "/%64bs", "/proalocal", "/PROALOCAL/x",
	} {
		if status, body := ask(t, "http://"+c.Data+path); status != 401 && status != 403 {
			t.Errorf("%s is answered %d %s", path, status, body)
		}
	}
}

func TestTheCloudComesBackFromDiskAfterAStop(t *testing.T) {
	dir := t.TempDir()
	if err := demo(t).Write(filepath.Join(dir, local.FileName)); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	body := bytes.Repeat([]byte("proa"), 50_000)
	if _, err := blobs(t, c).UploadBuffer(t.Context(), "attachments", "a", body, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	again := start(t, dir)
	t.Logf("requests are answered %s after the start", time.Since(began).Round(time.Millisecond))
	got, err := blobs(t, again).DownloadStream(t.Context(), "attachments", "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if data, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(data, body) {
		t.Fatalf("%d bytes came back, %v", len(data), err)
	}
	if status, _ := ask(t, "http://"+again.Gateway+"/healthz"); status != 200 {
		t.Errorf("the function answers %d", status)
	}
}

func TestAChangedFileIsAppliedAndABadOneIsNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, local.FileName)
	file := demo(t)
	if err := file.Write(path); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	at := "http://" + c.Gateway
	if status, _ := ask(t, at+"/healthz"); status != 200 {
		t.Fatalf("answered %d", status)
	}
	write(t, path, "apis: [")
	file.APIs[0].Path = "v2"
	file.BlobContainers = append(file.BlobContainers, "later")
	time.Sleep(1500 * time.Millisecond) // the file is looked at once a second
	if status, _ := ask(t, at+"/healthz"); status != 200 {
		t.Errorf("a bad file took effect: %d", status)
	}
	if err := file.Write(path); err != nil {
		t.Fatal(err)
	}
	until(t, "the new API", func() bool {
		status, _ := ask(t, at+"/healthz") // the old path, which took everything
		return status == 404
	})
	if status, _ := ask(t, at+"/v2/healthz"); status != 200 {
		t.Errorf("the new path answers %d", status)
	}
	if _, err := blobs(t, c).UploadBuffer(t.Context(), "later", "a", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestABadAppLeavesTheDataPlaneAlone(t *testing.T) {
	dir := t.TempDir()
	file := demo(t)
	file.FunctionApps[0].Package = "none.zip"
	if err := file.Write(filepath.Join(dir, local.FileName)); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	if _, err := blobs(t, c).UploadBuffer(t.Context(), "attachments", "a", nil, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the host's refusal", func() bool {
		status, _ := ask(t, "http://"+c.Gateway+"/healthz")
		return status == 503
	})
}

func TestTheMonitorSeesTheGateway(t *testing.T) {
	dir := t.TempDir()
	file := demo(t)
	file.MetricAlerts = []local.MetricAlert{{
		Name: "5xx", Metric: "Requests", Dimension: "GatewayResponseCodeCategory=5xx",
		Aggregation: "Total", Operator: "GreaterThanOrEqual", Threshold: 1, Window: time.Minute,
		Every: 10 * time.Millisecond,
	}}
	if err := file.Write(filepath.Join(dir, local.FileName)); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	at := "http://" + c.Data + "/subscriptions/" + local.Subscription +
		"/providers/Microsoft.AlertsManagement/alerts?api-version=2019-05-05-preview"
	status, body := ask(t, at, "Authorization", "Bearer "+token)
	if status != 200 || body != `{"value":[]}` {
		t.Fatalf("before: %d %s", status, body)
	}
	for _, path := range []string{"/healthz", "/broken"} {
		ask(t, "http://"+c.Gateway+path)
	}
	until(t, "the alert", func() bool {
		_, body := ask(t, at, "Authorization", "Bearer "+token)
		return strings.Contains(body, `"monitorCondition":"Fired"`)
	})
	_, body = ask(t, "http://"+c.Data+"/subscriptions/"+local.Subscription+"/resourceGroups/"+
		local.ResourceGroup+"/providers/Microsoft.ApiManagement/service/"+local.GatewayName+
		"/providers/microsoft.insights/metrics?api-version=2018-01-01&metricnames=Requests",
		"Authorization", "Bearer "+token)
	var got struct {
		Value []struct {
			Timeseries []struct{ Data []struct{ Total float64 } }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, point := range got.Value[0].Timeseries[0].Data {
		total += point.Total
	}
	if total != 2 {
		t.Errorf("%v requests were counted, want 2: %s", total, body)
	}
}

func TestATakenAddressAndAFolderInUseAreSaid(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	config := local.Config{
		Dir: t.TempDir(), Listen: c.Data, GatewayListen: "127.0.0.1:0", Account: account, Clock: time.Now,
		StorageKey: proa.NewSecret(secret("storage")),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := local.Run(ctx, config); err == nil || !strings.Contains(err.Error(), c.Data) {
		t.Errorf("a taken address: %v", err)
	}
	config.Dir, config.Listen = dir, "127.0.0.1:0"
	if err := local.Run(ctx, config); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder in use: %v", err)
	}
}
