package azure

import (
	"testing"

	"github.com/proa-cloud/proa/cloud/cloudtest"
)

func TestAVersionThatWasWrittenOverIsRead(t *testing.T) {
	b, err := NewBucket(localBlob(t, "kept", true), "kept")
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.RunVersions(t, b)
}
