package s3

import (
	"encoding/binary"
	"net/http"

	"github.com/cockroachdb/pebble/v2"
)

// versionEntry is one line of ListObjectVersions.
type versionEntry struct {
	key    string
	o      object
	latest bool
}

// versionsAfter lists versions in the order of keys and, within one, newest first, from after (key,
// version); an empty version starts after the key. fn returns false to stop.
func (s *Server) versionsAfter(l listing, version string, fn func(versionEntry) (skip string,
	more bool),
) error {
	lower := objectRow(l.bucket, l.prefix)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: prefixEnd(lower)})
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }()
	base := len(objectRow(l.bucket, ""))
	start := startOf(l)
	if version != "" {
		start = maxRow(lower, objectRow(l.bucket, l.after))
	}
	for ok := it.SeekGE(start); ok; {
		key := string(it.Key()[base:])
		raw, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		entries, err := s.versionsOf(l.bucket, key, raw)
		if err != nil {
			return err
		}
		if key == l.after && version != "" {
			entries = afterVersion(entries, version)
		}
		skip := ""
		for _, e := range entries {
			var more bool
			if skip, more = fn(e); !more {
				return nil
			}
			if skip != "" {
				break
			}
		}
		if skip != "" {
			ok = it.SeekGE(prefixEnd(objectRow(l.bucket, skip)))
		} else {
			ok = it.Next()
		}
	}
	return it.Error()
}

// versionsOf reads all versions of a key, newest first. A key always has a current version while it
// has any.
func (s *Server) versionsOf(bucket, key string, current []byte) ([]versionEntry, error) {
	first := versionEntry{key: key, latest: true}
	if err := unmarshal(current, &first.o); err != nil {
		return nil, err
	}
	entries := []versionEntry{first}
	err := s.scan(versionPrefix(bucket, key), nil, func(_, v []byte) (bool, error) {
		e := versionEntry{key: key}
		err := unmarshal(v, &e.o)
		entries = append(entries, e)
		return true, err
	})
	return entries, err
}

func afterVersion(entries []versionEntry, version string) []versionEntry {
	for i, e := range entries {
		if e.o.Version == version {
			return entries[i+1:]
		}
	}
	seq, ok := seqOfVersion(version) // it has been deleted since
	for i, e := range entries {
		if ok && e.o.Seq < seq {
			return entries[i:]
		}
	}
	return nil
}

func (s *Server) listObjectVersions(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	l, enc, err := s.listQuery(t.bucket, q)
	if err != nil {
		return err
	}
	l.after = q.Get("key-marker")
	marker := q.Get("version-id-marker")
	if marker != "" && l.after == "" {
		return invalidArgument("version-id-marker", marker, "A version-id marker cannot be specified "+
			"without a key marker.")
	}
	if marker == "" && isCommonPrefix(l.after, l) {
		l.skip = l.after
	}
	var entries []versionEntry
	var prefixes []string
	more, lastKey, lastVersion := false, "", ""
	err = s.versionsAfter(l, marker, func(e versionEntry) (string, bool) {
		if len(entries)+len(prefixes) == l.max {
			more = l.max > 0
			return "", false
		}
		if common, ok := commonPrefix(e.key, l); ok {
			prefixes, lastKey, lastVersion = append(prefixes, common), common, ""
			return common, true
		}
		entries, lastKey, lastVersion = append(entries, e), e.key, e.o.Version
		return "", true
	})
	if err != nil {
		return err
	}
	d := newXML("ListVersionsResult")
	d.leaf("Name", t.bucket)
	d.leaf("Prefix", enc(l.prefix))
	d.leaf("KeyMarker", enc(l.after))
	d.leaf("VersionIdMarker", marker)
	d.int("MaxKeys", int64(l.max))
	d.some("Delimiter", enc(l.delimiter))
	d.some("EncodingType", q.Get("encoding-type"))
	d.bool("IsTruncated", more)
	if more {
		d.leaf("NextKeyMarker", enc(lastKey))
		d.some("NextVersionIdMarker", lastVersion)
	}
	for _, e := range entries {
		s.versionLeaf(d, e, enc)
	}
	d.commonPrefixes(prefixes, enc)
	d.send(w, "ListVersionsResult")
	return nil
}

func (s *Server) versionLeaf(d *xmlDoc, e versionEntry, enc func(string) string) {
	name := "Version"
	if e.o.Marker {
		name = "DeleteMarker"
	}
	d.open(name)
	d.leaf("Key", enc(e.key))
	d.leaf("VersionId", e.o.Version)
	d.bool("IsLatest", e.latest)
	d.time("LastModified", e.o.Modified)
	if !e.o.Marker {
		d.leaf("ETag", quote(e.o.ETag))
		d.sumNames(e.o.Sums)
		d.int("Size", e.o.Size)
		d.leaf("StorageClass", storageClass(&e.o))
	}
	s.ownerLeaf(d, "Owner")
	d.close(name)
}

// partNumberOf reads the number at the end of a part's row.
func partNumberOf(k []byte) int { return int(binary.BigEndian.Uint16(k[len(k)-2:])) }
