// Package geotest writes databases of places for tests.
package geotest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Write makes a database file of networks and their records (MaxMind DB format 2.0, records of 24 bits).
func Write(t *testing.T, kind string, networks map[string]any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, File(kind, networks), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// File is a database as it is in a file.
func File(kind string, networks map[string]any) []byte {
	w := writer{nodes: [][2]int{{}}}
	for _, text := range slices.Sorted(maps.Keys(networks)) {
		w.put(netip.MustParsePrefix(text), networks[text])
	}
	return w.file(kind)
}

// MaxMind is a record as GeoLite2 has it; "" leaves out country or part.
func MaxMind(continent, country, part string) any {
	r := map[string]any{
		"continent": map[string]any{"code": continent, "names": map[string]any{"en": "somewhere"}},
	}
	if country != "" {
		r["country"] = map[string]any{"iso_code": country, "geoname_id": 7}
	}
	if part != "" {
		r["subdivisions"] = []any{map[string]any{"iso_code": part}}
	}
	return r
}

// writer builds the tree. A record of a node is another node, 0 for none, or the negative of a place in data, less one.
type writer struct {
	nodes [][2]int
	data  bytes.Buffer
}

func (w *writer) put(p netip.Prefix, record any) {
	at := -1 - w.data.Len()
	w.encode(record)
	a, bits := p.Addr().As16(), p.Bits()
	if p.Addr().Is4() { // 1.2.3.4 is ::1.2.3.4
		a, bits = [16]byte{12: a[12], 13: a[13], 14: a[14], 15: a[15]}, bits+96
	}
	node := 0
	for i := range bits {
		side := int(a[i/8] >> (7 - i%8) & 1)
		if i == bits-1 {
			w.nodes[node][side] = at
			return
		}
		if w.nodes[node][side] == 0 {
			w.nodes = append(w.nodes, [2]int{})
			w.nodes[node][side] = len(w.nodes) - 1
		}
		node = w.nodes[node][side]
	}
}

// encode writes text, lists, maps and numbers.
func (w *writer) encode(v any) {
	control := func(kind, size int) {
		if kind > 7 {
			w.data.Write([]byte{byte(size), byte(kind - 7)})
		} else {
			w.data.WriteByte(byte(kind<<5 | size))
		}
	}
	switch v := v.(type) {
	case string:
		control(2, len(v)) // up to 28 bytes
		w.data.WriteString(v)
	case int:
		control(6, 4)
		w.data.Write(binary.BigEndian.AppendUint32(nil, uint32(v)))
	case []any:
		control(11, len(v))
		for _, x := range v {
			w.encode(x)
		}
	case map[string]any:
		control(7, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			w.encode(k)
			w.encode(v[k])
		}
	}
}

func (w *writer) file(kind string) []byte {
	var tree bytes.Buffer
	for _, n := range w.nodes {
		for _, r := range n {
			switch {
			case r == 0:
				r = len(w.nodes)
			case r < 0:
				r = len(w.nodes) + 16 - r - 1
			}
			tree.Write([]byte{byte(r >> 16), byte(r >> 8), byte(r)})
		}
	}
	meta := writer{}
	meta.encode(map[string]any{
		"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1795478400,
		"database_type": kind, "description": map[string]any{"en": "a test"}, "ip_version": 6,
		"languages": []any{"en"}, "node_count": len(w.nodes), "record_size": 24,
	})
	return slices.Concat(tree.Bytes(), make([]byte, 16), w.data.Bytes(),
		[]byte("\xab\xcd\xefMaxMind.com"), meta.data.Bytes())
}
