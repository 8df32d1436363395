package objects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// begun is what is kept of an upload in parts, so that another process can go on with it.
type begun struct {
	Upload  string       `json:"upload"`
	Version proa.Version `json:"version"` // the winner that it makes
	Source  string       `json:"source"`  // the source's ETag
	Size    int64        `json:"size"`
	Part    int64        `json:"part"` // bytes of each part but the last
}

// uploads is where the uploads into a side are kept: a bucket of the shadow index that no bucket can
// be called like. A record is an object's name, or the name and a part's number.
func (r *Replicator) uploads(side proa.Region) string {
	return r.cfg.Name + "\x00uploads/" + string(side)
}

func partName(name string, number int) string { return fmt.Sprintf("%s\x00%05d", name, number) }

// transfer copies one object in parts. Whatever ends it but a change of the object leaves what is
// stored for the next try.
type transfer struct {
	r          *Replicator
	from, into cloud.PartBucket
	side       proa.Region // of into
	name       string
	src        *Side
	options    cloud.PutOptions

	upload begun
	mu     sync.Mutex
	done   []cloud.Part // by number; Number zero: not stored
}

// run goes on with the upload of an earlier try, or begins one.
func (t *transfer) run(ctx context.Context, version proa.Version) (cloud.ObjectInfo, error) {
	if err := t.open(ctx, version); err != nil {
		return cloud.ObjectInfo{}, err
	}
	err := t.parts(ctx)
	if err == nil {
		err = t.verify()
	}
	var info cloud.ObjectInfo
	if err == nil {
		if err = t.sent(version); err == nil {
			info, err = t.into.Complete(ctx, t.name, t.upload.Upload, t.done, t.options)
		}
	}
	switch {
	case err == nil:
		return info, t.r.forget(t.side, t.name)
	case errors.Is(err, errSource), errors.Is(err, proa.ErrConflict), errors.Is(err, errSpoilt):
		t.r.abort(ctx, t.side, t.name, t.upload.Upload)
		return info, errors.Join(err, t.r.forget(t.side, t.name))
	case errors.Is(err, proa.ErrNotFound): // completed with its answer lost, aborted or expired
		return info, errors.Join(fmt.Errorf("the upload is gone: %w", proa.ErrConflict),
			t.r.forget(t.side, t.name))
	}
	return info, err
}

// open loads the upload of an earlier try or begins one, which is durable before its first part.
func (t *transfer) open(ctx context.Context, version proa.Version) error {
	size := t.src.Content.Size
	part := max(t.r.cfg.PartSize, (size+cloud.MaxParts-1)/cloud.MaxParts)
	want := begun{Version: version, Source: t.src.ETag, Size: size, Part: part}
	t.done = make([]cloud.Part, (size+part-1)/part)
	old, ok, err := t.r.begun(t.side, t.name)
	if err != nil {
		return err
	}
	want.Upload = old.Upload
	if ok && old == want {
		t.upload = old
		return t.load()
	}
	if ok {
		t.r.abort(ctx, t.side, t.name, old.Upload)
		if err := t.r.forget(t.side, t.name); err != nil {
			return err
		}
	}
	if want.Upload, err = t.into.Begin(ctx, t.name, t.options); err != nil {
		return err
	}
	t.upload = want
	record, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return t.r.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetObject(t.r.uploads(t.side), t.name, record)
	})
}

// load reads which parts are stored.
func (t *transfer) load() error {
	return t.r.walkParts(t.side, t.name, func(_ string, record []byte) error {
		var p cloud.Part
		if err := json.Unmarshal(record, &p); err != nil {
			return fmt.Errorf("parts of %q: %w", t.name, err)
		}
		if p.Number >= 1 && p.Number <= len(t.done) {
			t.done[p.Number-1] = p
		}
		return nil
	})
}

// parts sends what is not stored yet, side by side. Its buffers are those of the whole bucket.
func (t *transfer) parts(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(t.r.cfg.PartBuffers)
	for i := range t.done {
		if t.done[i].Number != 0 {
			continue
		}
		var buffer []byte
		select {
		case buffer = <-t.r.buffers:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), g.Wait())
		}
		g.Go(func() error {
			defer func() { t.r.buffers <- buffer }()
			ctx, cancel := context.WithTimeout(ctx, t.r.cfg.CopyTimeout)
			defer cancel()
			return t.part(ctx, i+1, &buffer)
		})
	}
	return g.Wait()
}

// part copies one part and keeps that it is stored, durably: what is written lazily stays in memory
// until 32 KiB of it have come together, which are the records of more than a GiB of parts.
func (t *transfer) part(ctx context.Context, number int, buffer *[]byte) error {
	offset := int64(number-1) * t.upload.Part
	src := &source{
		length: min(t.upload.Part, t.upload.Size-offset),
		open: func(skip, n int64) (io.ReadCloser, error) {
			body, err := t.from.GetRange(ctx, t.name, t.upload.Source, offset+skip, n)
			if errors.Is(err, proa.ErrConflict) || errors.Is(err, proa.ErrNotFound) {
				err = fmt.Errorf("%w: %w", errSource, err)
			}
			return body, err
		},
	}
	defer src.Close()
	var body io.ReadSeeker = src
	if t.upload.Part <= t.r.cfg.PartSize {
		if *buffer == nil {
			*buffer = make([]byte, t.r.cfg.PartSize)
		}
		content := (*buffer)[:src.length]
		if _, err := io.ReadFull(src, content); err != nil {
			return fmt.Errorf("read part %d: %w", number, err)
		}
		body = bytes.NewReader(content)
	}
	stored, err := t.into.PutPart(ctx, t.name, t.upload.Upload, number, body, src.length)
	if err != nil {
		return err
	}
	record, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.done[number-1] = stored
	t.mu.Unlock()
	return t.r.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetObject(t.r.uploads(t.side), partName(t.name, number), record)
	})
}

// errSpoilt says that the parts are not the source's content.
var errSpoilt = fmt.Errorf("the parts' checksums do not make the source's: %w", proa.ErrUnavailable)

// verify compares the checksum of all parts with the source's, where the source tells one. The
// destination compares it with what it holds.
func (t *transfer) verify() error {
	sum := cloud.PartsCRC64(t.done)
	if c := t.src.Content; c.HasCRC64 && c.CRC64 != sum {
		return fmt.Errorf("%w: CRC-64 %016x, not %016x", errSpoilt, sum, c.CRC64)
	}
	return nil
}

// sent renews the intent: the object appears from now on, however long ago the first part was sent.
func (t *transfer) sent(version proa.Version) error {
	return t.r.change(t.name, true, func(st *State) (verdict, proa.Region, error) {
		for i, w := range st.at(t.side).Writing {
			if w.Version == version {
				st.at(t.side).Writing[i].Sent = t.r.now()
			}
		}
		return verdict{}, "", nil
	})
}

// begun loads the upload of an object into a side.
func (r *Replicator) begun(side proa.Region, name string) (b begun, ok bool, err error) {
	record, err := r.store.Object(r.uploads(side), name)
	if err != nil || record == nil {
		return begun{}, false, err
	}
	if err := json.Unmarshal(record, &b); err != nil {
		return begun{}, false, fmt.Errorf("upload of %q: %w", name, err)
	}
	return b, true, nil
}

func (r *Replicator) walkParts(
	side proa.Region, name string, fn func(name string, record []byte) error,
) error {
	_, err := r.store.WalkObjects(r.uploads(side), partName(name, 0),
		partName(name, cloud.MaxParts), -1, fn)
	return err
}

// forget drops what is kept of an upload.
func (r *Replicator) forget(side proa.Region, name string) error {
	var parts []string
	err := r.walkParts(side, name, func(part string, _ []byte) error {
		parts = append(parts, part)
		return nil
	})
	if err != nil {
		return err
	}
	return r.store.Lazy(func(tx *shadow.Tx) error {
		for _, part := range append(parts, name) {
			if err := tx.SetObject(r.uploads(side), part, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// abort gives an upload up, so that its parts cost nothing any more.
func (r *Replicator) abort(ctx context.Context, side proa.Region, name, upload string) {
	into, ok := r.cfg.Sides[side].(cloud.PartBucket)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.CallTimeout)
	defer cancel()
	if err := into.Abort(ctx, name, upload); err != nil {
		r.log.Warn("an unfinished upload was left behind", "object", name, "region", side,
			"upload", upload, "error", err)
	}
}

// tidy gives up the upload of an object that no write will go on with. The caller has taken the name.
func (r *Replicator) tidy(ctx context.Context, side proa.Region, name string) error {
	b, ok, err := r.begun(side, name)
	if err != nil || !ok {
		return err
	}
	st, err := r.load(name)
	if err != nil || st.Winner.Version == b.Version && !st.inSync(side) {
		return err
	}
	r.abort(ctx, side, name, b.Upload)
	return r.forget(side, name)
}

// trimUploads does so for all objects.
func (r *Replicator) trimUploads(ctx context.Context, side proa.Region) error {
	var names []string
	_, err := r.store.WalkObjects(r.uploads(side), "", "", -1, func(name string, _ []byte) error {
		if !strings.Contains(name, "\x00") {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if !r.take(name) {
			continue // under way
		}
		err := r.tidy(ctx, side, name)
		r.release(name)
		if err != nil {
			return err
		}
	}
	return nil
}

// source reads a range that it opens when it is read and again after it was rewound, so that a part
// of any size needs no memory.
type source struct {
	open       func(skip, n int64) (io.ReadCloser, error)
	length, at int64
	body       io.ReadCloser
}

// Read implements io.Reader. A body that ends early is an error.
func (s *source) Read(p []byte) (int, error) {
	if s.at >= s.length {
		return 0, io.EOF
	}
	if s.body == nil {
		body, err := s.open(s.at, s.length-s.at)
		if err != nil {
			return 0, err
		}
		s.body = body
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.length-s.at)])
	s.at += int64(n)
	if errors.Is(err, io.EOF) {
		if s.at < s.length {
			return n, fmt.Errorf("%d of %d bytes: %w: %w", s.at, s.length, io.ErrUnexpectedEOF,
				proa.ErrUnavailable)
		}
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (s *source) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.length
	}
	if offset < 0 || offset > s.length {
		return s.at, fmt.Errorf("seek to %d of %d: %w", offset, s.length, proa.ErrInvalid)
	}
	if offset != s.at {
		s.Close()
		s.at = offset
	}
	return s.at, nil
}

// Close closes what is open.
func (s *source) Close() {
	if s.body != nil {
		_ = s.body.Close() // it was only read
		s.body = nil
	}
}
