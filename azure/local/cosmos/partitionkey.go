package cosmos

import (
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/epk"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// keyDefinition is a container's partition key.
type keyDefinition struct {
	Paths   []string
	Kind    epk.Kind
	parsed  [][]string
	multi   bool
	version int
}

const (
	maxKeyLevels    = 3
	maxKeyBytes     = 2048
	maxKeyBytesV1   = 101
	maxPathSegments = 64
)

// parseKeyDefinition reads {"paths":[…],"kind":"Hash"|"MultiHash","version":1|2}; a definition
// without version is version 1, as in the service.
func parseKeyDefinition(v value.Value) (keyDefinition, *apiError) {
	def := keyDefinition{version: 1}
	if v.Kind != value.Object {
		return def, badRequest("The partition key definition is missing. A container needs a " +
			"partition key.")
	}
	if ver := v.Get("version"); ver.Kind == value.Number {
		def.version = int(ver.Num)
	}
	def.multi = v.Get("kind").Str == "MultiHash"
	if kind := v.Get("kind"); kind.Defined() && kind.Str != "Hash" && !def.multi {
		return def, badRequest("The partition key kind '%s' is invalid or not supported.", kind.Str)
	}
	for _, p := range v.Get("paths").Items {
		parts, ok := parsePath(p.Str)
		if !ok {
			return def, badRequest("The partition key path '%s' is invalid. A path must begin with '/'.",
				p.Str)
		}
		def.Paths = append(def.Paths, p.Str)
		def.parsed = append(def.parsed, parts)
	}
	switch {
	case len(def.Paths) == 0 || len(def.Paths) > maxKeyLevels || len(def.Paths) > 1 && !def.multi:
		return def, badRequest("The partition key definition has %d paths: Hash takes 1, MultiHash 1 "+
			"to %d.",
			len(def.Paths), maxKeyLevels)
	case def.multi && def.version != 2, def.version != 1 && def.version != 2:
		return def, badRequest("The partition key version %d is invalid.", def.version)
	}
	def.Kind = epk.HashV2
	if def.multi {
		def.Kind = epk.MultiHash
	} else if def.version == 1 {
		def.Kind = epk.HashV1
	}
	return def, nil
}

// parsePath splits "/a/\"b c\"/d" into its property names.
func parsePath(path string) ([]string, bool) {
	if !strings.HasPrefix(path, "/") || len(path) < 2 {
		return nil, false
	}
	var out []string
	for rest := path; rest != ""; {
		rest = rest[1:] // the slash
		name := ""
		if strings.HasPrefix(rest, `"`) {
			end := strings.Index(rest[1:], `"`)
			if end < 0 {
				return nil, false
			}
			name, rest = rest[1:1+end], rest[end+2:]
			if rest != "" && rest[0] != '/' {
				return nil, false
			}
		} else if end := strings.IndexByte(rest, '/'); end >= 0 {
			name, rest = rest[:end], rest[end:]
		} else {
			name, rest = rest, ""
		}
		if name == "" || len(out) >= maxPathSegments {
			return nil, false
		}
		out = append(out, name)
	}
	return out, true
}

func follow(v value.Value, path []string) value.Value {
	for _, name := range path {
		v = v.Get(name)
	}
	return v
}

// partitionKey is the value of a partition key: one component a level.
type partitionKey struct {
	components []value.Value
	canonical  string // JSON array, undefined as {}; equal keys have equal texts
}

func newPartitionKey(components []value.Value) partitionKey {
	b := []byte{'['}
	for i, c := range components {
		if i > 0 {
			b = append(b, ',')
		}
		if !c.Defined() {
			b = append(b, '{', '}')
			continue
		}
		b = value.AppendJSON(b, c)
	}
	return partitionKey{components: components, canonical: string(append(b, ']'))}
}

// parseKeyHeader reads x-ms-documentdb-partitionkey: a JSON array of null, booleans, numbers,
// strings and {} for undefined. [] is undefined, too.
func parseKeyHeader(header string) (partitionKey, *apiError) {
	v, err := value.Parse([]byte(header))
	if err != nil || v.Kind != value.Array {
		return partitionKey{}, badRequest("Partition key %s is invalid.", header)
	}
	components := make([]value.Value, len(v.Items))
	for i, c := range v.Items {
		switch {
		case c.Kind == value.Object && len(c.Members) == 0:
			c = value.Value{}
		case c.Kind == value.Object || c.Kind == value.Array:
			return partitionKey{}, badRequest("Partition key %s is invalid.", header)
		}
		components[i] = c
	}
	if len(components) == 0 {
		components = []value.Value{{}}
	}
	return newPartitionKey(components), nil
}

// of extracts the key of a document. An array or object where the key should be is refused.
func (d *keyDefinition) of(doc value.Value) (partitionKey, *apiError) {
	components := make([]value.Value, len(d.parsed))
	for i, path := range d.parsed {
		c := follow(doc, path)
		if c.Kind == value.Array || c.Kind == value.Object {
			return partitionKey{}, keyMismatch()
		}
		components[i] = c
	}
	return newPartitionKey(components), nil
}

func keyMismatch() *apiError {
	e := badRequest("PartitionKey extracted from document doesn't match the one specified in the " +
		"header. " +
		"Learn more: https://aka.ms/CosmosDB/sql/errors/wrong-pk-value")
	e.Sub = subPartitionKeyMismatch
	return e
}

// check refuses a key that cannot be one of the definition's.
func (d *keyDefinition) check(pk partitionKey, prefixAllowed bool) *apiError {
	switch {
	case len(pk.components) > len(d.Paths):
		return keyComponents("more")
	case len(pk.components) < len(d.Paths) && !prefixAllowed:
		return keyComponents("fewer")
	}
	limit := maxKeyBytes
	if d.Kind == epk.HashV1 {
		limit = maxKeyBytesV1
	}
	for _, c := range pk.components {
		if len(c.Str) > limit {
			return badRequest("Partition key value must be a string of at most %d bytes.", limit)
		}
	}
	return nil
}

func keyComponents(word string) *apiError {
	e := badRequest("The partition key supplied in x-ms-partitionkey header has %s components "+
		"than defined in the the collection.", word)
	e.Sub = subPartitionKeyMismatch
	return e
}

// full reports whether pk names one logical partition rather than a prefix of several.
func (d *keyDefinition) full(pk partitionKey) bool { return len(pk.components) == len(d.Paths) }
