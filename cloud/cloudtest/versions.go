package cloudtest

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Versions is a bucket whose former contents can be read.
type Versions interface {
	cloud.Bucket
	GetVersion(ctx context.Context, name, version string) (cloud.ObjectInfo, io.ReadCloser, error)
}

// RunVersions checks that a bucket that keeps versions gives back what was written over.
func RunVersions(t *testing.T, b Versions) {
	ctx := testContext(t)
	first, err := b.Put(ctx, "a", strings.NewReader("first"), 5, cloud.PutOptions{Metadata: map[string]string{"by": "me"}})
	if err != nil || first.VersionID == "" {
		t.Fatal(first, err)
	}
	if _, err := b.Put(ctx, "a", strings.NewReader("second"), 6, cloud.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	info, body, err := b.GetVersion(ctx, "a", first.VersionID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if content, err := io.ReadAll(body); err != nil || string(content) != "first" || info.Metadata["by"] != "me" {
		t.Errorf("version is %q with %+v, %v", content, info, err)
	}
	_, _, err = b.GetVersion(ctx, "b", first.VersionID)
	wantError(t, "a version of nothing", err, proa.ErrNotFound)
}
