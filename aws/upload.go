package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

// An upload holds one part in memory, since the SDK refuses a body over plain HTTP that it cannot rewind. Objects up to one part are
// one PutObject; larger ones are multipart uploads, of at most 10,000 parts.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	partSize  = 8 << 20
	maxParts  = 10_000
	maxObject = maxParts * (5 << 30)
)

// Put stores size bytes of body, one part in memory at a time.
func (b *Bucket) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	if size < 0 || size > maxObject {
		return cloud.ObjectInfo{}, b.fail("put object", name, fmt.Errorf("%d bytes: %w", size, proa.ErrTooLarge))
	}
	u := &upload{Bucket: b, name: name, body: body, size: size, options: o, started: time.Now()}
	info, err := u.run(ctx)
	if err == nil {
		return info, nil
	}
	err = b.fail("put object", name, err)
	if errors.Is(err, proa.ErrNotFound) && o.IfMatch != "" {
		// S3 answers If-Match on a missing object with 404.
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
	started time.Time
}

func (u *upload) run(ctx context.Context) (cloud.ObjectInfo, error) {
	if u.size > partSize {
		return u.multipart(ctx)
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
	ifMatch, ifNoneMatch := conditions(u.options)
	out, err := u.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &u.Bucket.name, Key: &u.name, Body: bytes.NewReader(content), ContentLength: &u.size,
		ContentType: optional(u.options.ContentType), Metadata: encodeMetadata(u.options.Metadata),
		CacheControl:       optional(u.options.Headers.CacheControl),
		ContentDisposition: optional(u.options.Headers.ContentDisposition),
		ContentEncoding:    optional(u.options.Headers.ContentEncoding),
		ContentLanguage:    optional(u.options.Headers.ContentLanguage),
		ChecksumAlgorithm:  types.ChecksumAlgorithmCrc64nvme, ChecksumCRC64NVME: sdk.String(encodeCRC(crc.Sum64())),
		IfMatch: ifMatch, IfNoneMatch: ifNoneMatch,
	})
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.info(out.ETag, out.VersionId, crc.Sum64()), nil
}

// patience is how long one request that carries a part may take: the time-out, and a second for each 256 KiB.
func (u *upload) patience() time.Duration {
	return u.config.timeout() + time.Duration(min(u.size, u.partBytes())>>18)*time.Second
}

func (u *upload) partBytes() int64 { return max(partSize, (u.size+maxParts-1)/maxParts) }

func conditions(o cloud.PutOptions) (ifMatch, ifNoneMatch *string) {
	if o.IfNoneMatch {
		ifNoneMatch = sdk.String("*")
	}
	return optional(o.IfMatch), ifNoneMatch
}

// optional is nil for what is not said.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

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

func (u *upload) info(etag, version *string, crc uint64) cloud.ObjectInfo {
	return cloud.ObjectInfo{
		Name: u.name, Size: u.size, ETag: sdk.ToString(etag), VersionID: versionID(version),
		ContentType: u.options.ContentType, Headers: u.options.Headers, Metadata: u.options.Metadata, LastModified: u.started.UTC(),
		CRC64: crc, HasCRC64: true,
	}
}

// multipart uploads part after part and aborts on any failure, so that nothing is left behind that costs money.
func (u *upload) multipart(ctx context.Context) (cloud.ObjectInfo, error) {
	id, err := u.begin(ctx, u.name, u.options)
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	info, err := u.parts(ctx, &id)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.config.timeout())
		defer cancel()
		if abortErr := u.Abort(clean, u.name, id); abortErr != nil {
			u.config.logger().Warn("an unfinished upload was left behind", "bucket", u.Bucket.name, "object", u.name,
				"error", abortErr)
		}
	}
	return info, err
}

func (u *upload) parts(ctx context.Context, id *string) (cloud.ObjectInfo, error) {
	whole := cloud.NewCRC64()
	var done []types.CompletedPart
	for left, n := u.size, int32(1); left > 0; n++ {
		content, err := u.part(min(left, u.partBytes()))
		if err != nil {
			return cloud.ObjectInfo{}, err
		}
		left -= int64(len(content))
		whole.Write(content)
		part, err := u.sendPart(ctx, id, n, content)
		if err != nil {
			return cloud.ObjectInfo{}, err
		}
		done = append(done, part)
	}
	if err := u.atEnd(); err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.complete(ctx, id, done, whole.Sum64())
}

func (u *upload) complete(
	ctx context.Context, id *string, done []types.CompletedPart, crc uint64,
) (cloud.ObjectInfo, error) {
	ifMatch, ifNoneMatch := conditions(u.options)
	ctx, progress := transfer.New(ctx, u.patience())
	defer progress.Stop()
	out, err := u.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.Bucket.name, Key: &u.name, UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		ChecksumType:    types.ChecksumTypeFullObject, ChecksumCRC64NVME: sdk.String(encodeCRC(crc)),
		MpuObjectSize: &u.size, IfMatch: ifMatch, IfNoneMatch: ifNoneMatch,
	})
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	return u.info(out.ETag, out.VersionId, crc), nil
}

func (u *upload) sendPart(ctx context.Context, id *string, n int32, content []byte) (types.CompletedPart, error) {
	ctx, progress := transfer.New(ctx, u.patience())
	defer progress.Stop()
	crc := cloud.NewCRC64()
	crc.Write(content)
	sum := sdk.String(encodeCRC(crc.Sum64()))
	out, err := u.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.Bucket.name, Key: &u.name, UploadId: id, PartNumber: &n, Body: bytes.NewReader(content),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumCRC64NVME: sum,
	})
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{PartNumber: &n, ETag: out.ETag, ChecksumCRC64NVME: sum}, nil
}
