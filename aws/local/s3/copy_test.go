package s3_test

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (c *cloud) copy(src, dst string,
	more ...func(*awss3.CopyObjectInput),
) (*awss3.CopyObjectOutput, error) {
	in := &awss3.CopyObjectInput{
		Bucket: aws.String("bkt"), Key: &dst,
		CopySource: aws.String(url.PathEscape("bkt/" + src)),
	}
	for _, f := range more {
		f(in)
	}
	return c.client.CopyObject(c.t.Context(), in)
}

func TestCopyKeepsOrReplacesTheDescription(t *testing.T) {
	c := run(t)
	for _, src := range hardKeys() {
		etag := *c.put(src, src, func(in *awss3.PutObjectInput) {
			in.Metadata, in.ContentType = map[string]string{"m": "1"}, aws.String("text/a")
			in.Tagging = aws.String("t=1")
		}).ETag
		out, err := c.copy(src, "copy")
		if err != nil || *out.CopyObjectResult.ETag != etag || c.get("copy") != src {
			t.Fatalf("copy %q: %v", src, err)
		}
	}
	head := func() *awss3.HeadObjectOutput {
		t.Helper()
		out, err := c.client.HeadObject(t.Context(), &awss3.HeadObjectInput{
			Bucket: aws.String("bkt"),
			Key:    aws.String("copy"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if h := head(); h.Metadata["m"] != "1" || *h.ContentType != "text/a" || *h.TagCount != 1 {
		t.Errorf("copied %+v", h)
	}
	_, err := c.copy("copy", "copy")
	wantCode(t, err, "InvalidRequest", 400)
	if _, err := c.copy("copy", "copy", func(in *awss3.CopyObjectInput) {
		in.MetadataDirective, in.Metadata = types.MetadataDirectiveReplace, map[string]string{"n": "2"}
	}); err != nil {
		t.Fatal(err)
	}
	if h := head(); h.Metadata["m"] != "" || h.Metadata["n"] != "2" ||
		*h.ContentType != "binary/octet-stream" {
		t.Errorf("replaced %+v", h)
	}
}

func TestCopyConditions(t *testing.T) {
	c := run(t)
	etag := *c.put("src", "body").ETag
	_, err := c.copy("src", "dst",
		func(in *awss3.CopyObjectInput) { in.CopySourceIfMatch = aws.String(`"x"`) })
	wantCode(t, err, "PreconditionFailed", 412)
	_, err = c.copy("src", "dst", func(in *awss3.CopyObjectInput) { in.CopySourceIfNoneMatch = &etag })
	wantCode(t, err, "PreconditionFailed", 412)
	_, err = c.copy("none", "dst")
	wantCode(t, err, "NoSuchKey", 404)
	if _, err = c.copy("src", "dst",
		func(in *awss3.CopyObjectInput) { in.IfNoneMatch = aws.String("*") }); err != nil {
		t.Error(err)
	}
	_, err = c.copy("src", "dst", func(in *awss3.CopyObjectInput) { in.IfNoneMatch = aws.String("*") })
	wantCode(t, err, "PreconditionFailed", 412)
	c.versioning(types.BucketVersioningStatusEnabled)
	c.put("src", "newer")
	if _, err = c.copy("src", "dst", func(in *awss3.CopyObjectInput) {
		in.CopySource = aws.String(*in.CopySource + "?versionId=null")
	}); err != nil || c.get("dst") != "body" {
		t.Errorf("copy of a version: %v", err)
	}
}

func TestTags(t *testing.T) {
	c := run(t)
	c.put("k", "x", func(in *awss3.PutObjectInput) { in.Tagging = aws.String("a=1&b=two%20words") })
	get := func() []types.Tag {
		t.Helper()
		out, err := c.client.GetObjectTagging(t.Context(),
			&awss3.GetObjectTaggingInput{Bucket: aws.String("bkt"), Key: aws.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		return out.TagSet
	}
	if tags := get(); len(tags) != 2 || *tags[1].Value != "two words" {
		t.Errorf("%v", tags)
	}
	set := func(tags ...types.Tag) error {
		_, err := c.client.PutObjectTagging(t.Context(), &awss3.PutObjectTaggingInput{
			Bucket: aws.String("bkt"), Key: aws.String("k"), Tagging: &types.Tagging{TagSet: tags},
		})
		return err
	}
	if err := set(types.Tag{Key: aws.String("c"), Value: aws.String("<3>")}); err != nil {
		t.Fatal(err)
	}
	if tags := get(); len(tags) != 1 || *tags[0].Value != "<3>" {
		t.Errorf("%v", tags)
	}
	same := types.Tag{Key: aws.String("c"), Value: aws.String("1")}
	wantCode(t, set(same, same), "InvalidTag", 400)
	if _, err := c.client.DeleteObjectTagging(t.Context(), &awss3.DeleteObjectTaggingInput{
		Bucket: aws.String("bkt"), Key: aws.String("k"),
	}); err != nil || len(get()) != 0 {
		t.Error("tags stay", err)
	}
}
