package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (c *cloud) versioning(status types.BucketVersioningStatus) {
	c.t.Helper()
	if _, err := c.client.PutBucketVersioning(c.t.Context(), &awss3.PutBucketVersioningInput{
		Bucket:                  aws.String("bkt"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) remove(key, version string) *awss3.DeleteObjectOutput {
	c.t.Helper()
	in := &awss3.DeleteObjectInput{Bucket: aws.String("bkt"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := c.client.DeleteObject(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// history renders all versions, newest first: "v" or "d" for a marker, "*" for the latest, and the
// size.
func (c *cloud) history() string {
	c.t.Helper()
	out, err := c.client.ListObjectVersions(c.t.Context(),
		&awss3.ListObjectVersionsInput{Bucket: aws.String("bkt")})
	if err != nil {
		c.t.Fatal(err)
	}
	var b strings.Builder
	for _, v := range out.Versions {
		fmt.Fprintf(&b, "v%d%s%s ", *v.Size, map[bool]string{true: "*"}[*v.IsLatest],
			map[bool]string{true: "null"}[*v.VersionId == "null"])
	}
	for _, v := range out.DeleteMarkers {
		fmt.Fprintf(&b, "d%s%s ", map[bool]string{true: "*"}[*v.IsLatest],
			map[bool]string{true: "null"}[*v.VersionId == "null"])
	}
	return strings.TrimSpace(b.String())
}

func TestVersions(t *testing.T) {
	c := run(t)
	step := func(want string) {
		t.Helper()
		if got := c.history(); got != want {
			t.Fatalf("history %q, want %q", got, want)
		}
	}
	c.put("k", "1")
	step("v1*null")
	c.versioning(types.BucketVersioningStatusEnabled)
	v2 := *c.put("k", "22").VersionId
	v3 := *c.put("k", text(100<<10)).VersionId
	step("v102400* v2 v1null")
	marker := *c.remove("k", "").VersionId
	step("v102400 v2 v1null d*")
	_, err := c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"),
		Key:    aws.String("k"),
	})
	wantCode(t, err, "NoSuchKey", 404)
	_, err = c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("k"), VersionId: &marker,
	})
	wantCode(t, err, "MethodNotAllowed", 405)
	for v, size := range map[string]int64{v2: 2, v3: 100 << 10, "null": 1} {
		out, err := c.client.HeadObject(t.Context(), &awss3.HeadObjectInput{
			Bucket: aws.String("bkt"), Key: aws.String("k"), VersionId: &v,
		})
		if err != nil || *out.ContentLength != size {
			t.Fatalf("version %s: %v", v, err)
		}
	}
	if out := c.remove("k", marker); !aws.ToBool(out.DeleteMarker) {
		t.Error("removing a marker must say so")
	}
	step("v102400* v2 v1null")
	c.remove("k", v3)
	step("v2* v1null")
	if c.get("k") != "22" {
		t.Error("the older version is not current again")
	}
	c.versioning(types.BucketVersioningStatusSuspended)
	c.put("k", "4444")
	step("v4*null v2")
	c.remove("k", "")
	step("v2 d*null")
	c.remove("k", "null")
	c.remove("k", v2)
	step("")
	_, err = c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("k"), VersionId: &v2,
	})
	wantCode(t, err, "NoSuchVersion", 404)
	_, err = c.client.GetObject(t.Context(), &awss3.GetObjectInput{
		Bucket: aws.String("bkt"), Key: aws.String("k"), VersionId: aws.String("nonsense"),
	})
	wantCode(t, err, "InvalidArgument", 400)
}

func TestVersionsArePaged(t *testing.T) {
	c := run(t)
	c.versioning(types.BucketVersioningStatusEnabled)
	want := 0
	for _, key := range []string{"a", "a/", "b"} {
		for i := range 4 {
			c.put(key, strings.Repeat("x", i))
			want++
		}
	}
	p := awss3.NewListObjectVersionsPaginator(c.client, &awss3.ListObjectVersionsInput{
		Bucket: aws.String("bkt"), MaxKeys: aws.Int32(3),
	})
	var seen []string
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			seen = append(seen, fmt.Sprint(*v.Key, *v.Size))
		}
	}
	if got := strings.Join(seen, " "); got != "a3 a2 a1 a0 a/3 a/2 a/1 a/0 b3 b2 b1 b0" {
		t.Errorf("versions %s", got)
	}
}

func TestBucketWithVersionsCannotBeDeleted(t *testing.T) {
	c := run(t)
	c.versioning(types.BucketVersioningStatusEnabled)
	marker := *c.remove("k", "").VersionId
	_, err := c.client.DeleteBucket(t.Context(), &awss3.DeleteBucketInput{Bucket: aws.String("bkt")})
	wantCode(t, err, "BucketNotEmpty", 409)
	c.remove("k", marker)
	if _, err := c.client.DeleteBucket(t.Context(),
		&awss3.DeleteBucketInput{Bucket: aws.String("bkt")}); err != nil {
		t.Error(err)
	}
}
