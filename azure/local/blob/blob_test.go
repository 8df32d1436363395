package blob_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/blob"
)

const account = "proalocal"

func key() string {
	return base64.StdEncoding.EncodeToString([]byte("a key of thirty-two bytes, sixty"))
}

// service is a running Blob service with the vendor's client on it.
type service struct {
	*blob.Server
	url    string
	client *azblob.Client
	cred   *azblob.SharedKeyCredential
}

func start(t testing.TB, c blob.Config) service {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.Account = account
	if c.Clock == nil {
		c.Clock = time.Now
	}
	verifier, err := auth.New(auth.Config{
		Account: account, StorageKey: key(), Clock: c.Clock,
		CosmosResource: func(*http.Request) (string, string) { return "", "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.AuthorizeSource = verifier.AuthorizeSource
	server, err := blob.New(c)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(verifier.Wrap(server))
	t.Cleanup(func() {
		front.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	cred, err := azblob.NewSharedKeyCredential(account, key())
	if err != nil {
		t.Fatal(err)
	}
	url := front.URL + "/" + account
	client, err := azblob.NewClientWithSharedKeyCredential(url, cred, &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return service{server, url, client, cred}
}

func (s service) container(t testing.TB, name string) *container.Client {
	t.Helper()
	if _, err := s.client.CreateContainer(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	return s.client.ServiceClient().NewContainerClient(name)
}

func wantCode(t testing.TB, err error, status int, code bloberror.Code) {
	t.Helper()
	var got *azcore.ResponseError
	if !errors.As(err, &got) || got.StatusCode != status || got.ErrorCode != string(code) {
		t.Fatalf("error is %v; want %d %s", err, status, code)
	}
}

func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b)
	return b
}

func (s service) read(t testing.TB, containerName, name string) []byte {
	t.Helper()
	got, err := s.client.DownloadStream(t.Context(), containerName, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContentComesBackAsItWasPut(t *testing.T) {
	s := start(t, blob.Config{})
	s.container(t, "box")
	for _, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 1 << 20, 9<<20 + 7} {
		want := content(uint64(size), size)
		if _, err := s.client.UploadBuffer(t.Context(), "box", "b", want, nil); err != nil {
			t.Fatal(size, err)
		}
		if got := s.read(t, "box", "b"); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as %d others", size, len(got))
		}
		_, err := s.client.UploadStream(t.Context(), "box", "s", bytes.NewReader(want),
			&azblob.UploadStreamOptions{BlockSize: 1 << 20, Concurrency: 3})
		if err != nil {
			t.Fatal(size, err)
		}
		if got := s.read(t, "box", "s"); !bytes.Equal(got, want) {
			t.Fatalf("stream of %d bytes came back as %d others", size, len(got))
		}
	}
}

func TestAcknowledgedWritesSurviveACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := start(t, blob.Config{Dir: "/data", FS: fs})
	s.container(t, "box")
	small, large := content(1, 100), content(2, 300<<10)
	for name, body := range map[string][]byte{"small": small, "large": large} {
		if _, err := s.client.UploadBuffer(t.Context(), "box", name, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.UploadStream(t.Context(), "box", "blocks", bytes.NewReader(large),
		&azblob.UploadStreamOptions{BlockSize: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	again := start(t, blob.Config{Dir: "/data", FS: crashed})
	for name, want := range map[string][]byte{"small": small, "large": large, "blocks": large} {
		if got := again.read(t, "box", name); !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes after the crash, want %d", name, len(got), len(want))
		}
	}
}

func TestOrphansAreCollectedAndLiveContentIsKept(t *testing.T) {
	fs := vfs.NewCrashableMem()
	first := start(t, blob.Config{Dir: "/data", FS: fs})
	first.container(t, "box")
	kept := content(1, 100<<10)
	for _, name := range []string{"kept", "gone"} {
		if _, err := first.client.UploadBuffer(t.Context(), "box", name, kept, nil); err != nil {
			t.Fatal(err)
		}
	}
	// A crash between a body and its record leaves a file that nothing refers to.
	file, err := fs.Create("/data/contents/10000000fff", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir("/data/contents")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	second := start(t, blob.Config{Dir: "/data", FS: crashed})
	if _, err := second.client.DeleteBlob(t.Context(), "box", "gone", nil); err != nil {
		t.Fatal(err)
	}
	runUntil(t, second, func() bool {
		names, err := crashed.List("/data/contents")
		if err != nil {
			t.Fatal(err)
		}
		return len(names) == 1
	})
	if got := second.read(t, "box", "kept"); !bytes.Equal(got, kept) {
		t.Fatal("the collection took live content")
	}
}

// runUntil runs the housekeeping until the condition holds.
func runUntil(t testing.TB, s service, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatal("the housekeeping did not get there")
		}
		time.Sleep(2 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestADeletedContainerFreesItsDiskAndItsName(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, blob.Config{Dir: "/data", FS: fs})
	s.container(t, "box")
	if _, err := s.client.UploadBuffer(t.Context(), "box", "b", content(1, 100<<10), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.DeleteContainer(t.Context(), "box", nil); err != nil {
		t.Fatal(err)
	}
	s.container(t, "box")
	_, err := s.client.DownloadStream(t.Context(), "box", "b", nil)
	wantCode(t, err, 404, bloberror.BlobNotFound)
	runUntil(t, s, func() bool {
		names, err := fs.List("/data/contents")
		return err == nil && len(names) == 0
	})
}

// A body is never held in memory, whether it is put at once or in blocks, or read.
func TestMemoryDoesNotGrowWithTheSizeOfABlob(t *testing.T) {
	const size = 192 << 20
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("big")
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := b.Upload(t.Context(), streaming.NopCloser(io.NewSectionReader(zeros{}, 0, size)), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.DownloadStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, got.Body)
	if err != nil || n != size {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&peak)
	if grown := peak.Sys - before.Sys; grown > 48<<20 {
		t.Errorf("memory grew by %d MiB for a blob of %d MiB", grown>>20, size>>20)
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func BenchmarkPutAndGet1KiBFrom8Clients(b *testing.B) {
	s := start(b, blob.Config{})
	if _, err := s.client.CreateContainer(b.Context(), "box", nil); err != nil {
		b.Fatal(err)
	}
	body := content(1, 1<<10)
	var next atomic.Int64
	b.SetParallelism(4) // times two processors
	b.Run("put", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				name := strconv.FormatInt(next.Add(1), 10)
				if _, err := s.client.UploadBuffer(b.Context(), "box", name, body, nil); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("get", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				got, err := s.client.DownloadStream(b.Context(), "box", "1", nil)
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, got.Body)
				got.Body.Close()
			}
		})
	})
}
