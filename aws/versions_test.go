package aws

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa/cloud/cloudtest"
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
	cloudtest.RunVersions(t, b)
}
