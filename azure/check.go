package azure

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// Check says why an item cannot be stored here as it is, with the envelope that replication adds;
// nil where it can. It makes no call. What only the account knows, such as the 20 GB of a logical
// partition, it cannot see.
func (t *Table) Check(item proa.Item) error {
	key, err := t.schema.KeyOf(item)
	if err != nil {
		return err
	}
	a, err := addressOf(t.schema, key)
	if err != nil {
		return err
	}
	_, err = encodeDocument(t.schema, a, proa.Image{Item: item, Envelope: largestEnvelope()})
	if err == nil && a.id != strings.TrimSpace(a.id) {
		err = fmt.Errorf("key %.80q: its Cosmos id has space at an end: %w", key, proa.ErrInvalid)
	}
	return err
}

// largestEnvelope is as long as an envelope gets.
func largestEnvelope() *proa.Envelope {
	v := proa.Version{Time: hlc.At(time.UnixMilli(1<<47 - 1)), Region: proa.Azure, Hash: proa.Hash{1}}
	return &proa.Envelope{Version: v, Parent: v, Write: ^uint64(0)}
}
