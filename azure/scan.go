package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Scan returns one page of the container, in no particular order. A page may be empty before the end.
func (t *Table) Scan(ctx context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	return t.page(ctx, "scan", "SELECT * FROM c", azcosmos.NewPartitionKey(), nil, cursor, limit)
}

// Query returns one page of a hash key's items in range order. Range keys of kind N that no double holds are stored as text and are ordered
// after all others.
func (t *Table) Query(ctx context.Context, q cloud.Query) ([]cloud.Row, string, error) {
	if t.schema.RangeName == "" {
		row, err := t.Get(ctx, proa.Key{Table: t.schema.Table, Hash: q.Hash})
		if err != nil || !row.Image.Exists() {
			return nil, "", err
		}
		return []cloud.Row{row}, "", nil
	}
	partition := encodeKey(q.Hash)
	if q.Hash.Kind == proa.KindS {
		partition = q.Hash.Str
	}
	text, parameters := rangeQuery(t.schema, q)
	return t.page(ctx, "query", text, azcosmos.NewPartitionKeyString(partition), parameters, q.Cursor, q.Limit)
}

// rangeQuery asks by the range attribute's own property, which is ordered as the attribute is; a binary key's text is ordered as its bytes
// only within one length.
func rangeQuery(s proa.Schema, q cloud.Query) (string, []azcosmos.QueryParameter) {
	property := `c["` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(propertyName(s.RangeName)) + `"]`
	if isReserved(s.RangeName) {
		property = "c.id"
	}
	var where []string
	var parameters []azcosmos.QueryParameter
	add := func(format, name string, v any) {
		where = append(where, fmt.Sprintf(format, property, name))
		parameters = append(parameters, azcosmos.QueryParameter{Name: name, Value: v})
	}
	if q.Prefix != "" {
		add("STARTSWITH(%s, %s)", "@prefix", q.Prefix)
	}
	if q.From.Kind != proa.KindNone {
		add("%s >= %s", "@from", queryValue(q.From))
	}
	if q.To.Kind != proa.KindNone {
		add("%s <= %s", "@to", queryValue(q.To))
	}
	text := "SELECT * FROM c"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	text += " ORDER BY " + property
	if q.Descending {
		text += " DESC"
	}
	return text, parameters
}

func queryValue(v proa.Value) any {
	if v.Kind == proa.KindN && floatText(v.Str) == v.Str {
		return json.Number(v.Str)
	}
	e := encoder{hints: map[string]string{}}
	if err := e.value(v, ""); err != nil {
		return v.Str
	}
	return json.RawMessage(e.b)
}

func (t *Table) page(
	ctx context.Context, op, text string, partition azcosmos.PartitionKey,
	parameters []azcosmos.QueryParameter, cursor string, limit int,
) ([]cloud.Row, string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	o := &azcosmos.QueryOptions{PageSizeHint: pageSize(limit), QueryParameters: parameters}
	if cursor != "" {
		o.ContinuationToken = &cursor
	}
	out, err := call(t.container, func(c *azcosmos.ContainerClient) (azcosmos.QueryItemsResponse, error) {
		return c.NewQueryItemsPager(text, partition, o).NextPage(ctx)
	})
	if err != nil {
		return nil, "", fail(op, t.schema.Table, err)
	}
	rows := make([]cloud.Row, 0, len(out.Items))
	for _, doc := range out.Items {
		d, err := parseDocument(t.schema, doc)
		if err != nil {
			t.config.logger().Warn("a document was left out", "table", t.schema.Table, "error", err)
			continue
		}
		rows = append(rows, cloud.Row{Key: d.key, Image: d.image, ETag: d.etag})
	}
	if out.ContinuationToken == nil {
		return rows, "", nil
	}
	return rows, *out.ContinuationToken, nil
}

func pageSize(limit int) int32 {
	if limit <= 0 {
		return defaultPage
	}
	return int32(min(limit, maxPage))
}
