package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// overrides are the query parameters that replace response headers.
var overrides = map[string]string{
	"response-content-type": "Content-Type", "response-content-language": "Content-Language",
	"response-expires": "Expires", "response-cache-control": "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
}

// getObject answers GET and HEAD.
func (s *Server) getObject(w http.ResponseWriter, r *http.Request, t target) error {
	q := r.URL.Query()
	if r.Header.Get("Range") != "" && q.Get("partNumber") != "" {
		return invalidRequest("Cannot specify both Range header and partNumber query parameter")
	}
	for attempt := 0; ; attempt++ {
		o, err := s.readable(w, t)
		if err != nil {
			return err
		}
		if status := readConditions(r.Header, o, "If-"); status != 0 {
			return s.refuseRead(w, o, status)
		}
		span, err := s.spanOf(r, q, o)
		if err != nil {
			return err
		}
		var body io.ReadCloser = http.NoBody
		if r.Method != http.MethodHead {
			body, err = s.openBody(o, span.from, span.length)
			if errors.Is(err, os.ErrNotExist) && attempt < 100 {
				continue // overwritten between the two reads: read the new state
			}
			if err != nil {
				return err
			}
		}
		s.sendObject(w, r, q, o, span, body)
		return body.Close()
	}
}

// readable finds the object, and answers delete markers as the vendor does.
func (s *Server) readable(w http.ResponseWriter, t target) (*object, error) {
	if _, err := s.bucket(t.bucket); err != nil {
		return nil, err
	}
	o, _, err := s.find(t)
	switch {
	case err != nil:
		return nil, err
	case o == nil && t.version != "":
		return nil, noSuchVersion(t.key, t.version)
	case o == nil:
		return nil, noSuchKey(t.key)
	case !o.Marker:
		return o, nil
	}
	w.Header().Set("x-amz-delete-marker", "true")
	w.Header().Set("x-amz-version-id", o.Version)
	if t.version == "" {
		return nil, noSuchKey(t.key)
	}
	w.Header().Set("Last-Modified", httpTime(o.Modified))
	return nil, methodNotAllowed(http.MethodGet, "DeleteMarker")
}

// readConditions returns the status to refuse with, 0 for none. RFC 9110 §13.2.2, as S3 applies it;
// copies use another prefix and answer 412 for all.
func readConditions(h http.Header, o *object, prefix string) int {
	modified := time.UnixMilli(o.Modified).Truncate(time.Second)
	since := func(name string) (time.Time, bool) {
		t, err := http.ParseTime(h.Get(prefix + name))
		return t, err == nil
	}
	if v := h.Get(prefix + "Match"); v != "" {
		if !etagIn(v, o.ETag) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := since("Unmodified-Since"); ok && modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if v := h.Get(prefix + "None-Match"); v != "" {
		if etagIn(v, o.ETag) {
			return http.StatusNotModified
		}
	} else if t, ok := since("Modified-Since"); ok && !modified.After(t) {
		return http.StatusNotModified
	}
	return 0
}

func etagIn(list, etag string) bool {
	for v := range strings.SplitSeq(list, ",") {
		v = strings.Trim(strings.TrimPrefix(strings.TrimSpace(v), "W/"), `"`)
		if v == "*" || v == etag {
			return true
		}
	}
	return false
}

func (s *Server) refuseRead(w http.ResponseWriter, o *object, status int) error {
	if status == http.StatusNotModified {
		w.Header().Set("ETag", quote(o.ETag))
		w.Header().Set("Last-Modified", httpTime(o.Modified))
		s.versionHeader(w.Header(), o)
		return fail(status, "NotModified", "Not Modified")
	}
	return preconditionFailed("If-Match")
}

// span is what part of an object is asked for.
type span struct {
	from, length int64
	partial      bool
}

func (s *Server) spanOf(r *http.Request, q url.Values, o *object) (span, error) {
	whole := span{length: o.Size}
	if v := q.Get("partNumber"); v != "" {
		return s.partSpan(o, v)
	}
	return parseRange(r.Header.Get("Range"), whole)
}

// parseRange reads one range of bytes. What is no single range of bytes is ignored, as the vendor
// does.
func parseRange(header string, whole span) (span, error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return whole, nil
	}
	from, fok := offset(first)
	to, tok := offset(last)
	switch {
	case first == "" && tok: // the last bytes
		from, to = max(whole.length-to, 0), whole.length-1
		if from > to {
			return whole, invalidRange(header, whole.length)
		}
	case !fok || last != "" && (!tok || to < from):
		return whole, nil
	case last == "" || to >= whole.length:
		to = whole.length - 1
	}
	if from >= whole.length {
		return whole, invalidRange(header, whole.length)
	}
	return span{from, to - from + 1, true}, nil
}

// offset reads a number of bytes, digits alone. Numbers past 2^63-1 are that: past every object's end.
func offset(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

// partSpan finds one part of a multipart object; an object put whole has one part.
func (s *Server) partSpan(o *object, v string) (span, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxParts {
		return span{}, invalidArgument("partNumber", v, "Part number must be an integer between 1 and "+
			"10000, inclusive")
	}
	if n > max(o.Parts, 1) {
		return span{}, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber",
			"The requested partnumber is not satisfiable")
	}
	if o.Parts == 0 {
		return span{length: o.Size, partial: true}, nil
	}
	segments, err := s.segments(o.Body)
	if err != nil {
		return span{}, err
	}
	var from int64
	for _, seg := range segments[:n-1] {
		from += seg.Size
	}
	return span{from, segments[n-1].Size, true}, nil
}

// sendObject writes headers and body.
func (s *Server) sendObject(
	w http.ResponseWriter, r *http.Request, q url.Values, o *object, part span, body io.Reader,
) {
	h := w.Header()
	s.describeTo(h, o)
	for param, name := range overrides {
		if v := q.Get(param); v != "" {
			h.Set(name, v)
		}
	}
	if strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") &&
		(!part.partial || part.length == o.Size) {
		o.Sums.setHeaders(h, false)
	}
	if o.Parts > 0 && q.Get("partNumber") != "" {
		h.Set("x-amz-mp-parts-count", strconv.Itoa(o.Parts))
	}
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	status := http.StatusOK
	if part.partial {
		status = http.StatusPartialContent
		if part.length > 0 {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.from, part.from+part.length-1, o.Size))
		}
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	buf := s.bufs.get()
	defer s.bufs.put(buf)
	if err := send(w, body, part.length, buf[:]); err != nil {
		// net/http closes a connection whose response is shorter than its Content-Length: the client sees
		// a broken transfer.
		s.cfg.Logger.Debug("object not sent whole", "error", err)
	}
}

// send copies exactly n bytes.
func send(w io.Writer, body io.Reader, n int64, buf []byte) error {
	// Hiding ReaderFrom keeps the copy in our pooled buffer.
	sent, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(body, n), buf)
	if err == nil && sent < n {
		return io.ErrUnexpectedEOF
	}
	return err
}

// describeTo sets the headers that describe an object.
func (s *Server) describeTo(h http.Header, o *object) {
	for name, v := range o.Header {
		h.Set(name, v)
	}
	for name, v := range o.Meta {
		h["x-amz-meta-"+name] = []string{v}
	}
	h.Set("ETag", quote(o.ETag))
	h.Set("Last-Modified", httpTime(o.Modified))
	h.Set("Accept-Ranges", "bytes")
	if len(o.Tags) > 0 {
		h.Set("x-amz-tagging-count", strconv.Itoa(len(o.Tags)))
	}
	s.versionHeader(h, o)
}

// openBody opens length bytes of a body from an offset. Its error is os.ErrNotExist when the object
// has been replaced.
func (s *Server) openBody(o *object, from, length int64) (io.ReadCloser, error) {
	if o.Body.Kind != "s" {
		return s.openSegment(segment{Body: o.Body, Size: o.Size}, from, length)
	}
	segments, err := s.segments(o.Body)
	if err != nil {
		return nil, err
	}
	var slices []slice
	for _, seg := range segments {
		if from < seg.Size && length > 0 {
			n := min(seg.Size-from, length)
			slices = append(slices, slice{segment: seg, from: from, length: n})
			length -= n
			from = 0
			continue
		}
		from -= min(from, seg.Size)
	}
	return s.openChain(o.Body, slices)
}

func (s *Server) openSegment(seg segment, from, length int64) (io.ReadCloser, error) {
	switch seg.Body.Kind {
	case "d":
		b, closer, err := s.db.Get(row(rowInline + seg.Body.ID))
		if err != nil {
			return nil, os.ErrNotExist
		}
		data := bytes.Clone(b[from : from+length])
		return io.NopCloser(bytes.NewReader(data)), closer.Close()
	case "f":
		f, err := s.fs.Open(s.bodyPath(seg.Body.ID))
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, from, length), f}, nil
	}
	return http.NoBody, nil
}

// slice is a part of a segment.
type slice struct {
	segment
	from, length int64
	inline       io.ReadCloser // what is in memory already; nil: opened when it is its turn
}

// chain reads segments one after the other, with one open at a time.
type chain struct {
	done func()
	open func(seg segment, from, length int64) (io.ReadCloser, error)
	rest []slice
	cur  io.ReadCloser
}

func (c *chain) advance() error {
	if c.cur != nil {
		if err := c.cur.Close(); err != nil {
			return err
		}
		c.cur = nil
	}
	if len(c.rest) == 0 {
		return nil
	}
	next := c.rest[0]
	c.rest = c.rest[1:]
	if next.inline != nil {
		c.cur = next.inline
		return nil
	}
	cur, err := c.open(next.segment, next.from, next.length)
	if err != nil {
		return err
	}
	c.cur = cur
	return nil
}

// Read implements io.Reader.
func (c *chain) Read(p []byte) (int, error) {
	for c.cur != nil {
		n, err := c.cur.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := c.advance(); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, io.EOF
}

// loadInline reads the parts that are rows and not files: at most the last one, since others are large.
func (c *chain) loadInline() error {
	for i, part := range c.rest {
		if part.Body.Kind != "d" {
			continue
		}
		r, err := c.open(part.segment, part.from, part.length)
		if err != nil {
			return err
		}
		c.rest[i].inline = r
	}
	return nil
}

// Close closes what is open and lets the files go.
func (c *chain) Close() error {
	defer c.done()
	if c.cur == nil {
		return nil
	}
	return c.cur.Close()
}
