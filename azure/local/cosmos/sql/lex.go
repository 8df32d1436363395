// Package sql is the query language of Cosmos DB for NoSQL: lexer, parser, checks, and an evaluator
// with its undefined semantics. It knows nothing of storage: a Plan takes documents one by one and
// yields rows.
//
// Text that cannot be parsed is refused; nothing is skipped. Work is bounded: nesting, steps, and
// the size of a row.
// Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/
package sql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Error is a refusal of a query, with the service's code and the place in the text.
type Error struct {
	Code       string // SC1001: syntax, SC2001: unknown identifier, …
	Message    string
	Start, End int // byte offsets
}

// Error renders the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errorAt(code string, start, end int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Start: start, End: end}
}

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokIdent
	tokKeyword // text is upper case
	tokNumber
	tokString
	tokParam
	tokSymbol
)

type token struct {
	kind       tokenKind
	text       string // as written; keywords in upper case, strings unescaped
	num        float64
	start, end int
}

// reserved words cannot be identifiers, nor properties after a dot.
var reserved = map[string]bool{
	"AND": true, "ARRAY": true, "AS": true, "ASC": true, "BETWEEN": true, "BY": true,
	"DESC": true, "DISTINCT": true, "ESCAPE": true, "EXISTS": true, "FALSE": true, "FROM": true,
	"GROUP": true, "IN": true, "JOIN": true, "LIKE": true, "LIMIT": true, "NOT": true,
	"NULL": true, "OFFSET": true, "OR": true, "ORDER": true, "SELECT": true, "TOP": true,
	"TRUE": true, "UDF": true, "UNDEFINED": true, "VALUE": true, "WHERE": true,
}

// symbols, the longest first.
var symbols = []string{
	">>>", "??", "<>", "!=", "<=", ">=", "<<", ">>", "||",
	"(", ")", "[", "]", "{", "}", ",", ".", ":", "?", "=", "<", ">", "+", "-", "*", "/",
	"%", "&", "|", "^", "~",
}

// MaxText is the longest query that is accepted, in bytes.
const MaxText = 256 << 10

func lex(text string) ([]token, *Error) {
	if len(text) > MaxText {
		return nil, errorAt("SC3004", 0, len(text), "The SQL query text exceeded the maximum limit "+
			"of %d characters", MaxText)
	}
	if !utf8.ValidString(text) {
		return nil, errorAt("SC1000", 0, len(text), "Syntax error, the query text is not valid UTF-8.")
	}
	l := lexer{text: text}
	var out []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if t.kind == tokEnd {
			return out, nil
		}
	}
}

type lexer struct {
	text string
	pos  int
}

func (l *lexer) next() (token, *Error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start := l.pos
	if start >= len(l.text) {
		return token{kind: tokEnd, start: start, end: start}, nil
	}
	c := l.text[start]
	switch {
	case c == '\'' || c == '"':
		return l.str(c)
	case c >= '0' && c <= '9', c == '.' && start+1 < len(l.text) && isDigit(l.text[start+1]):
		return l.number()
	case c == '@':
		l.pos++
		name := l.word()
		if name == "" {
			return token{}, l.unexpected(start)
		}
		return token{kind: tokParam, text: "@" + name, start: start, end: l.pos}, nil
	}
	if w := l.word(); w != "" {
		t := token{kind: tokIdent, text: w, start: start, end: l.pos}
		if up := strings.ToUpper(w); reserved[up] {
			t.kind, t.text = tokKeyword, up
		}
		return t, nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(l.text[start:], s) {
			l.pos += len(s)
			return token{kind: tokSymbol, text: s, start: start, end: l.pos}, nil
		}
	}
	return token{}, l.unexpected(start)
}

func (l *lexer) unexpected(start int) *Error {
	_, size := utf8.DecodeRuneInString(l.text[start:])
	return errorAt("SC1001", start, start+size, "Syntax error, incorrect syntax near '%s'.",
		l.text[start:start+size])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// skip passes over white space and comments (-- to the end of the line, /* */).
func (l *lexer) skip() *Error {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			l.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return errorAt("SC1001", l.pos, len(l.text), "Syntax error, the comment does not end.")
			}
			l.pos += end + 2
		default:
			r, size := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) {
				return nil
			}
			l.pos += size
		}
	}
	return nil
}

// word reads an identifier, "" when there is none.
func (l *lexer) word() string {
	start := l.pos
	for l.pos < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[l.pos:])
		if r != '_' && r != '$' && !unicode.IsLetter(r) && (l.pos == start || !unicode.IsDigit(r)) {
			break
		}
		l.pos += size
	}
	return l.text[start:l.pos]
}

func (l *lexer) number() (token, *Error) {
	start := l.pos
	digits := func() {
		for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
			l.pos++
		}
	}
	digits()
	if l.pos < len(l.text) && l.text[l.pos] == '.' {
		l.pos++
		digits()
	}
	if l.pos < len(l.text) && (l.text[l.pos] == 'e' || l.text[l.pos] == 'E') {
		l.pos++
		if l.pos < len(l.text) && (l.text[l.pos] == '+' || l.text[l.pos] == '-') {
			l.pos++
		}
		digits()
	}
	text := l.text[start:l.pos]
	f, err := strconv.ParseFloat(text, 64)
	if after := l.word(); err != nil || after != "" {
		return token{}, errorAt("SC1001", start, l.pos, "Syntax error, incorrect syntax near '%s'.",
			l.text[start:l.pos])
	}
	return token{kind: tokNumber, text: text, num: f, start: start, end: l.pos}, nil
}

func (l *lexer) str(quote byte) (token, *Error) {
	start := l.pos
	l.pos++
	var b strings.Builder
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		l.pos++
		switch c {
		case quote:
			return token{kind: tokString, text: b.String(), start: start, end: l.pos}, nil
		case '\\':
			if !l.escape(&b) {
				return token{}, errorAt("SC1010", start, l.pos,
					"Syntax error, invalid string literal token '%s'.", l.text[start:l.pos])
			}
		default:
			b.WriteByte(c)
		}
	}
	return token{}, errorAt("SC1012", start, len(l.text), "Syntax error, unterminated string literal.")
}

func (l *lexer) escape(b *strings.Builder) bool {
	if l.pos >= len(l.text) {
		return false
	}
	c := l.text[l.pos]
	l.pos++
	if i := strings.IndexByte(`'"\/bfnrt`, c); i >= 0 {
		b.WriteByte("'\"\\/\b\f\n\r\t"[i])
		return true
	}
	if c != 'u' {
		return false
	}
	r, ok := l.hex4()
	if ok && utf16.IsSurrogate(r) && strings.HasPrefix(l.text[l.pos:], `\u`) {
		l.pos += 2
		var low rune
		low, ok = l.hex4()
		r = utf16.DecodeRune(r, low)
	}
	b.WriteRune(r)
	return ok
}

func (l *lexer) hex4() (rune, bool) {
	if l.pos+4 > len(l.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(l.text[l.pos:l.pos+4], 16, 16)
	l.pos += 4
	return rune(n), err == nil
}
