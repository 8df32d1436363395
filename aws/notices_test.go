package aws

import (
	"testing"

	"github.com/proa-cloud/proa/cloud/cloudtest"
)

func TestNoticesConformance(t *testing.T) {
	c := localCloud(t)
	createBucket(t, c, "noticed")
	bucket, err := NewBucket(t.Context(), c, "noticed")
	if err != nil {
		t.Fatal(err)
	}
	notices, err := NewNotices(t.Context(), c, "noticed", "proa-noticed")
	if err != nil {
		t.Fatal(err)
	}
	if err := notices.Subscribe(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	again, err := NewNotices(t.Context(), c, "noticed", "proa-noticed")
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.RunObjectEvents(t, bucket, again)
}
