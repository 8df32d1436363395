package azure

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/proa-cloud/proa"
)

// encodeDocument renders an image as the Cosmos document at a. Errors wrap ErrTooLarge or ErrInvalid and say what cannot cross.
func encodeDocument(s proa.Schema, a address, img proa.Image) ([]byte, error) {
	e := encoder{hints: map[string]string{}}
	e.open("id")
	e.text(a.id)
	if s.RangeName != "" && !natural(s) {
		e.property(pkName)
		e.text(a.partition)
	}
	for _, name := range slices.Sorted(maps.Keys(img.Item)) {
		property := propertyName(name)
		if holdsKey(s, name) && isReserved(name) {
			continue // the id, or the partition key's own property, says it
		}
		e.property(property)
		if err := e.value(img.Item[name], "/"+pointerEscape(property)); err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	if err := e.envelope(img.Envelope); err != nil {
		return nil, err
	}
	e.b = append(e.b, '}')
	if len(e.b) > maxDocument {
		return nil, fmt.Errorf("document of %d bytes, Cosmos DB takes %d: %w", len(e.b), maxDocument, proa.ErrTooLarge)
	}
	return e.b, nil
}

func holdsKey(s proa.Schema, attr string) bool {
	return attr == s.HashName || s.RangeName != "" && attr == s.RangeName
}

// encoder writes JSON and collects hints: what a property's type was where JSON does not tell.
type encoder struct {
	b     []byte
	hints map[string]string // JSON pointer → type
}

func (e *encoder) open(name string) {
	e.b = append(e.b, '{')
	e.text(name)
	e.b = append(e.b, ':')
}

func (e *encoder) property(name string) {
	e.b = append(e.b, ',')
	e.text(name)
	e.b = append(e.b, ':')
}

func (e *encoder) text(s string) { e.b = appendJSONString(e.b, s) }

// appendJSONString writes what encoding/json reads back as s; s must be UTF-8.
func appendJSONString(b []byte, s string) []byte {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // strings always marshal
		panic(err)
	}
	return append(b, quoted...)
}

// plain reports a string that JSON writes as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (e *encoder) value(v proa.Value, path string) error {
	switch v.Kind {
	case proa.KindS:
		if !utf8.ValidString(v.Str) {
			return fmt.Errorf("string is not UTF-8: %w", proa.ErrInvalid)
		}
		e.text(v.Str)
	case proa.KindN:
		if floatText(v.Str) == v.Str {
			e.b = append(e.b, v.Str...)
			return nil
		}
		e.hint(path, v.Kind)
		e.text(v.Str)
	case proa.KindB:
		e.hint(path, v.Kind)
		e.text(base64.StdEncoding.EncodeToString([]byte(v.Str)))
	case proa.KindBOOL:
		e.b = strconv.AppendBool(e.b, v.Bool)
	case proa.KindNULL:
		e.b = append(e.b, "null"...)
	case proa.KindL:
		return e.list(v.List, path)
	case proa.KindM:
		return e.object(v.Map, path)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		e.hint(path, v.Kind)
		return e.set(v)
	default:
		return fmt.Errorf("value without a type: %w", proa.ErrInvalid)
	}
	return nil
}

func (e *encoder) hint(path string, kind proa.Kind) { e.hints[path] = kind.String() }

func (e *encoder) list(list []proa.Value, path string) error {
	e.b = append(e.b, '[')
	for i, v := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if err := e.value(v, path+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	e.b = append(e.b, ']')
	return nil
}

func (e *encoder) object(m proa.Item, path string) error {
	e.b = append(e.b, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("name %q is not UTF-8: %w", name, proa.ErrInvalid)
		}
		e.text(name)
		e.b = append(e.b, ':')
		if err := e.value(m[name], path+"/"+pointerEscape(name)); err != nil {
			return err
		}
	}
	e.b = append(e.b, '}')
	return nil
}

func (e *encoder) set(v proa.Value) error {
	if len(v.Set) == 0 {
		return fmt.Errorf("empty set: %w", proa.ErrInvalid)
	}
	e.b = append(e.b, '[')
	for i, member := range v.Set {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if v.Kind == proa.KindBS {
			member = base64.StdEncoding.EncodeToString([]byte(member))
		} else if !utf8.ValidString(member) {
			return fmt.Errorf("set member is not UTF-8: %w", proa.ErrInvalid)
		}
		e.text(member)
	}
	e.b = append(e.b, ']')
	return nil
}

// envelope writes _proa with the envelope's fields and, in t, the hints. With neither there is no _proa.
func (e *encoder) envelope(env *proa.Envelope) error {
	m := proa.Item{}
	if env != nil {
		m = maps.Clone(env.Value().Map)
	}
	if len(e.hints) > 0 {
		hints := proa.Item{}
		for path, kind := range e.hints {
			hints[path] = proa.String(kind)
		}
		m["t"] = proa.Map(hints)
	}
	if len(m) == 0 {
		return nil
	}
	e.property(proa.EnvelopeAttr)
	return e.object(m, "")
}

// floatText is what a canonical number becomes when it passes through a double, in canonical form; "" where it does not fit one.
func floatText(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return ""
	}
	text, err := proa.CanonicalNumber(strconv.FormatFloat(f, 'e', -1, 64))
	if err != nil {
		return ""
	}
	return text
}

// pointerEscape escapes one token of a JSON pointer. RFC 6901.
func pointerEscape(token string) string {
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		switch token[i] {
		case '~':
			b = append(b, "~0"...)
		case '/':
			b = append(b, "~1"...)
		default:
			b = append(b, token[i])
		}
	}
	return string(b)
}
