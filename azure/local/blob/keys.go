package blob

import (
	"bytes"
	"encoding/binary"
)

// Keys of the database, all of whose iteration orders matter:
//
//	m<name>                              counters: generation, container ids
//	c<container>                         container
//	x<uid>                               a deleted container whose blobs are still being removed
//	b<uid><blob name> 0 <kind><suffix>   everything of one blob, in the order of listings
//	d<segment id>                        inline content
//
// Blob names hold no NUL, so names sort bytewise and all keys of one blob stand together. Kinds
// sort as listings show them: snapshots, older versions, the blob itself; then its uncommitted
// blocks.
const (
	kindSnapshot = '1' // suffix: time
	kindVersion  = '2' // suffix: version id
	kindCurrent  = '5'
	kindPending  = '7' // what is common to the uncommitted blocks
	kindBlock    = '8' // suffix: decoded block id
)

func containerKey(name string) []byte { return append([]byte{'c'}, name...) }

func deletedKey(uid uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'x'}, uid) }

func inlineKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'d'}, id) }

// spaceKey is the prefix of all keys of a container's blobs.
func spaceKey(uid uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, uid) }

func blobKey(uid uint64, name string, kind byte, suffix string) []byte {
	key := append(spaceKey(uid), name...)
	key = append(key, 0, kind)
	return append(key, suffix...)
}

// afterBlob is the first key past all keys of one blob.
func afterBlob(uid uint64, name string) []byte {
	return append(append(spaceKey(uid), name...), 1)
}

// splitKey takes the part of a blob key after the container's prefix apart.
func splitKey(rest []byte) (name string, kind byte, suffix string, ok bool) {
	before, after, found := bytes.Cut(rest, []byte{0})
	if !found || len(after) == 0 {
		return "", 0, "", false
	}
	return string(before), after[0], string(after[1:]), true
}

// successor is the first key past every key that begins with prefix; nil when there is none.
func successor(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
