package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table is one Cosmos DB container as a cloud.Table and a cloud.Querier. The container's name is the schema's Table and its
// partition key path must be PartitionKeyPath's.
//
// Documents that no key of the schema maps to are left out of scans, with a warning in the log. How fresh Get is depends on the
// account's consistency level; Swap and Purge compare at the primary whatever that is.
type Table struct {
	schema    proa.Schema
	config    Config
	container *containerClient
}

var (
	_ cloud.Table   = (*Table)(nil)
	_ cloud.Querier = (*Table)(nil)
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// NewTable opens a container. It needs CosmosEndpoint and CosmosKey or Credential, and makes no call.
func NewTable(c Config, schema proa.Schema) (*Table, error) {
	container, err := c.container(schema.Table)
	if err != nil {
		return nil, err
	}
	return &Table{schema: schema, config: c, container: container}, nil
}

// Schema returns the table's key schema.
func (t *Table) Schema() proa.Schema { return t.schema }

func (t *Table) fail(op string, key proa.Key, err error) error { return fail(op, key.String(), err) }

// Get reads one key.
func (t *Table) Get(ctx context.Context, key proa.Key) (cloud.Row, error) {
	a, err := addressOf(t.schema, key)
	if err != nil {
		return cloud.Row{}, t.fail("get item", key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	return t.read(ctx, key, a)
}

func (t *Table) read(ctx context.Context, key proa.Key, a address) (cloud.Row, error) {
	out, err := call(t.container, func(c *azcosmos.ContainerClient) (azcosmos.ItemResponse, error) {
		return c.ReadItem(ctx, azcosmos.NewPartitionKeyString(a.partition), a.id, nil)
	})
	if isMissing(err) {
		return cloud.Row{Key: key}, nil
	}
	if err != nil {
		return cloud.Row{}, t.fail("get item", key, err)
	}
	d, err := parseDocument(t.schema, out.Value)
	if err != nil {
		return cloud.Row{}, t.fail("get item", key, err)
	}
	return cloud.Row{Key: key, Image: d.image, ETag: string(out.ETag)}, nil
}

// isMissing tells a missing item from a missing container: only the latter's 404 has a sub-status, 1003.
func isMissing(err error) bool {
	var r *azcore.ResponseError
	if !errors.As(err, &r) || r.StatusCode != http.StatusNotFound || r.RawResponse == nil {
		return false
	}
	sub := subStatus(r)
	return sub == "" || sub == "0"
}

// Swap compares and sets one row by its ETag. A seen row without one is compared by content first.
func (t *Table) Swap(
	ctx context.Context, seen cloud.Row, next proa.Image,
) (now cloud.Row, replaced *proa.Image, err error) {
	const op = "put item"
	a, err := addressOf(t.schema, seen.Key)
	if err != nil {
		return cloud.Row{}, nil, t.fail(op, seen.Key, err)
	}
	doc, err := t.document(seen.Key, a, next)
	if err != nil {
		return cloud.Row{}, nil, t.fail(op, seen.Key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	etag := azcore.ETag(seen.ETag)
	if seen.Image.Exists() && etag == "" {
		row, err := t.sameAs(ctx, op, seen, a)
		if err != nil {
			return row, nil, err
		}
		etag = azcore.ETag(row.ETag)
	}
	out, err := call(t.container, func(c *azcosmos.ContainerClient) (azcosmos.ItemResponse, error) {
		partition := azcosmos.NewPartitionKeyString(a.partition)
		if !seen.Image.Exists() {
			return c.CreateItem(ctx, partition, doc, nil)
		}
		return c.ReplaceItem(ctx, partition, a.id, doc, &azcosmos.ItemOptions{IfMatchEtag: &etag})
	})
	if err != nil {
		row, err := t.lost(ctx, op, seen.Key, a, err)
		return row, nil, err
	}
	return cloud.Row{Key: seen.Key, Image: next, ETag: string(out.ETag)}, &seen.Image, nil
}

func (t *Table) document(key proa.Key, a address, next proa.Image) ([]byte, error) {
	if !next.Exists() {
		return nil, fmt.Errorf("the next image must exist: %w", proa.ErrInvalid)
	}
	got, err := t.schema.KeyOf(next.Item)
	if err != nil {
		return nil, err
	}
	if got.ID() != key.ID() {
		return nil, fmt.Errorf("the next image's key is %s: %w", got, proa.ErrInvalid)
	}
	doc, err := encodeDocument(t.schema, a, next)
	if err != nil || next.Tombstone() {
		return doc, err
	}
	return withTTL(doc, next.Item[t.config.ExpiryAttribute], time.Now()), nil
}

// sameAs reads the row and refuses one whose content is not that of seen.
func (t *Table) sameAs(ctx context.Context, op string, seen cloud.Row, a address) (cloud.Row, error) {
	row, err := t.read(ctx, seen.Key, a)
	if err != nil {
		return row, err
	}
	if !sameImage(row.Image, seen.Image) {
		return row, t.fail(op, seen.Key, fmt.Errorf("something else is stored: %w", proa.ErrConflict))
	}
	return row, nil
}

func sameImage(a, b proa.Image) bool {
	if a.Exists() != b.Exists() || !a.Item.Equal(b.Item) || a.Malformed != b.Malformed {
		return false
	}
	return (a.Envelope == nil) == (b.Envelope == nil) && (a.Envelope == nil || *a.Envelope == *b.Envelope)
}

// lost answers a failed write: where a condition failed, with the row that is stored instead.
func (t *Table) lost(ctx context.Context, op string, key proa.Key, a address, err error) (cloud.Row, error) {
	switch status := statusOf(err); {
	case status == http.StatusConflict, status == http.StatusPreconditionFailed, status == 449, isMissing(err):
	default:
		return cloud.Row{}, t.fail(op, key, err)
	}
	row, readErr := t.read(ctx, key, a)
	if readErr != nil {
		return cloud.Row{}, readErr
	}
	return row, t.fail(op, key, fmt.Errorf("%w: %w", proa.ErrConflict, short(err)))
}

// Purge deletes the row if it still is seen, tombstone image or not.
func (t *Table) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	const op = "delete item"
	a, err := addressOf(t.schema, seen.Key)
	if err == nil && !seen.Image.Exists() {
		err = fmt.Errorf("nothing was seen there to delete: %w", proa.ErrInvalid)
	}
	if err != nil {
		return cloud.Row{Key: seen.Key}, t.fail(op, seen.Key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.timeout())
	defer cancel()
	etag := azcore.ETag(seen.ETag)
	if etag == "" {
		row, err := t.sameAs(ctx, op, seen, a)
		if err != nil {
			return row, err
		}
		etag = azcore.ETag(row.ETag)
	}
	_, err = call(t.container, func(c *azcosmos.ContainerClient) (azcosmos.ItemResponse, error) {
		o := &azcosmos.ItemOptions{IfMatchEtag: &etag}
		return c.DeleteItem(ctx, azcosmos.NewPartitionKeyString(a.partition), a.id, o)
	})
	if err != nil {
		return t.lost(ctx, op, seen.Key, a, err)
	}
	return cloud.Row{Key: seen.Key}, nil
}
