package azure

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/blob"
	"github.com/proa-cloud/proa/cloud"
)

func TestAVersionThatWasWrittenOverIsRead(t *testing.T) {
	b := versionedContainer(t)
	first, err := b.Put(t.Context(), "a", strings.NewReader("first"), 5, cloud.PutOptions{Metadata: map[string]string{"by": "me"}})
	if err != nil || first.VersionID == "" {
		t.Fatal(first, err)
	}
	if _, err := b.Put(t.Context(), "a", strings.NewReader("second"), 6, cloud.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	info, body, err := b.GetVersion(t.Context(), "a", first.VersionID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if content, err := io.ReadAll(body); err != nil || string(content) != "first" || info.Metadata["by"] != "me" {
		t.Errorf("version is %q with %+v, %v", content, info, err)
	}
	if _, _, err := b.GetVersion(t.Context(), "b", first.VersionID); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("a version of nothing: %v", err)
	}
}

// versionedContainer serves a Blob storage that keeps versions, with one container.
func versionedContainer(t *testing.T) *Bucket {
	t.Helper()
	server, err := blob.New(blob.Config{Dir: t.TempDir(), Account: "proalocal", Clock: time.Now, Versioning: true})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Config{
		Account: "proalocal", StorageKey: testKey, Clock: time.Now,
		CosmosResource: func(*http.Request) (string, string) { return "", "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(verifier.Wrap(server))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Timeout: 20 * time.Second, StorageConnection: proa.NewSecret(fmt.Sprintf(
		"DefaultEndpointsProtocol=http;AccountName=proalocal;AccountKey=%s;BlobEndpoint=%s/proalocal;", testKey, listener.URL))}
	createContainer(t, c, "kept")
	b, err := NewBucket(c, "kept")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
