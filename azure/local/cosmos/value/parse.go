package value

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may nest: the service's own limit.
// Source: https://learn.microsoft.com/azure/cosmos-db/concepts-limits
const MaxDepth = 128

var errDepth = errors.New("nesting is deeper than 128 levels")

// Parse reads one JSON text, strictly (RFC 8259, valid UTF-8). Of a property that is there twice
// the last value counts, in the first one's place. Numbers become doubles; one beyond the range of
// a double is an error.
func Parse(data []byte) (Value, error) {
	p := parser{data: data}
	p.space()
	v, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	p.space()
	if p.pos != len(p.data) {
		return Value{}, p.errorf("unexpected text after the value")
	}
	return v, nil
}

type parser struct {
	data []byte
	pos  int
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("invalid JSON at byte %d: %s", p.pos, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *parser) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, errDepth
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.str()
		return OfString(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, w := range []struct {
		text string
		val  Value
	}{{"true", OfBool(true)}, {"false", OfBool(false)}, {"null", OfNull()}} {
		if len(p.data)-p.pos >= len(w.text) && string(p.data[p.pos:p.pos+len(w.text)]) == w.text {
			p.pos += len(w.text)
			return w.val, nil
		}
	}
	return Value{}, p.errorf("a value is missing")
}

func (p *parser) object(depth int) (Value, error) {
	p.pos++
	var members []Member
	p.space()
	if p.peek() == '}' {
		p.pos++
		return OfObject(nil), nil
	}
	for {
		p.space()
		if p.peek() != '"' {
			return Value{}, p.errorf("a property name is missing")
		}
		name, err := p.str()
		if err != nil {
			return Value{}, err
		}
		p.space()
		if p.peek() != ':' {
			return Value{}, p.errorf("':' is missing")
		}
		p.pos++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		members = appendMember(members, name, v)
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return OfObject(dedupe(members)), nil
		default:
			return Value{}, p.errorf("',' or '}' is missing")
		}
	}
}

func appendMember(members []Member, name string, v Value) []Member {
	return append(members, Member{Name: name, Value: v})
}

// dedupe keeps the last value of a repeated name. Small objects are compared pairwise, large ones
// through a map.
func dedupe(members []Member) []Member {
	if len(members) <= 8 {
		for i := 1; i < len(members); i++ {
			for j := range i {
				if members[j].Name == members[i].Name {
					return dedupeMap(members)
				}
			}
		}
		return members
	}
	return dedupeMap(members)
}

func dedupeMap(members []Member) []Member {
	seen := make(map[string]int, len(members))
	out := members[:0]
	for _, m := range members {
		if at, ok := seen[m.Name]; ok {
			out[at].Value = m.Value
			continue
		}
		seen[m.Name] = len(out)
		out = append(out, m)
	}
	return out
}

func (p *parser) array(depth int) (Value, error) {
	p.pos++
	var items []Value
	p.space()
	if p.peek() == ']' {
		p.pos++
		return OfArray(nil), nil
	}
	for {
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		items = append(items, v)
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return OfArray(items), nil
		default:
			return Value{}, p.errorf("',' or ']' is missing")
		}
	}
}

func (p *parser) number() (Value, error) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	switch {
	case p.peek() == '0':
		p.pos++
	case !p.digits():
		return Value{}, p.errorf("a digit is missing")
	}
	if p.peek() == '.' {
		p.pos++
		if !p.digits() {
			return Value{}, p.errorf("a digit is missing")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if !p.digits() {
			return Value{}, p.errorf("a digit is missing")
		}
	}
	f, err := strconv.ParseFloat(string(p.data[start:p.pos]), 64)
	if err != nil || math.IsInf(f, 0) {
		return Value{}, p.errorf("the number is outside the range of a double")
	}
	if f == 0 {
		f = 0 // drops the sign of -0
	}
	return OfNumber(f), nil
}

func (p *parser) digits() bool {
	start := p.pos
	for p.pos < len(p.data) && p.data[p.pos] >= '0' && p.data[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > start
}

func (p *parser) str() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == '"':
			raw := p.data[start:p.pos]
			if !utf8.Valid(raw) {
				return "", p.errorf("the string is not valid UTF-8")
			}
			p.pos++
			return string(raw), nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", p.errorf("a control character is not escaped")
		}
		p.pos++
	}
	return "", p.errorf("the string does not end")
}

func (p *parser) escaped(start int) (string, error) {
	out := append([]byte(nil), p.data[start:p.pos]...)
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case c == '"':
			p.pos++
			if !utf8.Valid(out) {
				return "", p.errorf("the string is not valid UTF-8")
			}
			return string(out), nil
		case c < 0x20:
			return "", p.errorf("a control character is not escaped")
		case c != '\\':
			out = append(out, c)
			p.pos++
		default:
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
		}
	}
	return "", p.errorf("the string does not end")
}

func (p *parser) escape(out []byte) ([]byte, error) {
	p.pos++
	c := p.peek()
	p.pos++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		r, err := p.hex4()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) {
			if r, err = p.lowSurrogate(r); err != nil {
				return nil, err
			}
		}
		return utf8.AppendRune(out, r), nil
	}
	return nil, p.errorf("unknown escape")
}

func (p *parser) lowSurrogate(high rune) (rune, error) {
	if p.pos+1 < len(p.data) && p.data[p.pos] == '\\' && p.data[p.pos+1] == 'u' {
		p.pos += 2
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, p.errorf("a surrogate stands alone")
}

func (p *parser) hex4() (rune, error) {
	if p.pos+4 > len(p.data) {
		return 0, p.errorf("the escape does not end")
	}
	n, err := strconv.ParseUint(string(p.data[p.pos:p.pos+4]), 16, 32)
	if err != nil || p.data[p.pos] == '+' || p.data[p.pos] == '-' {
		return 0, p.errorf("bad \\u escape")
	}
	p.pos += 4
	return rune(n), nil
}
