package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// Exact returns a JSON document in which no key can be taken for a field of into whose name is written
// otherwise: encoding/json ignores case, and the vendors do not. What is malformed is returned as it is.
func Exact(body []byte, into any) []byte {
	e := exact{body: body}
	e.value(reflect.TypeOf(into))
	return e.body
}

// exact walks a document beside the type that it is decoded into, and writes over keys that only look
// like a field's. It stops at what is malformed.
type exact struct {
	body   []byte
	at     int
	small  bool // fields without a tag begin with a small letter
	copied bool // body is no more the caller's
}

// peek returns the next byte that is no white space, 0 at the end.
func (e *exact) peek() byte {
	for ; e.at < len(e.body); e.at++ {
		switch c := e.body[e.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// next takes the next byte if it is c.
func (e *exact) next(c byte) bool {
	if e.peek() != c {
		return false
	}
	e.at++
	return true
}

func (e *exact) value(t reflect.Type) bool {
	for t != nil && t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	c := e.peek()
	if t == nil || decodesItself(t) {
		return e.skip()
	}
	switch k := t.Kind(); {
	case c == '{' && (k == reflect.Struct || k == reflect.Map):
		return e.object(t)
	case c == '[' && (k == reflect.Slice || k == reflect.Array):
		return e.array(t.Elem())
	}
	return e.skip()
}

func decodesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

func (e *exact) object(t reflect.Type) bool {
	e.at++
	if e.next('}') {
		return true
	}
	for {
		key, ok := e.key()
		if !ok {
			return false
		}
		var of reflect.Type
		if t.Kind() == reflect.Map {
			of = t.Elem()
		} else if field, found, like := e.named(t, e.plain(key)); found {
			of = field
		} else if like {
			e.blank(key)
		}
		if !e.next(':') || !e.value(of) {
			return false
		}
		if !e.next(',') {
			return e.next('}')
		}
	}
}

func (e *exact) array(of reflect.Type) bool {
	e.at++
	if e.next(']') {
		return true
	}
	for e.value(of) {
		if !e.next(',') {
			return e.next(']')
		}
	}
	return false
}

// key takes a string and returns where it is, without its quotes.
func (e *exact) key() (at [2]int, ok bool) {
	if e.peek() != '"' {
		return at, false
	}
	at[0] = e.at + 1
	if !e.text() {
		return at, false
	}
	at[1] = e.at - 1
	return at, true
}

// plain is a key without its escapes.
func (e *exact) plain(key [2]int) string {
	raw := e.body[key[0]:key[1]]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var out string
	if json.Unmarshal(e.body[key[0]-1:key[1]+1], &out) != nil {
		return "" // the document is malformed
	}
	return out
}

// text skips a string.
func (e *exact) text() bool {
	for e.at++; e.at < len(e.body); e.at++ {
		switch e.body[e.at] {
		case '\\':
			e.at++
		case '"':
			e.at++
			return true
		}
	}
	return false
}

// skip skips a value of any depth.
func (e *exact) skip() bool {
	for depth := 0; ; {
		switch c := e.peek(); c {
		case 0:
			return false
		case '{', '[':
			depth++
			e.at++
		case '}', ']':
			depth--
			e.at++
		case '"':
			if !e.text() {
				return false
			}
		case ',', ':':
			if depth == 0 {
				return false
			}
			e.at++
			continue
		default:
			n := bytes.IndexAny(e.body[e.at:], "{}[]\",: \t\r\n")
			if n < 0 {
				n = len(e.body) - e.at
			}
			e.at += n
		}
		if depth <= 0 {
			return depth == 0
		}
	}
}

// blank writes over a key.
func (e *exact) blank(key [2]int) {
	if !e.copied {
		e.body, e.copied = bytes.Clone(e.body), true
	}
	for i := key[0]; i < key[1]; i++ {
		e.body[i] = '#'
	}
}

// named finds the field of a struct that a key names. like says that encoding/json would take it for one
// though it does not.
func (e *exact) named(t reflect.Type, key string) (field reflect.Type, found, like bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" && f.Type.Kind() == reflect.Struct {
			of, ok, also := e.named(f.Type, key)
			if ok {
				return of, true, false
			}
			like = like || also
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			if name = f.Name; e.small {
				name = strings.ToLower(name[:1]) + name[1:]
			}
		}
		if key == name {
			return f.Type, true, false
		}
		like = like || strings.EqualFold(key, name)
	}
	return nil, false, like
}
