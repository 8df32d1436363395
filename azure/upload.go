package azure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

// An upload holds one block in memory. Blobs up to one block are one Put Blob; larger ones are blocks, of at most 50,000, and a
// block list. Blocks that are never committed are invisible and collected by the service after a week.
// https://learn.microsoft.com/azure/storage/blobs/scalability-targets
const (
	blockSize = 8 << 20
	maxBlocks = 50_000
	maxObject = maxBlocks * (4000 << 20)
)

// Put stores size bytes of body, one block in memory at a time.
func (b *Bucket) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	if size < 0 || size > maxObject {
		return cloud.ObjectInfo{}, b.fail("put object", name, fmt.Errorf("%d bytes: %w", size, proa.ErrTooLarge))
	}
	u := &upload{
		Bucket: b, name: name, body: body, size: size, options: o, blob: b.container.NewBlockBlobClient(name),
	}
	info, err := u.run(ctx)
	if err == nil {
		return info, nil
	}
	err = b.fail("put object", name, err)
	if errors.Is(err, proa.ErrExists) { // 409 of a concurrent change
		return info, b.fail("put object", name, fmt.Errorf("%w: %w", proa.ErrConflict, err))
	}
	return info, err
}

type upload struct {
	*Bucket
	name    string
	body    io.Reader
	size    int64
	options cloud.PutOptions
	blob    *blockblob.Client
}

func (u *upload) run(ctx context.Context) (cloud.ObjectInfo, error) {
	if u.size > blockSize {
		return u.blocks(ctx)
	}
	content, err := u.part(u.size)
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	if err := u.atEnd(); err != nil {
		return cloud.ObjectInfo{}, err
	}
	crc := cloud.NewCRC64()
	crc.Write(content)
	ctx, progress := transfer.New(ctx, u.patience())
	defer progress.Stop()
	out, err := u.blob.Upload(ctx, streaming.NopCloser(bytes.NewReader(content)), &blockblob.UploadOptions{
		Metadata: encodeMetadata(u.options.Metadata, crc.Sum64()), HTTPHeaders: blobHeaders(u.options),
		TransactionalValidation: blob.TransferValidationTypeCRC64(crc.Sum64()),
		AccessConditions:        conditions(u.options),
	})
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.info(out.ETag, out.VersionID, out.LastModified, crc.Sum64()), nil
}

func blobHeaders(o cloud.PutOptions) *blob.HTTPHeaders {
	return &blob.HTTPHeaders{
		BlobContentType:        optional(o.ContentType),
		BlobCacheControl:       optional(o.Headers.CacheControl),
		BlobContentDisposition: optional(o.Headers.ContentDisposition),
		BlobContentEncoding:    optional(o.Headers.ContentEncoding),
		BlobContentLanguage:    optional(o.Headers.ContentLanguage),
	}
}

// optional is nil for what is not said.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// patience is how long one request that carries a block may take: the time-out, and a second for each 256 KiB.
func (u *upload) patience() time.Duration {
	return u.config.timeout() + time.Duration(min(u.size, u.blockBytes())>>18)*time.Second
}

func (u *upload) blockBytes() int64 { return max(blockSize, (u.size+maxBlocks-1)/maxBlocks) }

// part reads exactly n bytes. What fails here is the source: it says itself whether trying again can help.
func (u *upload) part(n int64) ([]byte, error) {
	content := make([]byte, n)
	if _, err := io.ReadFull(u.body, content); err != nil {
		return nil, fmt.Errorf("read a body of %d bytes: %w", u.size, err)
	}
	return content, nil
}

// atEnd refuses a body that goes on past its size, and reads the end so that a verifying reader can speak.
func (u *upload) atEnd() error {
	var one [1]byte
	n, err := io.ReadFull(u.body, one[:])
	if n > 0 {
		return fmt.Errorf("body is longer than %d bytes: %w", u.size, proa.ErrInvalid)
	}
	if err != io.EOF {
		return fmt.Errorf("read the end of a body: %w", err)
	}
	return nil
}

func (u *upload) info(etag *azcore.ETag, version *string, modified *time.Time, crc uint64) cloud.ObjectInfo {
	return cloud.ObjectInfo{
		Name: u.name, Size: u.size, ETag: quoted(etag), VersionID: deref(version), ContentType: u.options.ContentType,
		Headers: u.options.Headers, Metadata: u.options.Metadata, LastModified: deref(modified), CRC64: crc, HasCRC64: true,
	}
}

func (u *upload) blocks(ctx context.Context) (cloud.ObjectInfo, error) {
	whole := cloud.NewCRC64()
	var ids []string
	upload := fmt.Sprintf("%016x", time.Now().UnixNano()) // blocks of two uploads of one name must not mix
	for left := u.size; left > 0; {
		content, err := u.part(min(left, u.blockBytes()))
		if err != nil {
			return cloud.ObjectInfo{}, err
		}
		left -= int64(len(content))
		whole.Write(content)
		id := blockID(upload, len(ids))
		if err := u.stage(ctx, id, content); err != nil {
			return cloud.ObjectInfo{}, err
		}
		ids = append(ids, id)
	}
	if err := u.atEnd(); err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.commit(ctx, ids, whole.Sum64())
}

func (u *upload) commit(
	ctx context.Context, ids []string, crc uint64,
) (cloud.ObjectInfo, error) {
	ctx, progress := transfer.New(ctx, u.patience())
	defer progress.Stop()
	out, err := u.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{
		Metadata: encodeMetadata(u.options.Metadata, crc), HTTPHeaders: blobHeaders(u.options),
		AccessConditions: conditions(u.options),
	})
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.info(out.ETag, out.VersionID, out.LastModified, crc), nil
}

// blockID is the same length for all blocks of a blob, as the service wants it.
func blockID(upload string, n int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%08d", upload, n))
}

func (u *upload) stage(ctx context.Context, id string, content []byte) error {
	ctx, progress := transfer.New(ctx, u.patience())
	defer progress.Stop()
	crc := cloud.NewCRC64()
	crc.Write(content)
	_, err := u.blob.StageBlock(ctx, id, streaming.NopCloser(bytes.NewReader(content)), &blockblob.StageBlockOptions{
		TransactionalValidation: blob.TransferValidationTypeCRC64(crc.Sum64()),
	})
	return err
}
