package aws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table is one DynamoDB table as a cloud.Table and a cloud.Querier. Its DynamoDB name is the schema's Table.
type Table struct {
	schema proa.Schema
	config Config
	db     *dynamodb.Client
}

var (
	_ cloud.Table   = (*Table)(nil)
	_ cloud.Querier = (*Table)(nil)
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// NewTable opens a table. It makes no call to the cloud except where the default credential chain does.
func NewTable(ctx context.Context, c Config, schema proa.Schema) (*Table, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &Table{schema: schema, config: c, db: dynamodb.NewFromConfig(cfg)}, nil
}

// Schema returns the table's key schema.
func (t *Table) Schema() proa.Schema { return t.schema }

// Get reads one key strongly consistently.
func (t *Table) Get(ctx context.Context, key proa.Key) (cloud.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	out, err := t.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &t.schema.Table,
		Key:            toItem(t.schema.Attributes(key)),
		ConsistentRead: sdk.Bool(true),
	})
	if err != nil {
		return cloud.Row{}, t.fail("get item", key, err)
	}
	return t.row(key, out.Item)
}

// row reads what is stored under key; a nil item is the zero Image.
func (t *Table) row(key proa.Key, stored map[string]types.AttributeValue) (cloud.Row, error) {
	item, err := fromItem(stored)
	if err != nil {
		return cloud.Row{Key: key}, t.fail("read item", key, err)
	}
	return cloud.Row{Key: key, Image: proa.SplitEnvelope(item)}, nil
}

func (t *Table) fail(op string, key proa.Key, err error) error { return fail(op, key.String(), err) }

// lost answers a failed write: a failed condition brings the row that is stored instead.
func (t *Table) lost(op string, key proa.Key, err error) (cloud.Row, error) {
	stored, ok := refused(err)
	if !ok {
		return cloud.Row{}, t.fail(op, key, err)
	}
	row, readErr := t.row(key, stored)
	if readErr != nil {
		return row, readErr
	}
	return row, t.fail(op, key, err)
}

// Purge deletes the row if it still is seen, tombstone image or not. DynamoDB cannot compare whole items: an attribute that a foreign
// writer added since, under the same version, goes with the row and is found in the stream's old image.
func (t *Table) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	if !seen.Image.Exists() {
		return cloud.Row{Key: seen.Key}, t.fail("delete item", seen.Key, errNothingSeen)
	}
	var e expression
	e.observed(t.schema, seen.Image, seen.Image.Item)
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	_, err := t.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                           &t.schema.Table,
		Key:                                 toItem(t.schema.Attributes(seen.Key)),
		ConditionExpression:                 sdk.String(e.condition()),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return t.lost("delete item", seen.Key, err)
	}
	return cloud.Row{Key: seen.Key}, nil
}

var errNothingSeen = fmt.Errorf("nothing was seen there to delete: %w", proa.ErrInvalid)

// Scan returns one page in DynamoDB's own order, read consistently.
func (t *Table) Scan(ctx context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	start, err := decodeCursor(cursor)
	if err != nil {
		return nil, "", fail("scan", t.schema.Table, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	out, err := t.db.Scan(ctx, &dynamodb.ScanInput{
		TableName:         &t.schema.Table,
		ConsistentRead:    sdk.Bool(true),
		ExclusiveStartKey: start,
		Limit:             sdk.Int32(pageSize(limit)),
	})
	if err != nil {
		return nil, "", fail("scan", t.schema.Table, err)
	}
	rows, err := t.rows(out.Items)
	if err != nil {
		return nil, "", err
	}
	next, err := encodeCursor(out.LastEvaluatedKey)
	return rows, next, fail("scan", t.schema.Table, err)
}

func pageSize(limit int) int32 {
	if limit <= 0 {
		return defaultPage
	}
	return int32(min(limit, maxPage))
}

func (t *Table) rows(items []map[string]types.AttributeValue) ([]cloud.Row, error) {
	rows := make([]cloud.Row, 0, len(items))
	for _, stored := range items {
		item, err := fromItem(stored)
		if err != nil {
			return nil, fail("read item", t.schema.Table, err)
		}
		key, err := t.schema.KeyOf(item)
		if err != nil {
			return nil, fail("read item", t.schema.Table, err)
		}
		rows = append(rows, cloud.Row{Key: key, Image: proa.SplitEnvelope(item)})
	}
	return rows, nil
}

// A cursor is the last evaluated key in canonical DynamoDB JSON, in URL-safe base64.
func encodeCursor(last map[string]types.AttributeValue) (string, error) {
	if len(last) == 0 {
		return "", nil
	}
	item, err := fromItem(last)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(item.AppendJSON(nil)), nil
}

func decodeCursor(cursor string) (map[string]types.AttributeValue, error) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, fmt.Errorf("cursor %.80q: %w", cursor, proa.ErrInvalid)
	}
	var item proa.Item
	if err := json.Unmarshal(text, &item); err != nil {
		return nil, fmt.Errorf("cursor %.80q: %w: %w", cursor, proa.ErrInvalid, err)
	}
	return toItem(item), nil
}

// Query returns one page of a hash key's items in range order, read consistently.
func (t *Table) Query(ctx context.Context, q cloud.Query) ([]cloud.Row, string, error) {
	start, err := decodeCursor(q.Cursor)
	if err != nil {
		return nil, "", fail("query", t.schema.Table, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	e := keyCondition(t.schema, q)
	out, err := t.db.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &t.schema.Table,
		KeyConditionExpression:    sdk.String(e.condition()),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
		ConsistentRead:            sdk.Bool(true),
		ExclusiveStartKey:         start,
		ScanIndexForward:          sdk.Bool(!q.Descending),
		Limit:                     sdk.Int32(pageSize(q.Limit)),
	})
	if err != nil {
		return nil, "", fail("query", t.schema.Table, err)
	}
	rows, err := t.rows(out.Items)
	if err != nil {
		return nil, "", err
	}
	next, err := encodeCursor(out.LastEvaluatedKey)
	return rows, next, fail("query", t.schema.Table, err)
}
