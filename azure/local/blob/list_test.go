package blob_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa/azure/local/blob"
)

// clock is a hand-set one that moves on a little with each look.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func leaseClient(t testing.TB, b *blockblob.Client) *lease.BlobClient {
	t.Helper()
	l, err := lease.NewBlobClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func list(t testing.TB, box *container.Client, prefix string, everything bool) []string {
	t.Helper()
	pager := box.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix: &prefix, MaxResults: to.Ptr(int32(3)), Include: container.ListBlobsInclude{
			Versions: everything, Snapshots: everything, UncommittedBlobs: everything,
		},
	})
	var names []string
	for pager.More() {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Segment.BlobItems {
			names = append(names, *item.Name)
		}
	}
	return names
}

func TestNamesOfAnyCharactersAreListedInByteOrder(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	names := []string{
		"a", "a b", "a//b", "a/../b", "A", "%41", "ä", "日本", "x\ty", "q?r#s&t=u", "+", "a\u0001b",
		"..", "emoji\U0001F600", "\ufffe", strings.Repeat("é", 1024),
	}
	for _, name := range names {
		if _, err := s.client.UploadBuffer(t.Context(), "box", name, []byte(name), nil); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if got := s.read(t, "box", name); string(got) != name {
			t.Fatalf("%q holds %q", name, got)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, list(t, box, "", false)); diff != "" {
		t.Error(diff)
	}
}

func TestAHierarchicalListingFoldsNames(t *testing.T) {
	s := start(t, blob.Config{Versioning: true})
	box := s.container(t, "box")
	for _, name := range []string{"a/1", "a/2", "a/b/3", "b", "c/4", "gone/5", "a-"} {
		if _, err := s.client.UploadBuffer(t.Context(), "box", name, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	// What has older versions only is not there.
	if _, err := s.client.DeleteBlob(t.Context(), "box", "gone/5", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := box.NewBlockBlobClient("half/6").StageBlock(t.Context(), "QUJD",
		streaming.NopCloser(strings.NewReader("x")), nil); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"":   {"a-", "a/", "b", "c/"},
		"a/": {"a/1", "a/2", "a/b/"},
	} {
		for _, size := range []int32{1, 2, 100} {
			var got []string
			pager := box.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{
				Prefix: &prefix, MaxResults: &size,
			})
			for pager.More() {
				page, err := pager.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, item := range page.Segment.BlobItems {
					got = append(got, *item.Name)
				}
				for _, p := range page.Segment.BlobPrefixes {
					got = append(got, *p.Name)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("prefix %q, pages of %d: %s", prefix, size, diff)
			}
		}
	}
	if got := list(t, box, "half", true); !slices.Equal(got, []string{"half/6"}) {
		t.Errorf("the uncommitted blob is listed as %q", got)
	}
}

// Whatever is put and deleted, a listing is the sorted set of what is there, whatever the page size.
func TestListingsAreTheSortedSetOfNames(t *testing.T) {
	s := start(t, blob.Config{})
	box := s.container(t, "box")
	there := map[string]bool{}
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.StringMatching(`[a-c/ ~é]{1,4}`).Draw(r, "name")
		if there[name] && rapid.Bool().Draw(r, "delete") {
			if _, err := s.client.DeleteBlob(t.Context(), "box", name, nil); err != nil {
				r.Fatal(err)
			}
			delete(there, name)
		} else {
			if _, err := s.client.UploadBuffer(t.Context(), "box", name, nil, nil); err != nil {
				r.Fatal(err)
			}
			there[name] = true
		}
	})
	var want []string
	for name := range there {
		want = append(want, name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, list(t, box, "", false)); diff != "" {
		t.Error(diff)
	}
}
