package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

var _ cloud.PartBucket = (*Bucket)(nil)

// GetRange opens a range of one object of a known ETag.
func (b *Bucket) GetRange(
	ctx context.Context, name, etag string, offset, length int64,
) (io.ReadCloser, error) {
	ctx, progress := transfer.New(ctx, b.config.timeout())
	out, err := b.s3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: &name, IfMatch: &etag,
		Range: sdk.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)),
	})
	if err != nil {
		progress.Stop()
		return nil, b.fail("get a range", name, err)
	}
	return progress.Body(out.Body, func(err error) error { return b.fail("get a range", name, err) }), nil
}

// Begin creates a multipart upload, whose id is S3's.
func (b *Bucket) Begin(ctx context.Context, name string, o cloud.PutOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	id, err := b.begin(ctx, name, o)
	return id, b.fail("begin an upload", name, err)
}

func (b *Bucket) begin(ctx context.Context, name string, o cloud.PutOptions) (string, error) {
	created, err := b.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &name, ContentType: optional(o.ContentType),
		Metadata:           encodeMetadata(o.Metadata),
		CacheControl:       optional(o.Headers.CacheControl),
		ContentDisposition: optional(o.Headers.ContentDisposition),
		ContentEncoding:    optional(o.Headers.ContentEncoding),
		ContentLanguage:    optional(o.Headers.ContentLanguage),
		ChecksumAlgorithm:  types.ChecksumAlgorithmCrc64nvme,
		ChecksumType:       types.ChecksumTypeFullObject,
	})
	if err != nil {
		return "", err
	}
	return sdk.ToString(created.UploadId), nil
}

// PutPart uploads one part. Its checksum goes with it, so the body is read once before it is sent.
func (b *Bucket) PutPart(
	ctx context.Context, name, upload string, number int, body io.ReadSeeker, size int64,
) (cloud.Part, error) {
	crc := cloud.NewCRC64()
	if n, err := io.Copy(crc, io.LimitReader(body, size)); err != nil || n != size {
		return cloud.Part{}, fmt.Errorf("read part %d of %s: %d of %d bytes: %w", number, name, n, size,
			errors.Join(err, proa.ErrUnavailable))
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return cloud.Part{}, fmt.Errorf("read part %d of %s again: %w", number, name, err)
	}
	ctx, progress := transfer.New(ctx, b.config.timeout()+time.Duration(size>>18)*time.Second)
	defer progress.Stop()
	n := int32(number)
	out, err := b.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.name, Key: &name, UploadId: &upload, PartNumber: &n, Body: body, ContentLength: &size,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumCRC64NVME: sdk.String(encodeCRC(crc.Sum64())),
	})
	if err != nil {
		return cloud.Part{}, b.fail("put a part", name, err)
	}
	return cloud.Part{
		Number: number, Size: size, CRC64: crc.Sum64(), ETag: sdk.ToString(out.ETag),
	}, nil
}

// Complete completes the upload with the checksum of the whole, which S3 compares with the parts'.
func (b *Bucket) Complete(
	ctx context.Context, name, id string, parts []cloud.Part, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	u := &upload{Bucket: b, name: name, options: o, started: time.Now()}
	var done []types.CompletedPart
	for _, p := range parts {
		n := int32(p.Number)
		u.size += p.Size
		done = append(done, types.CompletedPart{
			PartNumber: &n, ETag: &p.ETag, ChecksumCRC64NVME: sdk.String(encodeCRC(p.CRC64)),
		})
	}
	info, err := u.complete(ctx, &id, done, cloud.PartsCRC64(parts))
	if err != nil {
		err = b.fail("complete an upload", name, err)
		if errors.Is(err, proa.ErrNotFound) && o.IfMatch != "" && !noSuchUpload(err) {
			err = fmt.Errorf("%w: %w", proa.ErrConflict, err)
		}
	}
	return info, err
}

func noSuchUpload(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode() == "NoSuchUpload" || api.ErrorCode() == "InvalidPart")
}

// Abort aborts the upload; S3 drops its parts.
func (b *Bucket) Abort(ctx context.Context, name, upload string) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	_, err := b.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &b.name, Key: &name, UploadId: &upload,
	})
	if err != nil && noSuchUpload(err) {
		return nil
	}
	return b.fail("abort an upload", name, err)
}
