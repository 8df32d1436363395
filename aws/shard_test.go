package aws

import (
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/proa-cloud/proa"
)

func TestARecordThatCannotBeReadDoesNotHoldBackItsShard(t *testing.T) {
	feed := &Feed{schema: proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}}
	record := func(sequence, id string, n string) types.Record {
		keys := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}}
		image := map[string]types.AttributeValue{"id": keys["id"], "n": &types.AttributeValueMemberN{Value: n}}
		return types.Record{Dynamodb: &types.StreamRecord{SequenceNumber: sdk.String(sequence), Keys: keys, NewImage: image}}
	}
	odd := record("3", "c", "1")
	odd.Dynamodb.NewImage["x"] = &types.UnknownUnionMember{Tag: "XX"}
	out := &dynamodbstreams.GetRecordsOutput{
		Records:           []types.Record{record("1", "a", "1"), record("2", "b", "one"), odd, record("4", "d", "2"), {}},
		NextShardIterator: sdk.String("next"),
	}
	r := &shardRead{id: "shard"}
	feed.take(r, out, false, time.Now())
	if r.err != nil || len(r.changes) != 4 || r.at.After != "4" {
		t.Fatalf("%d changes up to %s, %v", len(r.changes), r.at.After, r.err)
	}
	for i, bad := range []bool{false, true, true, false} {
		c := r.changes[i]
		if (c.New.Malformed != "") != bad || c.New.Exists() == bad || c.Position == "" {
			t.Errorf("change %d: %+v", i, c)
		}
	}
	if why := r.changes[1].New.Malformed; !strings.Contains(why, "attribute n") {
		t.Errorf("%q", why)
	}
}
