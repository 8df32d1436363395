package blob

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// maxResults is the longest page, of blobs or of containers.
const maxResults = 5000

// listing is one page of List Blobs being made.
type listing struct {
	c                 *call
	uid               uint64
	prefix, delimiter string
	limit             int
	metadata          bool
	snapshots         bool
	versions          bool
	uncommitted       bool

	out   page
	count int
	next  []byte // key, without the container's prefix, at which the next page begins
}

// listBlobs is List Blobs, flat and by hierarchy, in the byte order of names:
// https://learn.microsoft.com/rest/api/storageservices/list-blobs.
func (c *call) listBlobs() error {
	limit, err := c.maxResults()
	if err != nil {
		return err
	}
	owner, err := c.s.container(c.container)
	if err != nil {
		return err
	}
	l := &listing{
		c: c, uid: owner.UID, prefix: c.get("prefix"), delimiter: c.get("delimiter"), limit: limit,
	}
	for word := range strings.SplitSeq(strings.ToLower(c.get("include")), ",") {
		switch word {
		case "metadata":
			l.metadata = true
		case "snapshots":
			l.snapshots = true
		case "versions":
			l.versions = true
		case "uncommittedblobs":
			l.uncommitted = true
		case "", "copy", "deleted", "deletedwithversions", "tags", "immutabilitypolicy", "legalhold":
			// Always shown, or there are none.
		default:
			return invalidQuery("include", c.get("include"), "Not one of the allowed values.")
		}
	}
	if l.snapshots && l.delimiter != "" {
		return badRequest("UnsupportedQueryParameter",
			"One of the query parameters specified in the request URI is not supported.")
	}
	start := []byte(l.prefix)
	if marker := c.get("marker"); marker != "" {
		from, ok := readMarker(marker)
		if !ok {
			return invalidQuery("marker", marker, "The marker is not one that was returned.")
		}
		if bytes.Compare(from, start) > 0 {
			start = from
		}
	}
	l.out.begin(c, `ContainerName="`, c.container)
	l.out.echo(c, l.prefix, limit, l.delimiter)
	l.out.WriteString("<Blobs>")
	if err := l.walk(start); err != nil {
		return err
	}
	l.out.WriteString("</Blobs>")
	l.out.finish(l.next)
	return c.writeXML(l.out.Bytes())
}

func (c *call) maxResults() (int, error) {
	text := c.get("maxresults")
	if text == "" {
		return maxResults, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalidQuery("maxresults", text, "Not a number.")
	}
	if n < 1 {
		return 0, outOfRangeQuery("maxresults", text, "1", strconv.Itoa(maxResults))
	}
	return min(n, maxResults), nil
}

// Markers are opaque to clients: a version digit, so that the form can change, and the key at which
// the page begins.
func writeMarker(key []byte) string { return "1!" + base64.StdEncoding.EncodeToString(key) }

func readMarker(text string) ([]byte, bool) {
	text, ok := strings.CutPrefix(text, "1!")
	key, err := base64.StdEncoding.DecodeString(text)
	return key, ok && err == nil
}

// walk visits the keys of the container's blobs from start on until the page is full.
func (l *listing) walk(start []byte) error {
	space := spaceKey(l.uid)
	upper := successor(append(bytes.Clone(space), l.prefix...))
	iter, err := l.c.s.db.NewIterWithContext(l.c.r.Context(), &pebble.IterOptions{
		LowerBound: space, UpperBound: upper,
	})
	if err != nil {
		return err
	}
	defer iter.Close()
	shown := "" // the blob whose current state is in the listing
	ok := iter.SeekGE(append(bytes.Clone(space), start...))
	for ok {
		rest := iter.Key()[len(space):]
		name, kind, suffix, sound := splitKey(rest)
		if !sound {
			ok = iter.Next()
			continue
		}
		visible, jump := l.visible(name, kind, shown)
		if !visible {
			if jump != nil {
				ok = iter.SeekGE(jump)
			} else {
				ok = iter.Next()
			}
			continue
		}
		if l.count == l.limit {
			l.next = bytes.Clone(rest)
			return nil
		}
		l.count++
		if group, found := l.group(name); found {
			l.out.prefix(group)
			ok = iter.SeekGE(successor(append(bytes.Clone(space), group...)))
			continue
		}
		if kind == kindCurrent {
			shown = name
		}
		if err := l.emit(name, kind, suffix, iter.Value()); err != nil {
			return err
		}
		if kind == kindPending {
			ok = iter.SeekGE(afterBlob(l.uid, name))
		} else {
			ok = iter.Next()
		}
	}
	return iter.Error()
}

// visible says whether a key is an entry of this listing, and if not, where to go on (nil: the
// next).
func (l *listing) visible(name string, kind byte, shown string) (bool, []byte) {
	switch kind {
	case kindSnapshot:
		if l.snapshots {
			return true, nil
		}
		return false, blobKey(l.uid, name, kindVersion, "")
	case kindVersion:
		if l.versions {
			return true, nil
		}
		return false, blobKey(l.uid, name, kindCurrent, "")
	case kindCurrent:
		return true, nil
	}
	if l.uncommitted && kind == kindPending && name != shown {
		return true, nil
	}
	return false, afterBlob(l.uid, name)
}

// group returns the common prefix under which a name is folded.
func (l *listing) group(name string) (string, bool) {
	if l.delimiter == "" {
		return "", false
	}
	rest := name[len(l.prefix):]
	i := strings.Index(rest, l.delimiter)
	if i < 0 {
		return "", false
	}
	return name[:len(l.prefix)+i+len(l.delimiter)], true
}

func (l *listing) emit(name string, kind byte, suffix string, value []byte) error {
	if kind == kindPending {
		l.out.uncommitted(name)
		return nil
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	l.out.blob(l, name, kind, suffix, &r)
	return nil
}

// listContainers is List Containers.
func (c *call) listContainers() error {
	limit, err := c.maxResults()
	if err != nil {
		return err
	}
	prefix, start := c.get("prefix"), []byte(c.get("prefix"))
	if marker := c.get("marker"); marker != "" {
		from, ok := readMarker(marker)
		if !ok {
			return invalidQuery("marker", marker, "The marker is not one that was returned.")
		}
		if bytes.Compare(from, start) > 0 {
			start = from
		}
	}
	iter, err := c.s.db.NewIterWithContext(c.r.Context(), &pebble.IterOptions{
		LowerBound: containerKey(prefix), UpperBound: successor(containerKey(prefix)),
	})
	if err != nil {
		return err
	}
	defer iter.Close()
	var out page
	out.begin(c, "", "")
	out.echo(c, prefix, limit, "")
	out.WriteString("<Containers>")
	metadata := strings.Contains(c.get("include"), "metadata")
	count, next := 0, []byte(nil)
	for ok := iter.SeekGE(containerKey(string(start))); ok; ok = iter.Next() {
		if count == limit {
			next = bytes.Clone(iter.Key()[1:])
			break
		}
		count++
		var owner container
		if err := json.Unmarshal(iter.Value(), &owner); err != nil {
			return err
		}
		out.container(string(iter.Key()[1:]), &owner, metadata, c.now)
	}
	if err := iter.Error(); err != nil {
		return err
	}
	out.WriteString("</Containers>")
	out.finish(next)
	return c.writeXML(out.Bytes())
}
