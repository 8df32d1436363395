package function

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictjson"
)

// FromJSON reads a JSON object as an item: strings, numbers, booleans, null, arrays and objects become S, N, BOOL, NULL, L and M. Numbers are
// exact up to 38 digits and lose only trailing zeros. Text that is not UTF-8, or escapes half of a surrogate pair alone, is refused: the decoder
// would put U+FFFD in its place. Errors wrap proa.ErrInvalid and say where.
func FromJSON(text []byte) (proa.Item, error) {
	if !strictjson.IsUnicode(text) {
		return nil, fmt.Errorf("malformed JSON: not UTF-8, or half of a surrogate pair: %w", proa.ErrInvalid)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		return nil, fmt.Errorf("malformed JSON: %w: %w", proa.ErrInvalid, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("malformed JSON: more than one value: %w", proa.ErrInvalid)
	}
	object, ok := raw.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want a JSON object: %w", proa.ErrInvalid)
	}
	v, err := fromJSON(object, "")
	if err == nil && nesting(v)-1 > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d levels: %w", maxNesting, proa.ErrInvalid)
	}
	return v.Map, err
}

// maxNesting is DynamoDB's limit on nested lists and maps.
const maxNesting = 32

func fromJSON(raw any, at string) (proa.Value, error) {
	switch raw := raw.(type) {
	case nil:
		return proa.Null(), nil
	case bool:
		return proa.Bool(raw), nil
	case string:
		return proa.String(raw), nil
	case json.Number:
		v, err := proa.Number(raw.String())
		if err != nil {
			return v, fmt.Errorf("%s: %w", at, err)
		}
		return v, nil
	case []any:
		list := make([]proa.Value, len(raw))
		for i, e := range raw {
			v, err := fromJSON(e, at+"["+strconv.Itoa(i)+"]")
			if err != nil {
				return v, err
			}
			list[i] = v
		}
		return proa.List(list...), nil
	case map[string]any:
		m := make(proa.Item, len(raw))
		for name, e := range raw {
			v, err := fromJSON(e, at+"."+name)
			if err != nil {
				return v, err
			}
			m[name] = v
		}
		return proa.Map(m), nil
	}
	return proa.Value{}, fmt.Errorf("%s: unexpected %T: %w", at, raw, proa.ErrInvalid)
}

// nesting returns how deep lists and maps are nested in a value.
func nesting(v proa.Value) int {
	deepest := 0
	for _, e := range v.List {
		deepest = max(deepest, nesting(e))
	}
	for _, e := range v.Map {
		deepest = max(deepest, nesting(e))
	}
	if v.Kind == proa.KindL || v.Kind == proa.KindM {
		deepest++
	}
	return deepest
}

// AppendJSON appends an item as a plain JSON object with sorted names. Bytes become base64 and sets become arrays.
func AppendJSON(b []byte, item proa.Item) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(item)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = append(b, ':')
		b = appendValue(b, item[name])
	}
	return append(b, '}')
}

func appendValue(b []byte, v proa.Value) []byte {
	switch v.Kind {
	case proa.KindS:
		return appendText(b, v.Str)
	case proa.KindN:
		return append(b, v.Str...)
	case proa.KindB:
		return appendText(b, base64.StdEncoding.EncodeToString([]byte(v.Str)))
	case proa.KindBOOL:
		return strconv.AppendBool(b, v.Bool)
	case proa.KindM:
		return AppendJSON(b, v.Map)
	case proa.KindL:
		return appendArray(b, v.List)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		member := map[proa.Kind]proa.Kind{proa.KindSS: proa.KindS, proa.KindNS: proa.KindN, proa.KindBS: proa.KindB}[v.Kind]
		list := make([]proa.Value, len(v.Set))
		for i, e := range v.Set {
			list[i] = proa.Value{Kind: member, Str: e}
		}
		return appendArray(b, list)
	}
	return append(b, "null"...)
}

func appendArray(b []byte, list []proa.Value) []byte {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, e)
	}
	return append(b, ']')
}

func appendText(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd")))
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil { // strings always marshal
		panic(err)
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
