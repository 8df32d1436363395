package proa

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// AppendJSON appends the value in canonical DynamoDB JSON: object keys sorted, numbers canonical, sets sorted,
// nothing escaped that JSON does not require. Equal values have equal bytes.
func (v Value) AppendJSON(b []byte) []byte {
	b = append(b, '{', '"')
	b = append(b, v.Kind.String()...)
	b = append(b, '"', ':')
	switch v.Kind {
	case KindS, KindN:
		b = appendString(b, v.Str)
	case KindB:
		b = appendBase64(b, v.Str)
	case KindBOOL:
		b = fmt.Appendf(b, "%t", v.Bool)
	case KindNULL:
		b = append(b, "true"...)
	case KindL:
		b = append(b, '[')
		for i, e := range v.List {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.AppendJSON(b)
		}
		b = append(b, ']')
	case KindM:
		b = v.Map.AppendJSON(b)
	case KindSS, KindNS, KindBS:
		b = append(b, '[')
		for i, e := range v.Set {
			if i > 0 {
				b = append(b, ',')
			}
			if v.Kind == KindBS {
				b = appendBase64(b, e)
			} else {
				b = appendString(b, e)
			}
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// AppendJSON appends the item in canonical DynamoDB JSON. A nil item is {}.
func (i Item) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	var few [16]string // most items have no more attributes: their names need no memory of their own
	names := few[:0]
	for name := range i {
		names = append(names, name)
	}
	slices.Sort(names)
	for n, name := range names {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = i[name].AppendJSON(b)
	}
	return append(b, '}')
}

// MarshalJSON writes canonical DynamoDB JSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// MarshalJSON writes canonical DynamoDB JSON; null for a nil item.
func (i Item) MarshalJSON() ([]byte, error) {
	if i == nil {
		return []byte("null"), nil
	}
	return i.AppendJSON(nil), nil
}

func appendBase64(b []byte, s string) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, []byte(s))
	return append(b, '"')
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + size
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// UnmarshalJSON reads one DynamoDB attribute value: an object with exactly one type. Numbers and sets are made canonical.
// Errors wrap ErrInvalid.
func (v *Value) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("attribute value: %w: %w", ErrInvalid, err)
	}
	if len(raw) != 1 {
		return fmt.Errorf("attribute value: want exactly one type, got %d: %w", len(raw), ErrInvalid)
	}
	for name, body := range raw {
		got, err := decodeKind(ParseKind(name), name, body)
		if err != nil {
			return err
		}
		*v = got
	}
	return nil
}

func decodeKind(kind Kind, name string, body []byte) (Value, error) {
	v := Value{Kind: kind}
	var err error
	switch kind {
	case KindS:
		err = strictDecode(body, &v.Str)
	case KindN:
		if err = strictDecode(body, &v.Str); err == nil {
			v.Str, err = CanonicalNumber(v.Str)
		}
	case KindB:
		var b []byte
		err = strictDecode(body, &b)
		v.Str = string(b)
	case KindBOOL:
		err = strictDecode(body, &v.Bool)
	case KindNULL:
		var null bool
		if err = strictDecode(body, &null); err == nil && !null {
			err = fmt.Errorf("NULL must be true: %w", ErrInvalid)
		}
	case KindL:
		v.List = []Value{}
		err = strictDecode(body, &v.List)
	case KindM:
		v.Map = Item{}
		err = strictDecode(body, &v.Map)
	case KindSS, KindNS, KindBS:
		return decodeSet(kind, body)
	default:
		return v, fmt.Errorf("attribute value: unknown type %q: %w", name, ErrInvalid)
	}
	return v, err
}

func decodeSet(kind Kind, body []byte) (Value, error) {
	var members []string
	if kind == KindBS {
		var raw [][]byte
		if err := strictDecode(body, &raw); err != nil {
			return Value{}, err
		}
		for _, b := range raw {
			members = append(members, string(b))
		}
		return SetOf(kind, members), nil
	}
	if err := strictDecode(body, &members); err != nil {
		return Value{}, err
	}
	if kind == KindNS {
		for i, s := range members {
			n, err := CanonicalNumber(s)
			if err != nil {
				return Value{}, err
			}
			members[i] = n
		}
	}
	return SetOf(kind, members), nil
}

// strictDecode refuses JSON null, which encoding/json would take for any zero value.
func strictDecode(body []byte, into any) error {
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return fmt.Errorf("attribute value: null: %w", ErrInvalid)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("attribute value: %w: %w", ErrInvalid, err)
	}
	return nil
}
