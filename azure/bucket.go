package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/transfer"
)

// Bucket is one Blob container as a cloud.Bucket of block blobs. Blob storage keeps no CRC-64 of a blob: the driver keeps one in the metadata of
// what it writes itself, and blobs of other writers have none.
type Bucket struct {
	name      string
	config    Config
	container *container.Client

	mu      sync.Mutex
	markers map[string]string // name of a page's last blob → the service's marker of the next page
}

var _ cloud.Bucket = (*Bucket)(nil)

// maxMarkers bounds what List remembers; a sweep needs one.
const maxMarkers = 64

// NewBucket opens a container. It needs StorageConnection, or StorageEndpoint and an identity, and makes no call.
func NewBucket(c Config, name string) (*Bucket, error) {
	client, err := c.storage(name)
	if err != nil {
		return nil, badConfig(err)
	}
	return &Bucket{name: name, config: c, container: client, markers: map[string]string{}}, nil
}

func (c Config) storage(name string) (*container.Client, error) {
	o := &container.ClientOptions{ClientOptions: c.options()}
	o.PerRetryPolicies = append(o.PerRetryPolicies, asStored{})
	if !c.StorageConnection.IsZero() {
		client, err := container.NewClientFromConnectionString(c.StorageConnection.Reveal(), name, o)
		if err != nil {
			// The SDK's error may quote the connection string.
			return nil, errors.New("malformed storage connection string")
		}
		return client, nil
	}
	if c.StorageEndpoint == "" {
		return nil, errors.New("neither a storage connection nor a storage endpoint is given")
	}
	identity, err := c.identity()
	if err != nil {
		return nil, err
	}
	return container.NewClient(strings.TrimSuffix(c.StorageEndpoint, "/")+"/"+name, identity, o)
}

// asStored asks for bodies as they are stored: Go's transport unpacks what says that it is packed with
// gzip, and what arrives is then neither as long as the blob nor has its checksum.
type asStored struct{}

// Do implements policy.Policy.
func (asStored) Do(r *policy.Request) (*http.Response, error) {
	r.Raw().Header.Set("Accept-Encoding", "identity")
	return r.Next()
}

func (b *Bucket) fail(op, name string, err error) error {
	return fail(op, b.name+"/"+name, err)
}

// List returns a page in the byte order of names. A sweep that goes on where it stopped costs one request a page; one that starts in
// the middle after a restart reads the container from its beginning, since the service takes no name to start after.
func (b *Bucket) List(ctx context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	size := int(pageSize(limit))
	marker := b.markerAfter(after)
	for {
		page, next, err := b.listPage(ctx, marker, size)
		if err != nil {
			return nil, false, b.fail("list objects", after, err)
		}
		marker = next
		page = slices.DeleteFunc(page, func(o cloud.ObjectInfo) bool { return o.Name <= after })
		if len(page) > 0 {
			b.remember(page[len(page)-1].Name, next)
		}
		if len(page) > 0 || next == "" {
			return page, next != "", nil
		}
	}
}

func (b *Bucket) listPage(ctx context.Context, marker string, size int) ([]cloud.ObjectInfo, string, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	n := int32(size)
	o := &container.ListBlobsFlatOptions{MaxResults: &n}
	if marker != "" {
		o.Marker = &marker
	}
	out, err := b.container.NewListBlobsFlatPager(o).NextPage(ctx)
	if err != nil {
		return nil, "", err
	}
	var page []cloud.ObjectInfo
	for _, item := range out.Segment.BlobItems {
		p := item.Properties
		info := cloud.ObjectInfo{
			Name: deref(item.Name), Size: deref(p.ContentLength), ETag: quoted(p.ETag),
			VersionID: deref(item.VersionID), ContentType: deref(p.ContentType), LastModified: deref(p.LastModified),
		}
		page = append(page, info)
	}
	slices.SortFunc(page, func(a, b cloud.ObjectInfo) int { return strings.Compare(a.Name, b.Name) })
	return page, deref(out.NextMarker), nil
}

func (b *Bucket) markerAfter(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.markers[name]
}

func (b *Bucket) remember(last, marker string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.markers) >= maxMarkers {
		clear(b.markers)
	}
	if marker != "" {
		b.markers[last] = marker
	}
}

// quoted is an ETag as the headers give it: the listing leaves out the quotes.
func quoted(e *azcore.ETag) string {
	s := string(deref(e))
	if s == "" || strings.HasPrefix(s, `"`) {
		return s
	}
	return `"` + s + `"`
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// Head describes one blob.
func (b *Bucket) Head(ctx context.Context, name string) (cloud.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	out, err := b.container.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		return cloud.ObjectInfo{}, b.fail("head object", name, err)
	}
	info := describe(name, deref(out.ContentLength), out.ETag, out.VersionID, out.ContentType, out.LastModified,
		out.Metadata)
	info.Headers = headers(
		out.CacheControl, out.ContentDisposition, out.ContentEncoding, out.ContentLanguage,
	)
	return info, nil
}

func headers(cache, disposition, encoding, language *string) cloud.Headers {
	return cloud.Headers{
		CacheControl: deref(cache), ContentDisposition: deref(disposition),
		ContentEncoding: deref(encoding), ContentLanguage: deref(language),
	}
}

func describe(
	name string, size int64, etag *azcore.ETag, version, kind *string, modified *time.Time, meta map[string]*string,
) cloud.ObjectInfo {
	info := cloud.ObjectInfo{
		Name: name, Size: size, ETag: quoted(etag), VersionID: deref(version), ContentType: deref(kind),
		LastModified: deref(modified),
	}
	info.Metadata, info.CRC64, info.HasCRC64 = decodeMetadata(meta)
	return info
}

// Get opens one blob. A body that stands still for the configured time-out fails.
func (b *Bucket) Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	return b.get(ctx, b.container.NewBlobClient(name), name)
}

// GetVersion is Get of one version.
func (b *Bucket) GetVersion(
	ctx context.Context, name, version string,
) (cloud.ObjectInfo, io.ReadCloser, error) {
	client, err := b.container.NewBlobClient(name).WithVersionID(version)
	if err != nil {
		return cloud.ObjectInfo{}, nil, b.fail("get a version of object", name, err)
	}
	return b.get(ctx, client, name)
}

func (b *Bucket) get(
	ctx context.Context, client *blob.Client, name string,
) (cloud.ObjectInfo, io.ReadCloser, error) {
	ctx, progress := transfer.New(ctx, b.config.timeout())
	out, err := client.DownloadStream(ctx, nil)
	if err == nil && out.Body == nil { // azblob answers 304 so
		err = fmt.Errorf("no body: %w", proa.ErrUnavailable)
	}
	if err != nil {
		progress.Stop()
		return cloud.ObjectInfo{}, nil, b.fail("get object", name, err)
	}
	info := describe(name, deref(out.ContentLength), out.ETag, out.VersionID, out.ContentType, out.LastModified,
		out.Metadata)
	info.Headers = headers(
		out.CacheControl, out.ContentDisposition, out.ContentEncoding, out.ContentLanguage,
	)
	return info, progress.Body(out.Body, func(err error) error { return b.fail("get object", name, err) }), nil
}

// Delete removes the blob, its snapshots included.
func (b *Bucket) Delete(ctx context.Context, name, ifMatch string) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.timeout())
	defer cancel()
	include := blob.DeleteSnapshotsOptionTypeInclude
	_, err := b.container.NewBlobClient(name).Delete(ctx, &blob.DeleteOptions{
		DeleteSnapshots: &include, AccessConditions: conditions(cloud.PutOptions{IfMatch: ifMatch}),
	})
	if err == nil || bloberror.HasCode(err, bloberror.BlobNotFound) {
		return nil
	}
	if statusOf(err) == http.StatusPreconditionFailed {
		if _, err := b.Head(ctx, name); errors.Is(err, proa.ErrNotFound) {
			return nil
		}
	}
	return b.fail("delete object", name, err)
}

func conditions(o cloud.PutOptions) *blob.AccessConditions {
	if o.IfMatch == "" && !o.IfNoneMatch {
		return nil
	}
	m := &blob.ModifiedAccessConditions{}
	if o.IfMatch != "" {
		etag := azcore.ETag(o.IfMatch)
		m.IfMatch = &etag
	}
	if o.IfNoneMatch {
		anyTag := azcore.ETagAny
		m.IfNoneMatch = &anyTag
	}
	return &blob.AccessConditions{ModifiedAccessConditions: m}
}
