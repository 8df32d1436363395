package datasync_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
)

// TestCosmosExpiresWhatDynamoDBWrote has an item with an expiry cross to Cosmos DB, whose own time-to-live removes it there:
// that is a delete, which crosses back. The DynamoDB table has no time-to-live of its own.
func TestCosmosExpiresWhatDynamoDBWrote(t *testing.T) {
	t.Parallel()
	z := localCosmos(t)
	z.ExpiryAttribute = "expires"
	cfg := between(t, localAWS(t), z)
	dynamo, container := cfg.Tables[0].Sides[proa.AWS].Table, cfg.Tables[0].Sides[proa.Azure].Table
	s, kill := run(t, cfg, "node-1")
	defer kill()
	s.Assign(datasync.Tenure{Owner: "node-1", Epoch: 1})
	put := func(id string, in time.Duration) proa.Key {
		expires, err := proa.Number(strconv.FormatInt(time.Now().Add(in).Unix(), 10))
		if err != nil {
			t.Fatal(err)
		}
		key := proa.Key{Table: "orders", Hash: proa.String(id)}
		item := proa.Item{"id": key.Hash, "expires": expires}
		row, err := dynamo.Get(t.Context(), key)
		if err == nil {
			_, _, err = dynamo.Swap(t.Context(), row, proa.Image{Item: item})
		}
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	has := func(side proa.Region, key proa.Key) bool {
		table := container
		if side == proa.AWS {
			table = dynamo
		}
		row, err := table.Get(t.Context(), key)
		return err == nil && row.Image.Exists() && !row.Image.Tombstone()
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	brief, long := put("brief", 8*time.Second), put("long", time.Hour)
	until("both cross", func() bool { return has(proa.Azure, brief) && has(proa.Azure, long) })
	until("Cosmos DB removes one", func() bool { return !has(proa.Azure, brief) })
	until("its removal crosses back", func() bool { return !has(proa.AWS, brief) })
	if !has(proa.AWS, long) || !has(proa.Azure, long) {
		t.Error("the other one is gone, too")
	}
}
