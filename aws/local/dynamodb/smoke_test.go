package dynamodb_test

import (
	"context"
	"testing"
	"time"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestWaitersSeeATableComeAndGo(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "orders", "id", "", types.StreamViewTypeNewAndOldImages)
	name := "orders"
	in := &ddb.DescribeTableInput{TableName: &name}
	if err := ddb.NewTableExistsWaiter(f.tables).Wait(ctx, in, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	f.put(t, name, attrs{"id": str("1"), "n": num("1.50")})
	got, err := f.tables.GetItem(ctx, &ddb.GetItemInput{TableName: &name, Key: attrs{"id": str("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Item["n"].(*types.AttributeValueMemberN).Value; n != "1.5" {
		t.Errorf("n = %s, want the canonical 1.5", n)
	}
	if _, err := f.tables.DeleteTable(ctx, &ddb.DeleteTableInput{TableName: &name}); err != nil {
		t.Fatal(err)
	}
	if err := ddb.NewTableNotExistsWaiter(f.tables).Wait(ctx, in, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}
