package supervisor

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
)

// TestCallersAreToldWhatIsWrong is about what a command says when the system is another one, or gone.
func TestCallersAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"missing or wrong token"}`, http.StatusUnauthorized)
	}))
	address := strings.TrimPrefix(s.URL, "http://")
	c := Remote(address, "old")
	c.Dir, c.State.Addresses.Control = "d", address
	_, err := c.Status(t.Context())
	for _, err := range []error{err, c.Node(t.Context(), http.MethodGet, "/v1/status", nil, nil)} {
		if err == nil || !strings.Contains(err.Error(), "d/supervisor.json is of another system") {
			t.Errorf("a wrong token: %v", err)
		}
	}
	if err := Remote(address, "old").Node(t.Context(), http.MethodGet, "/v1/status", nil, nil); err == nil || !strings.Contains(err.Error(), "node.control_token") {
		t.Errorf("a wrong token in proa.yaml: %v", err)
	}
	s.Close()
	_, err = c.Status(t.Context())
	for _, err := range []error{err, c.Node(t.Context(), http.MethodGet, "/v1/status", nil, nil)} {
		if !errors.Is(err, proa.ErrUnavailable) || !strings.Contains(err.Error(), "`proa up` does not run there") || strings.Contains(err.Error(), "\n") {
			t.Errorf("nothing runs: %v", err)
		}
	}
}
