package dynamodb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/aws/local/dynamodb"
)

func (f *fixture) addIndex(t testing.TB, table, name, hash, rng string) {
	t.Helper()
	_, err := f.tables.UpdateTable(context.Background(), &ddb.UpdateTableInput{
		TableName: &table,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &hash, AttributeType: "S"}, {AttributeName: &rng, AttributeType: "N"},
		},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: &name, Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
			KeySchema: []types.KeySchemaElement{
				{AttributeName: &hash, KeyType: "HASH"}, {AttributeName: &rng, KeyType: "RANGE"},
			},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// indexed counts the entries of one index partition, page by page.
func (f *fixture) indexed(t testing.TB, table, index, hash, value string) int {
	t.Helper()
	p := ddb.NewQueryPaginator(f.tables, &ddb.QueryInput{
		TableName: &table, IndexName: &index, KeyConditionExpression: aws.String("#h = :v"),
		Limit:                     aws.Int32(3),
		ExpressionAttributeNames:  map[string]string{"#h": hash},
		ExpressionAttributeValues: attrs{":v": str(value)},
	})
	seen := map[string]bool{}
	for p.HasMorePages() {
		out, err := p.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range out.Items {
			seen[item["id"].(*types.AttributeValueMemberS).Value] = true
		}
	}
	return len(seen)
}

func TestIndexFollowsItsTable(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	f := newFixtureWith(t, dynamodb.Config{FS: mem, Dir: "d"})
	f.createTable(t, "tab", "id", "", "")
	for i := range 10 {
		f.put(t, "tab", attrs{"id": str(fmt.Sprint(i)), "g": str("a"), "n": num("1")})
	}
	f.addIndex(t, "tab", "byg", "g", "n") // finds the ten
	for i := range 10 {
		f.put(t, "tab", attrs{"id": str(fmt.Sprint(10 + i)), "g": str("b"), "n": num(fmt.Sprint(i))})
	}
	f.put(t, "tab", attrs{"id": str("0"), "g": str("b"), "n": num("1")}) // moves
	f.put(t, "tab", attrs{"id": str("1"), "g": str("a")})                // leaves
	if _, err := f.tables.DeleteItem(ctx, &ddb.DeleteItemInput{
		TableName: aws.String("tab"), Key: attrs{"id": str("2")},
	}); err != nil {
		t.Fatal(err)
	}
	check := func(f *fixture) {
		t.Helper()
		if a, b := f.indexed(t, "tab", "byg", "g", "a"), f.indexed(t, "tab", "byg", "g", "b"); a != 7 ||
			b != 11 {
			t.Errorf("%d and %d entries, want 7 and 11", a, b)
		}
	}
	check(f)
	g := reopen(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	check(g)
	out, err := g.tables.PutItem(ctx, &ddb.PutItemInput{
		TableName: aws.String("tab"), Item: attrs{"id": str("0"), "g": str("c"), "n": num("1")},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	})
	if err != nil || *out.ConsumedCapacity.CapacityUnits != 3 ||
		*out.ConsumedCapacity.GlobalSecondaryIndexes["byg"].CapacityUnits != 2 {
		t.Errorf("consumed %+v, %v; want 1 for the item and 2 for an entry that moves",
			out.ConsumedCapacity, err)
	}
	if _, err := g.tables.UpdateTable(ctx, &ddb.UpdateTableInput{
		TableName: aws.String("tab"), GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{
			{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String("byg")}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	_, err = g.tables.Query(ctx, &ddb.QueryInput{
		TableName: aws.String("tab"), IndexName: aws.String("byg"),
		KeyConditionExpression:    aws.String("g = :v"),
		ExpressionAttributeValues: attrs{":v": str("a")},
	})
	if err == nil {
		t.Error("a deleted index answers")
	}
}
