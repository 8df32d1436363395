package function

import (
	"context"
	"io"

	"github.com/proa-cloud/proa/cloud"
)

// Bucket is one replicated bucket (S3) or container (Blob) in this process's region. Errors wrap the sentinels of package proa.
type Bucket struct {
	name     string
	bucket   cloud.Bucket
	announce *announcer
}

// Put stores size bytes of body under name, streamed with bounded memory; proa.ErrConflict when a condition of o does not hold.
func (b *Bucket) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	info, err := b.bucket.Put(ctx, name, body, size, o)
	if err == nil {
		b.announce.object(ctx, b.name, name, info.ETag, false)
	}
	return info, err
}

// Get opens one object; proa.ErrNotFound when there is none. The caller closes the body.
func (b *Bucket) Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	return b.bucket.Get(ctx, name)
}

// Head describes one object; proa.ErrNotFound when there is none.
func (b *Bucket) Head(ctx context.Context, name string) (cloud.ObjectInfo, error) {
	return b.bucket.Head(ctx, name)
}

// Delete removes the object if its ETag is ifMatch ("" for any). Removing nothing is no error.
func (b *Bucket) Delete(ctx context.Context, name, ifMatch string) error {
	err := b.bucket.Delete(ctx, name, ifMatch)
	if err == nil {
		b.announce.object(ctx, b.name, name, "", true)
	}
	return err
}

// List returns up to limit objects whose names come after the given one, in byte order, and whether more follow.
func (b *Bucket) List(ctx context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	return b.bucket.List(ctx, after, limit)
}
