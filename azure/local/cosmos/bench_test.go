package cosmos

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkDurableUpserts8 measures fsynced upserts of 1 KB by 8 workers, without the network: what
// the store and the protocol cost.
func BenchmarkDurableUpserts8(b *testing.B) {
	s, err := New(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.EnsureDatabase("db"); err != nil {
		b.Fatal(err)
	}
	if err := s.EnsureContainer("db", ContainerSpec{
		ID:                "items",
		PartitionKeyPaths: []string{"/pk"},
	}); err != nil {
		b.Fatal(err)
	}
	pad := strings.Repeat("x", 900)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 8 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				body := fmt.Sprintf(`{"id":"%d","pk":"%d","pad":%q}`, i%5000, i%100, pad)
				r := httptest.NewRequest(http.MethodPost, "/dbs/db/colls/items/docs", strings.NewReader(body))
				r.Header.Set("x-ms-documentdb-partitionkey", fmt.Sprintf(`["%d"]`, i%100))
				r.Header.Set("x-ms-documentdb-is-upsert", "True")
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code/100 != 2 {
					b.Errorf("upsert: %d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "upserts/s")
}

// BenchmarkPointReads8 measures reads of 1 KB by 8 workers, without the network.
func BenchmarkPointReads8(b *testing.B) {
	s, err := New(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	_ = s.EnsureDatabase("db")
	_ = s.EnsureContainer("db", ContainerSpec{ID: "items", PartitionKeyPaths: []string{"/pk"}})
	do := func(method, path, body string) int {
		r := httptest.NewRequest(method, "/dbs/db/colls/items/docs"+path, strings.NewReader(body))
		r.Header.Set("x-ms-documentdb-partitionkey", `["a"]`)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	for i := range 500 {
		if do(http.MethodPost, "", fmt.Sprintf(`{"id":"%d","pk":"a","pad":%q}`, i, strings.Repeat("x",
			900))) != http.StatusCreated {
			b.Fatal("create failed")
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if do(http.MethodGet, fmt.Sprint("/", i%500), "") != http.StatusOK {
					b.Error("read failed")
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}
