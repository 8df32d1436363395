package aws

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

// Bucket is one S3 bucket as a cloud.Bucket.
type Bucket struct {
	name   string
	config Config
	s3     *s3.Client
}

var _ cloud.Bucket = (*Bucket)(nil)

// NewBucket opens a bucket. Against an Endpoint it uses path-style addresses.
func NewBucket(ctx context.Context, c Config, name string) (*Bucket, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	return &Bucket{name: name, config: c, s3: client}, nil
}

func (b *Bucket) fail(op, name string, err error) error { return fail(op, b.name+"/"+name, err) }

// List returns a page in the byte order of names.
func (b *Bucket) List(ctx context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	in := &s3.ListObjectsV2Input{
		Bucket: &b.name, MaxKeys: sdk.Int32(pageSize(limit)), EncodingType: types.EncodingTypeUrl,
	}
	if after != "" {
		in.StartAfter = &after
	}
	out, err := b.s3.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, false, b.fail("list objects", after, err)
	}
	objects := make([]cloud.ObjectInfo, 0, len(out.Contents))
	for _, o := range out.Contents {
		name := sdk.ToString(o.Key)
		if out.EncodingType == types.EncodingTypeUrl {
			if name, err = url.QueryUnescape(name); err != nil {
				return nil, false, b.fail("list objects", name, fmt.Errorf("%w: %w", proa.ErrUnavailable, err))
			}
		}
		objects = append(objects, cloud.ObjectInfo{
			Name: name, Size: sdk.ToInt64(o.Size), ETag: sdk.ToString(o.ETag), LastModified: sdk.ToTime(o.LastModified),
		})
	}
	return objects, sdk.ToBool(out.IsTruncated), nil
}

// Head describes one object.
func (b *Bucket) Head(ctx context.Context, name string) (cloud.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	out, err := b.s3.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &b.name, Key: &name, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return cloud.ObjectInfo{}, b.fail("head object", name, err)
	}
	info := cloud.ObjectInfo{
		Name: name, Size: sdk.ToInt64(out.ContentLength), ETag: sdk.ToString(out.ETag),
		VersionID: versionID(out.VersionId), ContentType: sdk.ToString(out.ContentType),
		Headers: headers(
			out.CacheControl, out.ContentDisposition, out.ContentEncoding, out.ContentLanguage,
		),
		Metadata: decodeMetadata(out.Metadata), LastModified: sdk.ToTime(out.LastModified),
	}
	info.CRC64, info.HasCRC64 = decodeCRC(out.ChecksumCRC64NVME, out.ChecksumType)
	return info, nil
}

// Get opens one object. The SDK verifies the body against the stored checksum as it is read, and a body that stands still for the
// configured time-out fails.
func (b *Bucket) Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	return b.GetVersion(ctx, name, "")
}

// GetVersion is Get of one version; "" is the current one.
func (b *Bucket) GetVersion(
	ctx context.Context, name, version string,
) (cloud.ObjectInfo, io.ReadCloser, error) {
	ctx, progress := transfer.New(ctx, b.config.timeout())
	out, err := b.s3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: &name, ChecksumMode: types.ChecksumModeEnabled, VersionId: optional(version),
	})
	if err != nil {
		progress.Stop()
		return cloud.ObjectInfo{}, nil, b.fail("get object", name, err)
	}
	info := cloud.ObjectInfo{
		Name: name, Size: sdk.ToInt64(out.ContentLength), ETag: sdk.ToString(out.ETag),
		VersionID: versionID(out.VersionId), ContentType: sdk.ToString(out.ContentType),
		Headers: headers(
			out.CacheControl, out.ContentDisposition, out.ContentEncoding, out.ContentLanguage,
		),
		Metadata: decodeMetadata(out.Metadata), LastModified: sdk.ToTime(out.LastModified),
	}
	info.CRC64, info.HasCRC64 = decodeCRC(out.ChecksumCRC64NVME, out.ChecksumType)
	return info, progress.Body(out.Body, func(err error) error { return b.fail("get object", name, err) }), nil
}

// Delete removes the current object; on a versioned bucket its versions stay.
func (b *Bucket) Delete(ctx context.Context, name, ifMatch string) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	in := &s3.DeleteObjectInput{Bucket: &b.name, Key: &name}
	if ifMatch != "" {
		in.IfMatch = &ifMatch
	}
	_, err := b.s3.DeleteObject(ctx, in)
	if err == nil {
		return nil
	}
	failed := b.fail("delete object", name, err)
	switch {
	case errors.Is(failed, proa.ErrNotFound):
		return b.exists(ctx)
	case errors.Is(failed, proa.ErrConflict):
		if _, err := b.Head(ctx, name); errors.Is(err, proa.ErrNotFound) {
			return nil
		}
	}
	return failed
}

// exists tells a missing bucket from a missing object.
func (b *Bucket) exists(ctx context.Context) error {
	_, err := b.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	return b.fail("delete object", "", err)
}

// headers takes the content headers over. An old writer's aws-chunked says how the content travelled,
// not what it is.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
func headers(cache, disposition, encoding, language *string) cloud.Headers {
	codings := strings.Split(sdk.ToString(encoding), ",")
	codings = slices.DeleteFunc(codings, func(c string) bool {
		return strings.EqualFold(strings.TrimSpace(c), "aws-chunked")
	})
	return cloud.Headers{
		CacheControl: sdk.ToString(cache), ContentDisposition: sdk.ToString(disposition),
		ContentEncoding: strings.TrimSpace(strings.Join(codings, ",")),
		ContentLanguage: sdk.ToString(language),
	}
}

// notify has the bucket put its notices into one queue.
func (b *Bucket) notify(ctx context.Context, queueARN string) error {
	_, err := b.s3.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{
		Bucket: &b.name, NotificationConfiguration: &types.NotificationConfiguration{
			QueueConfigurations: []types.QueueConfiguration{{
				Id: sdk.String("proa"), QueueArn: &queueARN,
				Events: []types.Event{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"},
			}},
		},
	})
	return b.fail("configure notifications", "", err)
}

// versionID is "" for S3's name of the version of an object that was stored without versioning.
func versionID(id *string) string {
	if v := sdk.ToString(id); v != "null" {
		return v
	}
	return ""
}

func encodeCRC(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}

// decodeCRC reads the checksum of a whole object; one composed of the checksums of parts is none.
func decodeCRC(text *string, kind types.ChecksumType) (uint64, bool) {
	b, err := base64.StdEncoding.DecodeString(sdk.ToString(text))
	if err != nil || len(b) != 8 || kind == types.ChecksumTypeComposite {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// encodeMetadata puts values that a header cannot hold into RFC 2047 words, as S3 does when it returns them.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata
func encodeMetadata(meta map[string]string) map[string]string {
	out := make(map[string]string, len(meta))
	for name, v := range meta {
		out[strings.ToLower(name)] = cloud.EncodeHeader(v)
	}
	return out
}

func decodeMetadata(meta map[string]string) map[string]string {
	out := make(map[string]string, len(meta))
	for name, v := range meta {
		out[strings.ToLower(name)] = cloud.DecodeHeader(v)
	}
	return out
}
