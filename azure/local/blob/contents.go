package blob

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// inlineMax is the largest body that is kept in the database. Larger ones are files, so that the
// database does not rewrite them in compactions.
const inlineMax = 32 << 10

// Segment ids are generation<<idBits | sequence. Each opening of the store has a generation of its
// own, so that orphans are told from what is being written now.
const idBits = 40

// contents stores the bytes of blobs in segments: each written once, never changed, owned by
// exactly one record. A segment is on stable storage before the record that owns it is.
type contents struct {
	fs   vfs.FS
	dir  string
	db   *pebble.DB
	crc  *crcs
	gen  uint64
	last atomic.Uint64
	grey reaper
	pool sync.Pool // *[]byte of copyBuffer bytes
}

// copyBuffer is the memory that one stream of content takes, in bytes.
const copyBuffer = 128 << 10

// openContents makes the folder and takes the next generation.
func openContents(fs vfs.FS, dir string, db *pebble.DB, crc *crcs) (*contents, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob contents: %w", err)
	}
	gen, err := counter(db, "generation")
	if err != nil {
		return nil, err
	}
	c := &contents{fs: fs, dir: dir, db: db, crc: crc, gen: gen}
	c.pool.New = func() any { b := make([]byte, copyBuffer); return &b }
	next := strconv.AppendUint(nil, gen+1, 10)
	if err := db.Set([]byte("mgeneration"), next, store.Sync); err != nil {
		return nil, err
	}
	// The folders themselves must outlive a crash too.
	parent := fs.PathDir(dir)
	return c, errors.Join(c.syncDir(parent), c.syncDir(fs.PathDir(parent)))
}

// counter reads a counter; one that was never set is 1.
func counter(db *pebble.DB, name string) (uint64, error) {
	value, closer, err := db.Get([]byte("m" + name))
	if errors.Is(err, pebble.ErrNotFound) {
		return 1, nil
	} else if err != nil {
		return 0, err
	}
	defer closer.Close()
	return strconv.ParseUint(string(value), 10, 64)
}

func (c *contents) nextID() uint64 { return c.gen<<idBits | c.last.Add(1) }

func (c *contents) path(id uint64) string {
	return c.fs.PathJoin(c.dir, strconv.FormatUint(id, 16))
}

// staged is a segment whose inline bytes, if it has any, still have to go into the batch that
// commits its owner.
type staged struct {
	segment
	inline []byte
}

func (s staged) into(b *pebble.Batch) error {
	if !s.Inline {
		return nil
	}
	return b.Set(inlineKey(s.ID), s.inline, nil)
}

// write stores a body as one segment: small ones are staged, others are on stable storage when it
// returns. more sees every byte too. On error nothing stays behind.
func (c *contents) write(body io.Reader, more ...hash.Hash) (staged, error) {
	sum := crc64.New(c.crc.table)
	sinks := []io.Writer{sum}
	for _, h := range more {
		sinks = append(sinks, h)
	}
	body = io.TeeReader(body, io.MultiWriter(sinks...))
	head, err := io.ReadAll(io.LimitReader(body, inlineMax+1))
	if err != nil {
		return staged{}, err
	}
	out := staged{segment: segment{Size: int64(len(head))}}
	switch {
	case len(head) == 0:
		return out, nil
	case len(head) <= inlineMax:
		out.ID, out.Inline, out.inline = c.nextID(), true, head
	default:
		out.ID = c.nextID()
		if out.Size, err = c.writeFile(out.ID, io.MultiReader(bytes.NewReader(head), body)); err != nil {
			return staged{}, err
		}
	}
	out.CRC = sum.Sum64()
	return out, nil
}

func (c *contents) writeFile(id uint64, body io.Reader) (size int64, err error) {
	path := c.path(id)
	file, err := c.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = c.fs.Remove(path)
		}
	}()
	buffer := c.pool.Get().(*[]byte)
	defer c.pool.Put(buffer)
	size, err = io.CopyBuffer(struct{ io.Writer }{file}, body, *buffer)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = c.syncDir(c.dir)
	}
	return size, err
}

func (c *contents) syncDir(dir string) error {
	d, err := c.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// clone gives the same bytes to a second owner: files by a hard link, inline bytes by a copy. The
// caller holds the source (see reaper) or its blob's lock.
func (c *contents) clone(segments []segment) ([]segment, []staged, error) {
	out := make([]segment, 0, len(segments))
	var inline []staged
	linked := false
	for _, s := range segments {
		old := s.ID
		switch {
		case old == 0:
		case s.Inline:
			data, err := c.inline(old)
			if err != nil {
				return nil, nil, err
			}
			s.ID = c.nextID()
			inline = append(inline, staged{segment: s, inline: data})
		default:
			s.ID = c.nextID()
			if err := c.fs.Link(c.path(old), c.path(s.ID)); err != nil {
				c.remove(out)
				return nil, nil, err
			}
			linked = true
		}
		out = append(out, s)
	}
	if linked {
		if err := c.syncDir(c.dir); err != nil {
			c.remove(out)
			return nil, nil, err
		}
	}
	return out, inline, nil
}

func (c *contents) inline(id uint64) ([]byte, error) {
	value, closer, err := c.db.Get(inlineKey(id))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(value), nil
}

// copyTo writes length bytes from offset of a blob's content to w, in order, with bounded memory.
func (c *contents) copyTo(w io.Writer, segments []segment, offset, length int64) error {
	for _, s := range segments {
		if length == 0 {
			return nil
		}
		if offset >= s.Size {
			offset -= s.Size
			continue
		}
		n := min(length, s.Size-offset)
		if err := c.copySegment(w, s, offset, n); err != nil {
			return err
		}
		offset, length = 0, length-n
	}
	if length != 0 {
		return fmt.Errorf("blob content is %d bytes short", length)
	}
	return nil
}

func (c *contents) copySegment(w io.Writer, s segment, offset, n int64) error {
	if s.Inline {
		value, closer, err := c.db.Get(inlineKey(s.ID))
		if err != nil {
			return fmt.Errorf("read segment %x: %w", s.ID, err)
		}
		defer closer.Close()
		if int64(len(value)) < offset+n {
			return fmt.Errorf("segment %x is %d bytes long, not %d", s.ID, len(value), s.Size)
		}
		_, err = w.Write(value[offset : offset+n])
		return err
	}
	file, err := c.fs.Open(c.path(s.ID))
	if err != nil {
		return err
	}
	defer file.Close()
	buffer := c.pool.Get().(*[]byte)
	defer c.pool.Put(buffer)
	part := io.NewSectionReader(file, offset, n)
	written, err := io.CopyBuffer(struct{ io.Writer }{w}, part, *buffer)
	if err == nil && written != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// reader is a stream over a blob's content; reading runs copyTo beside the caller.
func (c *contents) reader(segments []segment, offset, length int64) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(c.copyTo(w, segments, offset, length)) }()
	return r
}
