package sidecar

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"

	"github.com/proa-cloud/proa"
)

const (
	// maxRoot bounds the root: DynamoDB's 400 KB an item, with room for the names of later epochs.
	maxRoot = 384 << 10
	// packAbove is the size from which a cursor is stored compressed. An earlier proa does not read such a one,
	// and scans.
	packAbove = 16 << 10
	// maxCursor bounds what is unpacked.
	maxCursor = 16 << 20
)

// TooLargeError says that the place of a table's feed is not kept, since the row that holds all of a region's
// would be larger than an item may be. It wraps proa.ErrInvalid.
type TooLargeError struct {
	Table        string
	Place, Bytes int // of the place as stored, and of the row with it
}

// Error says what is too large.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the place of %s in its feed takes %d bytes, the row of all places %d and may have %d: "+
		"it stays as it was, and a new owner without this disk captures again from there: %v",
		e.Table, e.Place, e.Bytes, maxRoot, proa.ErrInvalid)
}

// Unwrap returns proa.ErrInvalid.
func (e *TooLargeError) Unwrap() error { return proa.ErrInvalid }

// fit puts the largest of the new places back to what they were until the root can be stored.
func (s *Sidecar) fit(next *Root, feeds map[string]Feed) *TooLargeError {
	var large *TooLargeError
	back := map[string]bool{}
	for {
		bytes := size(next.item(s.key(rootName)))
		if bytes <= maxRoot || len(back) == len(feeds) {
			return large
		}
		most, table := -1, ""
		for name, f := range feeds {
			if n := size(f.item()); !back[name] && (n > most || n == most && name < table) {
				most, table = n, name
			}
		}
		if large == nil {
			large = &TooLargeError{Table: table, Place: most, Bytes: bytes}
		}
		back[table] = true
		if was, ok := s.root.Feeds[table]; ok {
			next.Feeds[table] = was
		} else {
			delete(next.Feeds, table)
		}
	}
}

// item is a place as it is stored. A large cursor lists many shards, all alike.
func (f Feed) item() proa.Item {
	at := number(uint64(max(f.At.UnixMilli(), 0)))
	if len(f.Cursor) <= packAbove {
		return proa.Item{"cursor": proa.String(f.Cursor), "at": at}
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, _ = io.WriteString(w, f.Cursor) // into memory
		err = w.Close()
	}
	if err != nil {
		return proa.Item{"cursor": proa.String(f.Cursor), "at": at}
	}
	return proa.Item{"packed": proa.Binary(b.Bytes()), "at": at}
}

// cursor reads what item has stored.
func (d *decoder) cursor(item proa.Item) string {
	packed, ok := item["packed"]
	if !ok {
		return item["cursor"].Str
	}
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(strings.NewReader(packed.Str)), maxCursor+1))
	if err == nil && len(b) > maxCursor {
		err = fmt.Errorf("a cursor of more than %d bytes", maxCursor)
	}
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("a packed cursor: %w", err)
	}
	return string(b)
}

// Size is about what the root is charged for: what each Save writes at least.
func (s *Sidecar) Size() int { return size(s.root.item(s.key(rootName))) }
