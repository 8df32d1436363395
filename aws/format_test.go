package aws

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// A later proa stores a version again in its own format: an older node that has read it before cannot write over
// it or purge it, though the version is the same, and reads it as of a format that it does not know.
func TestALaterFormatOfTheSameVersionIsNotWrittenOver(t *testing.T) {
	c := localCloud(t)
	s := schemas()[0]
	createTable(t, c, s)
	table := openTable(t, c, s)
	item := proa.Item{"id": proa.String("k"), "x": proa.String("1")}
	e := proa.Envelope{Version: proa.Version{Time: hlc.FromMS(1), Region: proa.AWS, Hash: proa.ContentHash(item)}}
	seen, _, err := table.Swap(t.Context(), cloud.Row{Key: mustKey(t, s, item)}, proa.Image{Item: item, Envelope: &e})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := c.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	update := "SET #e.#f = :f"
	_, err = dynamodb.NewFromConfig(cfg).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &s.Table, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "k"}},
		UpdateExpression: &update, ExpressionAttributeNames: map[string]string{"#e": proa.EnvelopeAttr, "#f": "f"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":f": &types.AttributeValueMemberN{Value: "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	next := proa.Image{Item: proa.Item{"id": proa.String("k"), "x": proa.String("2")}, Envelope: &e}
	if now, _, err := table.Swap(t.Context(), seen, next); !errors.Is(err, proa.ErrConflict) || !proa.LaterFormat(now.Image.Malformed) {
		t.Errorf("a write: %v, %+v", err, now.Image)
	}
	if _, err := table.Purge(t.Context(), seen); !errors.Is(err, proa.ErrConflict) {
		t.Errorf("a purge: %v", err)
	}
	row, err := table.Get(t.Context(), seen.Key)
	if err != nil || !row.Image.Item.Equal(item) || !proa.LaterFormat(row.Image.Malformed) {
		t.Errorf("%+v, %v", row.Image, err)
	}
}

func mustKey(t *testing.T, s proa.Schema, item proa.Item) proa.Key {
	t.Helper()
	key, err := s.KeyOf(item)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
