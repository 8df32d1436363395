package azure

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

var _ cloud.PartBucket = (*Bucket)(nil)

// GetRange opens a range of one blob of a known ETag.
func (b *Bucket) GetRange(
	ctx context.Context, name, etag string, offset, length int64,
) (io.ReadCloser, error) {
	ctx, progress := transfer.New(ctx, b.config.timeout())
	out, err := b.container.NewBlobClient(name).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: offset, Count: length},
		AccessConditions: conditions(cloud.PutOptions{IfMatch: etag}),
	})
	if err == nil && out.Body == nil {
		err = fmt.Errorf("no body: %w", proa.ErrUnavailable)
	}
	if err != nil {
		progress.Stop()
		return nil, b.fail("get a range", name, err)
	}
	return progress.Body(out.Body, func(err error) error { return b.fail("get a range", name, err) }), nil
}

// Begin names an upload: Blob storage has no call for it. The blocks' ids begin with the name.
func (b *Bucket) Begin(context.Context, string, cloud.PutOptions) (string, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:]), nil
}

// readTwice is the largest part, in bytes, whose checksum is computed before it is sent, so that the
// service refuses what was spoilt on the way. Larger ones are compared with the sum in the answer.
const readTwice = 64 << 20

// PutPart stages one block, verified by its CRC-64.
func (b *Bucket) PutPart(
	ctx context.Context, name, upload string, number int, body io.ReadSeeker, size int64,
) (cloud.Part, error) {
	ctx, progress := transfer.New(ctx, b.config.timeout()+time.Duration(size>>18)*time.Second)
	defer progress.Stop()
	sent := &summed{ReadSeeker: body, crc: cloud.NewCRC64()}
	var content io.ReadSeeker = sent
	var o blockblob.StageBlockOptions
	if size <= readTwice {
		if _, err := io.Copy(io.Discard, sent); err != nil {
			return cloud.Part{}, fmt.Errorf("read part %d of %s: %w", number, name, err)
		}
		o.TransactionalValidation = blob.TransferValidationTypeCRC64(sent.crc.Sum64())
		content = body // the service compares what it reads with the sum of what was read before
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return cloud.Part{}, fmt.Errorf("read part %d of %s again: %w", number, name, err)
		}
	}
	out, err := b.container.NewBlockBlobClient(name).StageBlock(
		ctx, blockID(upload, number), streaming.NopCloser(content), &o)
	if err != nil {
		return cloud.Part{}, b.fail("put a part", name, err)
	}
	part := cloud.Part{Number: number, Size: sent.size, CRC64: sent.crc.Sum64()}
	stored := part.CRC64 // as the service has compared
	if size > readTwice {
		if len(out.ContentCRC64) != 8 {
			return part, b.fail("put a part", name, fmt.Errorf("no CRC-64 in the answer: %w", proa.ErrUnsupported))
		}
		stored = binary.LittleEndian.Uint64(out.ContentCRC64)
	}
	if sent.size != size || stored != part.CRC64 {
		return part, b.fail("put a part", name, fmt.Errorf("%d of %d bytes, CRC-64 %016x stored, %016x sent: %w",
			sent.size, size, stored, part.CRC64, proa.ErrUnavailable))
	}
	return part, nil
}

// summed sums what is read since its last rewinding.
type summed struct {
	io.ReadSeeker
	crc interface {
		io.Writer
		Sum64() uint64
		Reset()
	}
	size int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	_, _ = s.crc.Write(p[:n]) // never fails
	s.size += int64(n)
	return n, err
}

func (s *summed) Seek(offset int64, whence int) (int64, error) {
	at, err := s.ReadSeeker.Seek(offset, whence)
	if err == nil && at == 0 {
		s.crc.Reset()
		s.size = 0
	}
	return at, err
}

// Complete commits the blocks with the checksum of the whole.
func (b *Bucket) Complete(
	ctx context.Context, name, id string, parts []cloud.Part, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	u := &upload{Bucket: b, name: name, options: o, blob: b.container.NewBlockBlobClient(name)}
	ids := make([]string, 0, len(parts))
	for _, p := range parts {
		u.size += p.Size
		ids = append(ids, blockID(id, p.Number))
	}
	info, err := u.commit(ctx, ids, cloud.PartsCRC64(parts))
	if err == nil {
		return info, nil
	}
	err = b.fail("complete an upload", name, err)
	if errors.Is(err, proa.ErrExists) { // 409 of a concurrent change
		err = fmt.Errorf("%w: %w", proa.ErrConflict, err)
	}
	return info, err
}

// Abort does nothing: the service collects blocks that were not committed after a week, and at once
// when the blob is written, and has no call to do it sooner that would leave the blob alone.
func (b *Bucket) Abort(context.Context, string, string) error { return nil }
