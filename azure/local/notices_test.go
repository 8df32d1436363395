package local

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

const noticesKey = "YSBrZXkgb2Ygbm8gcGFydGljdWxhciBzZWNyZWN5ISE="

// TestNoticesConformance runs the whole cloud: its file subscribes a queue to a container.
func TestNoticesConformance(t *testing.T) {
	dir := t.TempDir()
	file := File{
		BlobContainers:     []string{"noticed"},
		EventSubscriptions: []EventSubscription{{Container: "noticed", Queue: "proa-noticed"}},
	}
	if err := file.Write(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{
			Dir: dir, Listen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0", Account: "proalocal",
			CosmosKey: proa.NewSecret(noticesKey), StorageKey: proa.NewSecret(noticesKey),
			MonitorToken: proa.NewSecret("token"), Clock: time.Now, Ready: func(a Addresses) { ready <- a },
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var address string
	select {
	case a := <-ready:
		address = "http://" + a.Data
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	c := azure.Config{StorageConnection: proa.NewSecret("DefaultEndpointsProtocol=http;AccountName=proalocal;" +
		"AccountKey=" + noticesKey + ";BlobEndpoint=" + address + "/proalocal;QueueEndpoint=" + address +
		"/queue/proalocal;")}
	bucket, err := azure.NewBucket(c, "noticed")
	if err != nil {
		t.Fatal(err)
	}
	notices, err := azure.NewNotices(c, "noticed", "proa-noticed")
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.RunObjectEvents(t, bucket, notices)
}
