package expr

import "strings"

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokName
	tokNameRef  // #name
	tokValueRef // :value
	tokNumber
	tokSymbol
)

// token is one lexeme with its place in the source. The end of file spans from the last lexeme to
// the source's end.
type token struct {
	kind       tokenKind
	text       string
	start, end int
}

// is reports whether the token is the keyword, which is case-insensitive.
func (t token) is(keyword string) bool {
	return t.kind == tokName && strings.EqualFold(t.text, keyword)
}

func (t token) symbol(s string) bool { return t.kind == tokSymbol && t.text == s }

// lex splits the source. It never fails: what is no lexeme becomes a one-character symbol, which
// the parser then refuses.
func lex(src string) []token {
	var toks []token
	for i := 0; i < len(src); {
		start := i
		kind := tokSymbol
		switch c := src[i]; {
		case isSpace(c):
			i++
			continue
		case isLetter(c) || c == '_':
			kind, i = tokName, skipWord(src, i)
		case isDigit(c):
			kind = tokNumber
			for i < len(src) && isDigit(src[i]) {
				i++
			}
		case (c == '#' || c == ':') && i+1 < len(src) && isWord(src[i+1]):
			kind = tokNameRef
			if c == ':' {
				kind = tokValueRef
			}
			i = skipWord(src, i+1)
		default:
			i += symbolLen(src[i:])
		}
		toks = append(toks, token{kind, src[start:i], start, i})
	}
	return append(toks, token{tokEOF, "<EOF>", len(src), len(src)})
}

// symbolLen is the length of the operator or character that starts s. Characters beyond ASCII are
// taken whole.
func symbolLen(s string) int {
	if len(s) >= 2 {
		switch s[:2] {
		case "<>", "<=", ">=":
			return 2
		}
	}
	n := 1
	for n < len(s) && s[n]&0xC0 == 0x80 {
		n++
	}
	return n
}

func skipWord(s string, i int) int {
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }
