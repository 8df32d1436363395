package dns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// LoadZone reads a standard master file (RFC 1035 section 5). The zone is the owner of its SOA,
// which comes first. Relative names before any $ORIGIN are taken under the file's name without
// "db." and ".zone". $INCLUDE is refused. A bad zone is a *ZoneError with file, line and column.
func LoadZone(path string) (*Zone, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load zone: %w: %w", proa.ErrInvalidConfig, err)
	}
	defer func() { _ = f.Close() }()
	return ParseZone(f, originOf(path), path)
}

func originOf(path string) string {
	base := filepath.Base(path)
	for _, ext := range []string{".zone", ".db", ".txt"} {
		base = strings.TrimSuffix(base, ext)
	}
	base = strings.TrimPrefix(base, "db.")
	if _, err := parseName(base); err != nil {
		return "."
	}
	return base
}

// ParseZone reads a master file from r. origin stands for relative names; file names the source in
// errors.
func ParseZone(r io.Reader, origin, file string) (*Zone, error) {
	return parseZone(r, origin, file, maxRecords)
}

func parseZone(r io.Reader, origin, file string, limit int) (z *Zone, err error) {
	src := &lineReader{r: bufio.NewReaderSize(r, 64<<10), at: position{1, 0}}
	b := &zoneBuilder{zone: &Zone{file: file, owners: map[name]*owner{}}, limit: limit}
	defer func() {
		if v := recover(); v != nil { // the master file parser is not ours
			z, err = nil, b.fail(src.start(), "the zone parser failed: %v", v)
		}
	}()
	if _, err := parseName(origin); err != nil {
		return nil, b.fail(position{}, "%v", err)
	}
	p := mdns.NewZoneParser(src, mdns.Fqdn(origin), "")
	for {
		src.mark()
		rr, ok := p.Next()
		if !ok {
			break
		}
		if err := b.add(rr, src.start()); err != nil {
			return nil, err
		}
	}
	if src.err != nil {
		return nil, b.fail(position{}, "read: %v", src.err)
	}
	if err := p.Err(); err != nil {
		return nil, b.syntaxError(err, src.start())
	}
	return b.finish()
}

var parserPosition = regexp.MustCompile(` at line: (\d+):(\d+)$`)

// syntaxError takes line and column out of the parser's text.
func (b *zoneBuilder) syntaxError(err error, fallback position) error {
	text := err.Error()
	at := fallback
	if m := parserPosition.FindStringSubmatch(text); m != nil {
		line, errLine := strconv.Atoi(m[1])
		column, errColumn := strconv.Atoi(m[2])
		if errLine == nil && errColumn == nil && line > 0 {
			at = position{line, column}
		}
		text = strings.TrimSuffix(text, m[0])
	}
	return b.fail(at, "%s", strings.TrimPrefix(text, "dns: "))
}

// lineReader counts lines and columns, and remembers where the record that is being read began.
type lineReader struct {
	r     *bufio.Reader
	at    position // of the byte that was read last
	begun position
	// A line with a directive is not the record's, unless it is what made the record ($GENERATE).
	directive position
	comment   bool
	err       error
}

// mark says that the next byte that is neither blank nor in a comment begins a record.
func (l *lineReader) mark() { l.begun = position{} }

// start is where the present record began.
func (l *lineReader) start() position {
	if l.begun.line == 0 {
		return l.directive
	}
	return l.begun
}

// ReadByte gives the parser one byte at a time, so that it never reads ahead.
func (l *lineReader) ReadByte() (byte, error) {
	c, err := l.r.ReadByte()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			l.err = err
		}
		return 0, err
	}
	l.at.column++
	switch {
	case c == '\n':
		if l.begun == l.directive {
			l.begun = position{}
		}
		l.at.line, l.at.column, l.comment = l.at.line+1, 0, false
	case c == ';':
		l.comment = true
	case !l.comment && c != ' ' && c != '\t' && c != '\r' && l.begun.line == 0:
		l.begun = l.at
		if c == '$' {
			l.directive = l.at
		}
	}
	return c, nil
}

// Read implements io.Reader for the sake of the parser's signature.
func (l *lineReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := l.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}
