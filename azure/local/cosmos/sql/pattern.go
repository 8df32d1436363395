package sql

import (
	"regexp"
	"strings"
)

// pattern is a compiled LIKE or regular expression; one that does not compile matches nothing.
type pattern struct{ re *regexp.Regexp }

func (p *pattern) match(s string) bool { return p.re != nil && p.re.MatchString(s) }

const maxPatterns = 256

// compiled returns the pattern of an expression, from this execution's cache.
func (r *run) compiled(expression string) *pattern {
	if p, ok := r.regex[expression]; ok {
		return p
	}
	if r.regex == nil || len(r.regex) >= maxPatterns {
		r.regex = map[string]*pattern{}
	}
	p := &pattern{}
	if re, err := regexp.Compile(expression); err == nil {
		p.re = re
	}
	r.regex[expression] = p
	return p
}

// likePattern translates LIKE: % is any text, _ one character, [abc], [a-c] and [^abc] sets, the
// escape character takes the next one as it is.
func (r *run) likePattern(like string, escape rune) *pattern {
	key := "\x00" + string(escape) + like
	if p, ok := r.regex[key]; ok {
		return p
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	runes := []rune(like)
	for i := 0; i < len(runes); i++ {
		switch c := runes[i]; {
		case escape != 0 && c == escape && i+1 < len(runes):
			i++
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		case c == '%':
			b.WriteString(".*")
		case c == '_':
			b.WriteByte('.')
		case c == '[':
			end := indexRune(runes, i+1, ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			b.WriteString(likeSet(runes[i+1 : end]))
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`\z`)
	p := r.compiled(b.String())
	r.regex[key] = p
	return p
}

func indexRune(runes []rune, from int, c rune) int {
	for i := from; i < len(runes); i++ {
		if runes[i] == c {
			return i
		}
	}
	return -1
}

func likeSet(set []rune) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, c := range set {
		switch {
		case c == '^' && i == 0, c == '-' && i > 0 && i < len(set)-1:
			b.WriteRune(c)
		case strings.ContainsRune(`\]^-[&`, c):
			b.WriteString(`\` + string(c))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte(']')
	return b.String()
}
