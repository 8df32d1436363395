package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	azb "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/azure/local/blob"
)

func conditions(m azb.ModifiedAccessConditions) *azb.AccessConditions {
	return &azb.AccessConditions{ModifiedAccessConditions: &m}
}

func TestWritesHoldToTheirConditions(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	any := to.Ptr(azcore.ETagAny)
	other := to.Ptr(azcore.ETag(`"0x8D0000000000000"`))
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name   string
		exists bool
		cond   azb.ModifiedAccessConditions
		status int
		code   bloberror.Code
	}{
		{"create only, absent", false, azb.ModifiedAccessConditions{IfNoneMatch: any}, 201, ""},
		{"create only, present", true, azb.ModifiedAccessConditions{IfNoneMatch: any}, 409, "BlobAlreadyExists"},
		{"match, absent", false, azb.ModifiedAccessConditions{IfMatch: other}, 412, "ConditionNotMet"},
		{"match any, absent", false, azb.ModifiedAccessConditions{IfMatch: any}, 412, "ConditionNotMet"},
		{"match any, present", true, azb.ModifiedAccessConditions{IfMatch: any}, 201, ""},
		{"match another", true, azb.ModifiedAccessConditions{IfMatch: other}, 412, "ConditionNotMet"},
		{"none match another", true, azb.ModifiedAccessConditions{IfNoneMatch: other}, 201, ""},
		{"modified since past", true, azb.ModifiedAccessConditions{IfModifiedSince: &past}, 201, ""},
		{"modified since future", true, azb.ModifiedAccessConditions{IfModifiedSince: &future}, 412, "ConditionNotMet"},
		{"unmodified since past", true, azb.ModifiedAccessConditions{IfUnmodifiedSince: &past}, 412, "ConditionNotMet"},
		{"unmodified since future", true, azb.ModifiedAccessConditions{IfUnmodifiedSince: &future}, 201, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := strings.ReplaceAll(tc.name, " ", "-")
			b := box.NewBlockBlobClient(name)
			if tc.exists {
				if _, err := b.UploadBuffer(t.Context(), []byte("old"), nil); err != nil {
					t.Fatal(err)
				}
			}
			_, err := b.Upload(t.Context(), streaming.NopCloser(strings.NewReader("new")),
				&blockblob.UploadOptions{AccessConditions: conditions(tc.cond)})
			if tc.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantCode(t, err, tc.status, tc.code)
			if tc.exists && string(s.read(t, "box", name)) != "old" {
				t.Fatal("a refused write changed the blob")
			}
		})
	}
}

func TestReadsHoldToTheirConditions(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	put, err := b.UploadBuffer(t.Context(), []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.GetProperties(t.Context(), &azb.GetPropertiesOptions{
		AccessConditions: conditions(azb.ModifiedAccessConditions{IfNoneMatch: put.ETag}),
	})
	wantCode(t, err, 304, "ConditionNotMet")
	_, err = b.DownloadStream(t.Context(), &azb.DownloadStreamOptions{
		AccessConditions: conditions(azb.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(`"0x1"`))}),
	})
	wantCode(t, err, 412, "ConditionNotMet")
	_, err = b.DownloadStream(t.Context(), &azb.DownloadStreamOptions{
		AccessConditions: conditions(azb.ModifiedAccessConditions{IfMatch: put.ETag}),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Of many that compare and set from the same state, exactly one wins each round.
func TestCompareAndSetHasOneWinner(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	put, err := b.UploadBuffer(t.Context(), []byte("start"), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := put.ETag
	for round := range 10 {
		var winners atomic.Int32
		var mu sync.Mutex
		var next *azcore.ETag
		var group sync.WaitGroup
		for writer := range 8 {
			group.Go(func() {
				body := fmt.Sprint(round, writer)
				got, err := b.Upload(context.WithoutCancel(t.Context()),
					streaming.NopCloser(strings.NewReader(body)), &blockblob.UploadOptions{
						AccessConditions: conditions(azb.ModifiedAccessConditions{IfMatch: seen}),
					})
				if err == nil {
					winners.Add(1)
					mu.Lock()
					next = got.ETag
					mu.Unlock()
				} else if !bloberror.HasCode(err, bloberror.ConditionNotMet) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if winners.Load() != 1 {
			t.Fatalf("round %d had %d winners", round, winners.Load())
		}
		seen = next
	}
}

func TestChecksumsAreVerifiedAndReturned(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	body := content(7, 70<<10)
	sum := md5.Sum(body)
	crc := crc64.Checksum(body, crc64.MakeTable(0x9a6c9329ac4bc9b5))
	got, err := b.Upload(t.Context(), streaming.NopCloser(bytes.NewReader(body)),
		&blockblob.UploadOptions{TransactionalValidation: azb.TransferValidationTypeComputeCRC64()})
	if err != nil {
		t.Fatal(err)
	}
	if binary.LittleEndian.Uint64(got.ContentCRC64) != crc {
		t.Errorf("CRC-64 is %x, want %x", got.ContentCRC64, crc)
	}
	props, err := b.GetProperties(t.Context(), nil)
	if err != nil || !bytes.Equal(props.ContentMD5, sum[:]) {
		t.Errorf("MD5 is %x, %v; want %x", props.ContentMD5, err, sum)
	}
	_, err = b.Upload(t.Context(), streaming.NopCloser(bytes.NewReader(body)),
		&blockblob.UploadOptions{TransactionalValidation: azb.TransferValidationTypeCRC64(crc + 1)})
	wantCode(t, err, 400, bloberror.CRC64Mismatch)
	wrong := md5.Sum([]byte("other"))
	_, err = b.Upload(t.Context(), streaming.NopCloser(bytes.NewReader(body)),
		&blockblob.UploadOptions{TransactionalValidation: azb.TransferValidationTypeMD5(wrong[:])})
	wantCode(t, err, 400, bloberror.MD5Mismatch)
	part, err := b.DownloadStream(t.Context(), &azb.DownloadStreamOptions{
		Range: azb.HTTPRange{Offset: 5, Count: 40000}, RangeGetContentMD5: to.Ptr(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := md5.Sum(body[5:40005])
	if data, _ := io.ReadAll(part.Body); !bytes.Equal(data, body[5:40005]) ||
		!bytes.Equal(part.ContentMD5, want[:]) || !bytes.Equal(part.BlobContentMD5, sum[:]) {
		t.Error("the range or one of its sums is wrong")
	}
}

func TestBlockListsCommitWhatTheyName(t *testing.T) {
	for _, versioning := range []bool{false, true} {
		t.Run(fmt.Sprint("versioning=", versioning), func(t *testing.T) {
			s := start(t, blob.Config{Versioning: versioning})
			b := s.container(t, "box").NewBlockBlobClient("b")
			id := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%04d", n))) }
			var parts [][]byte
			stage := func(n, size int) {
				parts = append(parts, content(uint64(n), size))
				_, err := b.StageBlock(t.Context(), id(n),
					streaming.NopCloser(bytes.NewReader(parts[n])), nil)
				if err != nil {
					t.Fatal(err)
				}
			}
			stage(0, 100)
			stage(1, 50<<10)
			_, err := b.StageBlock(t.Context(), base64.StdEncoding.EncodeToString([]byte("longer")),
				streaming.NopCloser(strings.NewReader("x")), nil)
			wantCode(t, err, 400, bloberror.InvalidBlobOrBlock)
			_, err = b.CommitBlockList(t.Context(), []string{id(0), id(9)}, nil)
			wantCode(t, err, 400, bloberror.InvalidBlockList)
			if _, err := b.CommitBlockList(t.Context(), []string{id(1), id(0)}, nil); err != nil {
				t.Fatal(err)
			}
			stage(2, 40<<10)
			// Reused, new and repeated blocks in one list.
			if _, err := b.CommitBlockList(t.Context(), []string{id(0), id(2), id(1), id(0)}, nil); err != nil {
				t.Fatal(err)
			}
			want := bytes.Join([][]byte{parts[0], parts[2], parts[1], parts[0]}, nil)
			if got := s.read(t, "box", "b"); !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, want %d", len(got), len(want))
			}
			list, err := b.GetBlockList(t.Context(), blockblob.BlockListTypeAll, nil)
			if err != nil || len(list.CommittedBlocks) != 4 || len(list.UncommittedBlocks) != 0 {
				t.Fatalf("block list is %+v, %v", list.BlockList, err)
			}
			// Overwriting frees the blocks, and what is left still reads well.
			if _, err := b.UploadBuffer(t.Context(), []byte("over"), nil); err != nil {
				t.Fatal(err)
			}
			if got := s.read(t, "box", "b"); string(got) != "over" {
				t.Fatalf("got %q", got)
			}
		})
	}
}

func TestRangesAreTheVendors(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	if _, err := b.UploadBuffer(t.Context(), []byte("0123456789"), nil); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		offset, count int64
		want          string
	}{{0, 3, "012"}, {5, 0, "56789"}, {8, 100, "89"}} {
		got, err := b.DownloadStream(t.Context(), &azb.DownloadStreamOptions{
			Range: azb.HTTPRange{Offset: tc.offset, Count: tc.count},
		})
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := io.ReadAll(got.Body); string(data) != tc.want {
			t.Errorf("range %d+%d is %q, want %q", tc.offset, tc.count, data, tc.want)
		}
	}
	_, err := b.DownloadStream(t.Context(), &azb.DownloadStreamOptions{Range: azb.HTTPRange{Offset: 10}})
	wantCode(t, err, 416, bloberror.InvalidRange)
}

func TestMetadataNamesAreIdentifiers(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	put := func(meta map[string]*string) error {
		_, err := b.UploadBuffer(t.Context(), []byte("x"), &blockblob.UploadBufferOptions{Metadata: meta})
		return err
	}
	for name, code := range map[string]bloberror.Code{
		"good_1": "", "_x": "", "with-hyphen": bloberror.InvalidMetadata, "1st": bloberror.InvalidMetadata,
		"a.b": bloberror.InvalidMetadata,
	} {
		err := put(map[string]*string{name: to.Ptr("v")})
		if code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if code != "" {
			wantCode(t, err, 400, code)
		}
	}
	wantCode(t, put(map[string]*string{"a": to.Ptr(strings.Repeat("v", 9<<10))}), 400,
		bloberror.MetadataTooLarge)
	if err := put(map[string]*string{"mixedcase": to.Ptr("Some value")}); err != nil {
		t.Fatal(err)
	}
	got, err := b.GetProperties(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]*string{"Mixedcase": to.Ptr("Some value")}, got.Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestALeaseGuardsItsBlob(t *testing.T) {
	clock := newClock()
	s := start(t, blob.Config{Clock: clock.now})
	b := s.container(t, "box").NewBlockBlobClient("b")
	if _, err := b.UploadBuffer(t.Context(), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	l := leaseClient(t, b)
	if _, err := l.AcquireLease(t.Context(), 15, nil); err != nil {
		t.Fatal(err)
	}
	upload := func(id *string) error {
		_, err := b.Upload(t.Context(), streaming.NopCloser(strings.NewReader("y")),
			&blockblob.UploadOptions{AccessConditions: &azb.AccessConditions{
				LeaseAccessConditions: &azb.LeaseAccessConditions{LeaseID: id},
			}})
		return err
	}
	wantCode(t, upload(nil), 412, bloberror.LeaseIDMissing)
	wantCode(t, upload(to.Ptr("00000000-0000-0000-0000-000000000001")), 412,
		bloberror.LeaseIDMismatchWithBlobOperation)
	if err := upload(l.LeaseID()); err != nil {
		t.Fatal(err)
	}
	_, err := s.client.DeleteBlob(t.Context(), "box", "b", nil)
	wantCode(t, err, 412, bloberror.LeaseIDMissing)
	_, err = leaseClient(t, b).AcquireLease(t.Context(), 15, nil)
	wantCode(t, err, 409, bloberror.LeaseAlreadyPresent)
	clock.add(16 * time.Second)
	wantCode(t, upload(l.LeaseID()), 412, bloberror.LeaseLost)
	if err := upload(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.RenewLease(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.BreakLease(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ReleaseLease(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := upload(nil); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotsAndVersionsKeepWhatWas(t *testing.T) {
	s := start(t, blob.Config{Versioning: true})
	box := s.container(t, "box")
	b := box.NewBlockBlobClient("b")
	old := content(1, 60<<10)
	first, err := b.UploadBuffer(t.Context(), old, nil)
	if err != nil || first.VersionID == nil {
		t.Fatal(err, "or no version id")
	}
	shot, err := b.CreateSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetMetadata(t.Context(), map[string]*string{"a": to.Ptr("b")}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.UploadBuffer(t.Context(), []byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	version, err := b.WithVersionID(*first.VersionID)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := b.WithSnapshot(*shot.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*blockblob.Client{version, snapshot} {
		got, err := c.DownloadStream(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := io.ReadAll(got.Body); !bytes.Equal(data, old) {
			t.Fatalf("%s came back as %d bytes", c.URL(), len(data))
		}
	}
	_, err = b.GetProperties(t.Context(), nil)
	wantCode(t, err, 404, bloberror.BlobNotFound)
	items := list(t, box, "", true)
	if len(items) != 4 { // three versions and a snapshot; nothing is current
		t.Fatalf("listed %v", items)
	}
	if _, err := version.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func TestAnAppendBlobGrowsInOrder(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	b := box.NewAppendBlobClient("log")
	if _, err := b.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range 5 {
		part := content(uint64(i), 10<<10*i+1)
		got, err := b.AppendBlock(t.Context(), streaming.NopCloser(bytes.NewReader(part)), nil)
		if err != nil || *got.BlobAppendOffset != fmt.Sprint(len(want)) {
			t.Fatal(err, "or a wrong offset")
		}
		want = append(want, part...)
	}
	if got := s.read(t, "box", "log"); !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d", len(got), len(want))
	}
	_, err := box.NewBlockBlobClient("log").StageBlock(t.Context(), "QUJD",
		streaming.NopCloser(strings.NewReader("x")), nil)
	wantCode(t, err, 409, bloberror.InvalidBlobType)
}

func TestCopiesAreIndependentOfTheirSource(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	from, dest := box.NewBlockBlobClient("from"), box.NewBlockBlobClient("to")
	body := content(3, 80<<10)
	_, err := from.UploadBuffer(t.Context(), body, &blockblob.UploadBufferOptions{
		HTTPHeaders: &azb.HTTPHeaders{BlobContentType: to.Ptr("image/png")},
		Metadata:    map[string]*string{"a": to.Ptr("1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := dest.StartCopyFromURL(t.Context(), from.URL(), nil)
	if err != nil || *got.CopyStatus != azb.CopyStatusTypeSuccess {
		t.Fatal(err, "or the copy is not done")
	}
	if _, err := from.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := s.read(t, "box", "to"); !bytes.Equal(got, body) {
		t.Fatal("the copy shares the fate of its source")
	}
	props, err := dest.GetProperties(t.Context(), nil)
	if err != nil || *props.ContentType != "image/png" || *props.Metadata["A"] != "1" {
		t.Fatalf("properties are %+v, %v", props, err)
	}
	_, err = dest.StartCopyFromURL(t.Context(), from.URL(), nil)
	wantCode(t, err, 404, bloberror.BlobNotFound)
	_, err = dest.StartCopyFromURL(t.Context(), "http://other.example/account/c/b", nil)
	wantCode(t, err, 400, bloberror.CopyAcrossAccountsNotSupported)
}

func TestADownloadIsOneStateWhileTheBlobIsReplaced(t *testing.T) {
	s := start(t, blob.Config{})
	b := s.container(t, "box").NewBlockBlobClient("b")
	body := content(1, 8<<20)
	if _, err := b.UploadBuffer(t.Context(), body, nil); err != nil {
		t.Fatal(err)
	}
	got, err := b.DownloadStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(got.Body, head); err != nil {
		t.Fatal(err)
	}
	if _, err := b.UploadBuffer(t.Context(), []byte("short"), nil); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(append(head, rest...), body) {
		t.Fatalf("the download broke: %d bytes, %v", len(rest), err)
	}
}

func TestWhatIsNotImplementedSaysSo(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	_, err := box.NewPageBlobClient("p").Create(t.Context(), 512, nil)
	wantCode(t, err, 501, "NotImplemented")
	_, err = s.client.CreateContainer(t.Context(), "ok", nil)
	wantCode(t, err, 400, bloberror.OutOfRangeInput)
	_, err = s.client.CreateContainer(t.Context(), "UPPER", nil)
	wantCode(t, err, 400, bloberror.InvalidResourceName)
	_, err = s.client.UploadBuffer(t.Context(), "missing", "b", nil, nil)
	wantCode(t, err, 404, bloberror.ContainerNotFound)
	response, err := http.Get(s.url + "/box?restype=container&comp=list")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("an anonymous listing is answered %s", response.Status)
	}
}

// A client that sends all of its body before it listens still hears the refusal.
func TestARefusalIsHeardByAClientThatSendsFirst(t *testing.T) {
	s := start(t, blob.Config{})
	if _, err := s.client.CreateContainer(t.Context(), "box", nil); err != nil {
		t.Fatal(err)
	}
	p := &peer{url: s.url, vars: map[string]string{}}
	conn, err := net.Dial("tcp", strings.Split(strings.TrimPrefix(s.url, "http://"), "/")[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := make([]byte, 20<<20)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.url+"/none/b", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-ms-version", "2024-11-04")
	r.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
	r.Header.Set("x-ms-blob-type", "BlockBlob")
	r.Header.Set("Authorization", "SharedKey "+account+":"+signature(r))
	if err := r.Write(conn); err != nil {
		t.Fatalf("the server hung up before it had read the request: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.Header.Get("x-ms-error-code") != "ContainerNotFound" {
		t.Errorf("answered %s %v", response.Status, response.Header)
	}
}
