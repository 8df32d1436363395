package azure

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictjson"
)

// document is one Cosmos document taken apart.
type document struct {
	key   proa.Key
	image proa.Image
	etag  string
	ts    int64
	lsn   json.Number
}

// parseDocument reads a document of any writer. Only a document at no key of the schema, and text that is no JSON object, are errors.
func parseDocument(s proa.Schema, text []byte) (document, error) {
	raw, err := rawObject(text)
	if err != nil {
		return document{}, err
	}
	var d document
	if d.key, err = keyOf(s, raw); err != nil {
		return d, err
	}
	d.etag, _ = raw["_etag"].(string)
	if ts, ok := raw["_ts"].(json.Number); ok {
		d.ts, _ = ts.Int64()
	}
	d.lsn, _ = raw["_lsn"].(json.Number)
	d.image = imageOf(s, d.key, raw)
	if d.image.Malformed == "" && !strictjson.IsUnicode(text) {
		d.image.Malformed = "text: not UTF-8, or half of a surrogate pair, which no other store holds"
	}
	return d, nil
}

func rawObject(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var raw map[string]any
	if err := decoder.Decode(&raw); err != nil {
		return nil, fmt.Errorf("document: %w: %w", proa.ErrInvalid, err)
	}
	return raw, nil
}

func keyOf(s proa.Schema, raw map[string]any) (proa.Key, error) {
	id, _ := raw["id"].(string)
	a := address{id: id, partition: id}
	if s.RangeName != "" {
		a.partition, _ = raw[PartitionKeyPath(s)[1:]].(string)
	}
	return keyAt(s, a)
}

func imageOf(s proa.Schema, key proa.Key, raw map[string]any) proa.Image {
	var img proa.Image
	var hints map[string]any
	if envelope, ok := raw[proa.EnvelopeAttr]; ok {
		img.Envelope, hints, img.Malformed = readEnvelope(envelope)
	}
	d := decoder{hints: hints}
	img.Item = s.Attributes(key)
	for property, v := range raw {
		name := attributeName(property)
		if isReserved(property) || holdsKey(s, name) {
			continue
		}
		img.Item[name] = d.value(v, "/"+pointerEscape(property))
	}
	return img
}

// readEnvelope takes _proa apart. One that holds nothing but hints is no envelope.
func readEnvelope(v any) (*proa.Envelope, map[string]any, string) {
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, nil, "envelope: not an object"
	}
	hints, _ := fields["t"].(map[string]any)
	if _, only := fields["t"]; only && len(fields) == 1 {
		return nil, hints, ""
	}
	plain := decoder{}
	e, err := proa.ParseEnvelope(plain.value(v, ""))
	if err != nil {
		return nil, hints, err.Error()
	}
	return &e, hints, ""
}

// decoder turns JSON into values. A hint counts only while the value still has the shape that it speaks of, since a foreign writer
// may have replaced the value and left the hint.
type decoder struct {
	hints map[string]any
}

func (d decoder) hint(path string) proa.Kind {
	name, _ := d.hints[path].(string)
	return proa.ParseKind(name)
}

func (d decoder) value(v any, path string) proa.Value {
	switch v := v.(type) {
	case nil:
		return proa.Null()
	case bool:
		return proa.Bool(v)
	case json.Number:
		return number(v.String())
	case string:
		return d.text(v, path)
	case []any:
		return d.array(v, path)
	case map[string]any:
		m := make(proa.Item, len(v))
		for name, e := range v {
			m[name] = d.value(e, path+"/"+pointerEscape(name))
		}
		return proa.Map(m)
	}
	return proa.Null() // encoding/json gives nothing else
}

// number reads a JSON number as the double that Cosmos DB stores. One beyond DynamoDB's magnitude becomes a string, since no N holds it.
func number(text string) proa.Value {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return proa.String(text)
	}
	v, err := proa.Number(strconv.FormatFloat(f, 'e', -1, 64))
	if err != nil {
		return proa.String(text)
	}
	return v
}

func (d decoder) text(s, path string) proa.Value {
	switch d.hint(path) {
	case proa.KindN:
		if v, err := proa.Number(s); err == nil {
			return v
		}
	case proa.KindB:
		if b, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
			return proa.Binary(b)
		}
	}
	return proa.String(s)
}

func (d decoder) array(v []any, path string) proa.Value {
	if set, ok := readSet(d.hint(path), v); ok {
		return set
	}
	list := make([]proa.Value, len(v))
	for i, e := range v {
		list[i] = d.value(e, path+"/"+strconv.Itoa(i))
	}
	return proa.List(list...)
}

// readSet reads an array as the set that a hint says it is: strings of the right form, at least one, none twice.
func readSet(kind proa.Kind, v []any) (proa.Value, bool) {
	if kind != proa.KindSS && kind != proa.KindNS && kind != proa.KindBS || len(v) == 0 {
		return proa.Value{}, false
	}
	members := make([]string, len(v))
	for i, e := range v {
		s, ok := e.(string)
		if !ok {
			return proa.Value{}, false
		}
		if members[i], ok = readMember(kind, s); !ok {
			return proa.Value{}, false
		}
	}
	set := proa.SetOf(kind, slices.Clone(members))
	return set, len(set.Set) == len(v)
}

func readMember(kind proa.Kind, s string) (string, bool) {
	switch kind {
	case proa.KindNS:
		n, err := proa.CanonicalNumber(s)
		return n, err == nil
	case proa.KindBS:
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		return string(b), err == nil
	}
	return s, true
}
