package cosmos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// request sends one request to the server, without a network.
func request(s *Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const docsPath = "/dbs/db/colls/items/docs"

// TestNothingSeenIsLostInACrash crashes the disk under eight writers and two readers: what was
// acknowledged, and what a feed or a read has shown, must be there afterwards, whatever part of the
// unsynced data the disk kept.
func TestNothingSeenIsLostInACrash(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashOnce(t, seed) })
	}
}

func crashOnce(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	s, err := New(Config{Dir: "cosmos", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureDatabase("db"); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureContainer("db", ContainerSpec{ID: "items", PartitionKeyPaths: []string{"/pk"}}); err != nil {
		t.Fatal(err)
	}
	seen := newSeenSet()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() { writeUntil(s, stop, w, seen) })
	}
	wg.Go(func() { readFeedUntil(s, stop, seen) })
	wg.Go(func() { readItemsUntil(s, stop, seen) })

	seen.waitFor(100 + rng.IntN(200))
	before := seen.copy()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
	close(stop)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = New(Config{Dir: "cosmos", FS: crashed})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id, how := range before {
		w := request(s, http.MethodGet, docsPath+"/"+id, "", "x-ms-documentdb-partitionkey", `["a"]`)
		if w.Code != http.StatusOK {
			t.Errorf("item %s, known by %s, is gone after the crash: %d", id, how, w.Code)
		}
	}
}

// seenSet holds the ids that someone outside knows to exist, and how.
type seenSet struct {
	mu   sync.Mutex
	more *sync.Cond
	ids  map[string]string
}

func newSeenSet() *seenSet {
	s := &seenSet{ids: map[string]string{}}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *seenSet) add(id, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = how
	s.more.Broadcast()
}

func (s *seenSet) copy() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for k, v := range s.ids {
		out[k] = v
	}
	return out
}

// waitFor returns when so many ids are known; the writers get there, so it ends.
func (s *seenSet) waitFor(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ids) < n {
		s.more.Wait()
	}
}

func writeUntil(s *Server, stop chan struct{}, w int, seen *seenSet) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		id := fmt.Sprintf("%d-%d", w, i)
		r := request(s, http.MethodPost, docsPath, fmt.Sprintf(`{"id":%q,"pk":"a"}`, id),
			"x-ms-documentdb-partitionkey", `["a"]`)
		if r.Code == http.StatusCreated {
			seen.add(id, "its writer")
		}
	}
}

func readFeedUntil(s *Server, stop chan struct{}, seen *seenSet) {
	etag := ""
	for {
		select {
		case <-stop:
			return
		default:
		}
		w := request(s, http.MethodGet, docsPath, "", "A-IM", "Incremental Feed", "If-None-Match", etag)
		if v, err := value.Parse(w.Body.Bytes()); err == nil {
			for _, d := range v.Get("Documents").Items {
				seen.add(d.Get("id").Str, "a feed reader")
			}
		}
		etag = w.Header().Get("etag")
	}
}

func readItemsUntil(s *Server, stop chan struct{}, seen *seenSet) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		w := request(s, http.MethodPost, docsPath, `{"query":"SELECT TOP 50 VALUE c.id FROM c"}`,
			"x-ms-documentdb-partitionkey", `["a"]`, "x-ms-documentdb-isquery", "true")
		if v, err := value.Parse(w.Body.Bytes()); err == nil {
			for _, id := range v.Get("Documents").Items {
				seen.add(id.Str, "a query")
			}
		}
	}
}
