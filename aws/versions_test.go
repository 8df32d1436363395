package aws

import (
	"errors"
	"io"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

func TestAVersionThatWasWrittenOverIsRead(t *testing.T) {
	c := localCloud(t)
	createBucket(t, c, "kept")
	b, err := NewBucket(t.Context(), c, "kept")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket:                  sdk.String("kept"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
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
