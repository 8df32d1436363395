package s3_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func unescape(t *testing.T, s string) string {
	t.Helper()
	out, err := url.QueryUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantSorted(t *testing.T, got, want []string) {
	t.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

// modelList is what a listing must give: keys and common prefixes, in byte order.
func modelList(keys []string, prefix, delimiter, after string) (out []string) {
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if delimiter != "" {
			if i := strings.Index(k[len(prefix):], delimiter); i >= 0 {
				k = "P:" + k[:len(prefix)+i+len(delimiter)]
				if slices.Contains(out, k) {
					continue
				}
			}
		}
		out = append(out, k)
	}
	return out
}

func TestListingsAgreeWithTheModel(t *testing.T) {
	c := run(t)
	gen := rapid.StringMatching(`[ab/é]{1,6}`)
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(gen, 0, 25, rapid.ID[string]).Draw(rt, "keys")
		slices.Sort(keys)
		for _, k := range keys {
			c.put(k, "")
		}
		defer c.clear(keys)
		prefix := rapid.SampledFrom([]string{"", "a", "a/", "/", "é"}).Draw(rt, "prefix")
		delimiter := rapid.SampledFrom([]string{"", "/", "b", "a/"}).Draw(rt, "delimiter")
		after := rapid.SampledFrom(append([]string{"", "a/", "b"}, keys...)).Draw(rt, "after")
		limit := rapid.Int32Range(1, 7).Draw(rt, "limit")
		want := modelList(keys, prefix, delimiter, after)
		if diff := cmp.Diff(want, c.listV2(prefix, delimiter, after, limit)); diff != "" {
			rt.Fatalf("v2 (-want +got):\n%s", diff)
		}
		want = modelList(keys, prefix, delimiter, "")
		if diff := cmp.Diff(want, c.listV1(prefix, delimiter, limit)); diff != "" {
			rt.Fatalf("v1 (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, c.listVersions(prefix, delimiter, limit)); diff != "" {
			rt.Fatalf("versions (-want +got):\n%s", diff)
		}
	})
}

// A delimiter may overlap the prefix: "a/" is a key here, and what follows it is not of its common prefix.
func TestAMarkerThatOnlyLooksLikeACommonPrefix(t *testing.T) {
	c := run(t)
	keys := []string{"a", "a/", "a/b", "ab"}
	for _, k := range keys {
		c.put(k, "")
	}
	for name, got := range map[string][]string{
		"v1":       c.listV1("a", "a/", 2),
		"v2":       c.listV2("a", "a/", "", 2),
		"versions": c.listVersions("a", "a/", 2),
	} {
		if diff := cmp.Diff(keys, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func (c *cloud) clear(keys []string) {
	for _, k := range keys {
		if _, err := c.client.DeleteObject(context.Background(), &awss3.DeleteObjectInput{
			Bucket: aws.String("bkt"), Key: &k,
		}); err != nil {
			c.t.Error(err)
		}
	}
}

// merge orders keys and prefixes as the listing has them.
func merge(keys, prefixes []string) []string {
	all := slices.Clone(keys)
	for _, p := range prefixes {
		all = append(all, "P:"+p)
	}
	slices.SortFunc(all, func(a, b string) int {
		return strings.Compare(strings.TrimPrefix(a, "P:"), strings.TrimPrefix(b, "P:"))
	})
	return all
}

func (c *cloud) listV2(prefix, delimiter, after string, limit int32) (out []string) {
	c.t.Helper()
	p := awss3.NewListObjectsV2Paginator(c.client, &awss3.ListObjectsV2Input{
		Bucket: aws.String("bkt"), Prefix: &prefix, Delimiter: &delimiter, StartAfter: &after,
		MaxKeys: &limit,
	})
	for p.HasMorePages() {
		page, err := p.NextPage(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		var keys, prefixes []string
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
		for _, o := range page.CommonPrefixes {
			prefixes = append(prefixes, *o.Prefix)
		}
		if n := len(keys) + len(prefixes); n != int(*page.KeyCount) || n > int(limit) {
			c.t.Errorf("%d entries, KeyCount %d, MaxKeys %d", n, *page.KeyCount, limit)
		}
		out = append(out, merge(keys, prefixes)...)
	}
	return out
}

func (c *cloud) listV1(prefix, delimiter string, limit int32) (out []string) {
	c.t.Helper()
	in := &awss3.ListObjectsInput{
		Bucket: aws.String("bkt"), Prefix: &prefix, Delimiter: &delimiter,
		MaxKeys: &limit,
	}
	for {
		page, err := c.client.ListObjects(context.Background(), in)
		if err != nil {
			c.t.Fatal(err)
		}
		var keys, prefixes []string
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
		for _, o := range page.CommonPrefixes {
			prefixes = append(prefixes, *o.Prefix)
		}
		out = append(out, merge(keys, prefixes)...)
		if !*page.IsTruncated {
			return out
		}
		in.Marker = page.NextMarker
		if in.Marker == nil {
			in.Marker = &keys[len(keys)-1]
		}
	}
}

func (c *cloud) listVersions(prefix, delimiter string, limit int32) (out []string) {
	c.t.Helper()
	in := &awss3.ListObjectVersionsInput{
		Bucket: aws.String("bkt"), Prefix: &prefix,
		Delimiter: &delimiter, MaxKeys: &limit,
	}
	p := awss3.NewListObjectVersionsPaginator(c.client, in)
	for p.HasMorePages() {
		page, err := p.NextPage(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		var keys, prefixes []string
		for _, o := range page.Versions {
			keys = append(keys, *o.Key)
		}
		for _, o := range page.CommonPrefixes {
			prefixes = append(prefixes, *o.Prefix)
		}
		out = append(out, merge(keys, prefixes)...)
	}
	return out
}

func TestListingParameters(t *testing.T) {
	c := run(t)
	c.put("a b/c", "xyz")
	out, err := c.client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{
		Bucket: aws.String("bkt"), MaxKeys: aws.Int32(0), FetchOwner: aws.Bool(true),
	})
	if err != nil || len(out.Contents) != 0 || *out.IsTruncated {
		t.Errorf("max-keys 0: %+v, %v", out, err)
	}
	out, err = c.client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{
		Bucket: aws.String("bkt"), FetchOwner: aws.Bool(true), EncodingType: "url",
	})
	if err != nil || *out.Contents[0].Key != "a+b/c" || out.Contents[0].Owner == nil ||
		*out.Contents[0].Size != 3 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = c.client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{
		Bucket: aws.String("bkt"), ContinuationToken: aws.String("!"),
	})
	wantCode(t, err, "InvalidArgument", 400)
	_, err = c.client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{
		Bucket:  aws.String("bkt"),
		MaxKeys: aws.Int32(-1),
	})
	wantCode(t, err, "InvalidArgument", 400)
	_, err = c.client.ListObjectsV2(t.Context(),
		&awss3.ListObjectsV2Input{Bucket: aws.String("nobucket")})
	wantCode(t, err, "NoSuchBucket", 404)
}
