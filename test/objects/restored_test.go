package objects

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/test/internal/system"
)

// TestABucketThatLosesItsObjectsIsHeldAndPutBack takes most objects out of the S3 bucket without notices, as a restore
// from a backup does: nothing of it crosses, the status says what to do, and each of the two answers is carried out.
func TestABucketThatLosesItsObjectsIsHeldAndPutBack(t *testing.T) {
	const count, lost = 120, 110
	s := &system.System{T: t, Bin: system.Binary(t), Dir: filepath.Join(t.TempDir(), "proa"), Flags: []string{"--nodes", "1"}}
	s.UpUntilEnd()
	from, into, _ := buckets(t, s)
	api := mute(t, s)
	var ids []types.ObjectIdentifier
	for i := range count {
		name := fmt.Sprintf("o-%03d", i)
		if _, err := from.Put(t.Context(), name, strings.NewReader(name), int64(len(name)), cloud.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if i < lost {
			ids = append(ids, types.ObjectIdentifier{Key: &name})
		}
	}
	holds(t, into, count)
	lose := func() {
		s.Proa("backfill", "pause", "attachments")
		out, err := api.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
			Bucket: sdk.String("attachments"), Delete: &types.Delete{Objects: ids},
		})
		if err != nil || len(out.Errors) > 0 {
			t.Fatal(err, out)
		}
		s.Proa("backfill", "resume", "attachments")
		warned(t, s, "110 objects are missing at aws")
		holds(t, into, count)
	}
	lose()
	s.Proa("backfill", "restored", "attachments", "--side", "aws")
	holds(t, from, count)
	s.Proa("backfill", "--wait")
	warned(t, s, "")
	lose()
	s.Proa("backfill", "release", "attachments")
	holds(t, into, count-lost)
	if _, stderr, code := s.Run("backfill", "release", "attachments"); code == 0 || !strings.Contains(stderr, "no deletes are held") {
		t.Errorf("a release of nothing ends with %d: %s", code, stderr)
	}
}

// mute has S3 tell nothing of changes, as while objects are restored.
func mute(t *testing.T, s *system.System) *s3.Client {
	t.Helper()
	var a map[string]string
	s.JSON(&a, "env", "aws")
	endpoint := a["AWS_ENDPOINT_URL"]
	api := s3.New(s3.Options{
		Region: a["AWS_REGION"], BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(a["AWS_ACCESS_KEY_ID"], a["AWS_SECRET_ACCESS_KEY"], ""),
	})
	_, err := api.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket: sdk.String("attachments"), NotificationConfiguration: &types.NotificationConfiguration{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// holds waits until a side has so many objects of applications.
func holds(t *testing.T, b cloud.Bucket, want int) {
	t.Helper()
	system.Until(t, time.Minute, fmt.Sprint(want, " objects"), func() error {
		time.Sleep(50 * time.Millisecond)
		page, more, err := b.List(t.Context(), "", 1000)
		n := 0
		for _, o := range page {
			if !objects.Own(o.Name) {
				n++
			}
		}
		if err != nil || more || n != want {
			return errors.Join(err, fmt.Errorf("%d objects", n))
		}
		return nil
	})
}

// warned waits until the status warns of a bucket with a text; "": of none.
func warned(t *testing.T, s *system.System, text string) {
	t.Helper()
	system.Until(t, time.Minute, "a warning: "+text, func() error {
		time.Sleep(100 * time.Millisecond)
		out := s.Proa("status")
		for line := range strings.Lines(out) {
			if w, ok := strings.CutPrefix(line, "warning: bucket attachments:"); ok {
				if text != "" && strings.Contains(w, text) {
					return nil
				}
				return errors.New(w)
			}
		}
		if text != "" {
			return fmt.Errorf("no warning in %s", out)
		}
		return nil
	})
}
