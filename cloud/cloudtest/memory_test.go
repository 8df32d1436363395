package cloudtest_test

import (
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

func TestFakesPassTheSuite(t *testing.T) {
	for _, s := range []proa.Schema{
		{Table: "t", HashName: "id", HashKind: proa.KindS},
		{Table: "t", HashName: "h", HashKind: proa.KindB, RangeName: "r", RangeKind: proa.KindN},
	} {
		table := cloudtest.NewTable(s)
		cloudtest.RunTable(t, func(*testing.T) cloud.Table { return table })
	}
	bucket := cloudtest.NewBucket()
	cloudtest.RunBucket(t, func(*testing.T) cloud.Bucket { return bucket })
}
