package s3

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
)

// xmlDoc builds a response document. It is not encoding/xml because that replaces control
// characters, which keys may hold, by U+FFFD; the vendor writes them as character references.
type xmlDoc struct{ buf bytes.Buffer }

// newXML starts a document whose root is in S3's name space.
func newXML(root string) *xmlDoc {
	d := &xmlDoc{}
	d.buf.WriteString(xmlHeader + "<" + root + ` xmlns="` + namespace + `">`)
	return d
}

func (d *xmlDoc) open(name string)  { d.buf.WriteString("<" + name + ">") }
func (d *xmlDoc) close(name string) { d.buf.WriteString("</" + name + ">") }

// leaf writes an element with text.
func (d *xmlDoc) leaf(name, text string) {
	d.open(name)
	escapeXML(&d.buf, text)
	d.close(name)
}

// some writes the element unless its text is empty.
func (d *xmlDoc) some(name, text string) {
	if text != "" {
		d.leaf(name, text)
	}
}

func (d *xmlDoc) int(name string, n int64)  { d.leaf(name, strconv.FormatInt(n, 10)) }
func (d *xmlDoc) bool(name string, b bool)  { d.leaf(name, strconv.FormatBool(b)) }
func (d *xmlDoc) time(name string, t int64) { d.leaf(name, isoTime(t)) }

// send closes the root and writes the document.
func (d *xmlDoc) send(w http.ResponseWriter, root string) {
	d.close(root)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(d.buf.Len()))
	_, _ = w.Write(d.buf.Bytes())
}

// isoTime renders Unix milliseconds as listings do: whole seconds with ".000Z".
func isoTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05") + ".000Z"
}

// httpTime renders Unix milliseconds as Last-Modified does.
func httpTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(http.TimeFormat) }

func escapeXML(b *bytes.Buffer, s string) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r < 0x20:
			b.WriteString("&#x" + strconv.FormatInt(int64(r), 16) + ";")
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
}
