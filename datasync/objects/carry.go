package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// carry reads a small object whole in the place of asking for its description, and writes what it has
// read to the other side if that is due: two requests a copy, and one durable batch of the shadow
// index that holds the observation and the intent together. The caller has taken the name.
func (r *Replicator) carry(
	ctx context.Context, region proa.Region, name string, sure bool,
) (exists bool, err error) {
	o := seen{began: r.now()}
	info, content, err := r.read(ctx, region, name)
	switch {
	case err == nil:
		o.exists, o.info = true, info
	case !errors.Is(err, proa.ErrNotFound):
		return r.observe(ctx, region, name, sure) // large, or unreadable: its copy is tried by itself
	}
	if !o.exists {
		if err := r.absentHere(region, name, sure); err != nil {
			return false, err
		}
	}
	winner, err := r.sumWinner(ctx, region, o)
	if err != nil {
		return o.exists, err
	}
	to := region.Other()
	var w *Writing
	var tried error
	began := false
	defer func() {
		if began {
			r.end(to, errors.Join(err, tried))
		}
	}()
	var options cloud.PutOptions
	err = r.change(name, false, func(st *State) (verdict, proa.Region, error) {
		st.summed(winner)
		v := st.observe(region, o, r.now())
		src, dst := st.at(region), st.at(to)
		if o.exists && st.due(to, r.now()) && src.Version == st.Winner.Version && dst.Keep == nil &&
			r.recalled(to) && r.begin(to) {
			began = true
			intent := r.intent(st)
			w, options = &intent, describe(src, dst)
			r.intend(st, to, intent)
			v.durable = true
		}
		return v, region, nil
	})
	if err != nil {
		return o.exists, fmt.Errorf("%w: %w", errStore, err)
	}
	if w == nil {
		return o.exists, nil
	}
	if tried, err = r.deliver(ctx, to, name, *w, content, options); err != nil {
		return o.exists, fmt.Errorf("%w: %w", errStore, err)
	}
	return o.exists, nil
}

// read reads a small object and verifies it. Its checksum is known then, whoever stored it.
func (r *Replicator) read(
	ctx context.Context, region proa.Region, name string,
) (cloud.ObjectInfo, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	info, body, err := r.cfg.Sides[region].Get(ctx, name)
	if err != nil {
		return info, nil, err
	}
	defer body.Close()
	if info.Size > r.cfg.Small {
		return info, nil, fmt.Errorf("read %s: %d bytes: %w", name, info.Size, proa.ErrTooLarge)
	}
	content := make([]byte, info.Size)
	if _, err := io.ReadFull(body, content); err != nil {
		return info, nil, fmt.Errorf("read %s: %w: %w", name, proa.ErrUnavailable, err)
	}
	sum := cloud.NewCRC64()
	sum.Write(content)
	if info.HasCRC64 && info.CRC64 != sum.Sum64() {
		return info, nil, fmt.Errorf("read %s with CRC-64 %016x, stored %016x: %w", name, sum.Sum64(),
			info.CRC64, proa.ErrUnavailable)
	}
	info.CRC64, info.HasCRC64 = sum.Sum64(), true
	return info, content, nil
}

// deliver writes what has been read, whose intent is recorded. It returns how that went, and fails only when the store
// does.
func (r *Replicator) deliver(
	ctx context.Context, to proa.Region, name string, w Writing, content []byte, o cloud.PutOptions,
) (tried, err error) {
	putCtx, cancel := context.WithTimeout(ctx, r.cfg.CopyTimeout)
	defer cancel()
	info, err := r.cfg.Sides[to].Put(putCtx, name, bytes.NewReader(content), int64(len(content)), o)
	if err == nil && info.HasCRC64 && info.CRC64 != w.Content.CRC64 {
		err = fmt.Errorf("stored with CRC-64 %016x, sent %016x: %w", info.CRC64, w.Content.CRC64,
			proa.ErrUnavailable)
	}
	if err != nil {
		return err, r.failed(ctx, name, to, w, err)
	}
	info.CRC64, info.HasCRC64 = w.Content.CRC64, true
	r.setLame(to, false)
	return nil, r.change(name, false, func(st *State) (verdict, proa.Region, error) {
		r.stored(st, to, w, info)
		return verdict{}, "", nil
	})
}
