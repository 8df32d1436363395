package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAFloodOfAnnouncementsKeepsNoOperatorOut(t *testing.T) {
	waiting, release := make(chan struct{}), make(chan struct{})
	h := limitRequests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == announcePath {
			waiting <- struct{}{}
			<-release
		}
	}))
	ask := func(method, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return w.Code
	}
	done := make(chan int, maxRequests)
	for range maxRequests {
		go func() { done <- ask(http.MethodPost, announcePath) }()
	}
	for range maxRequests {
		select {
		case <-waiting:
		case <-time.After(10 * time.Second):
			t.Fatal("not all announcements were taken")
		}
	}
	if got := ask(http.MethodPost, announcePath); got != http.StatusServiceUnavailable {
		t.Errorf("an announcement too many: %d", got)
	}
	if got := ask(http.MethodGet, "/v1/status"); got != http.StatusOK {
		t.Errorf("an operator meanwhile: %d", got)
	}
	close(release)
	for range maxRequests {
		if got := <-done; got != http.StatusOK {
			t.Errorf("an announcement: %d", got)
		}
	}
}
