package local

import (
	"encoding/json"
	"net/http"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/internal/faults"
)

// failing answers the share of requests that faults asks for with the gateway's own error.
func failing(source *faults.Source, next http.Handler) http.Handler {
	if source == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !source.Fails() {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]any{ // the client has gone: nobody is left to tell
			"statusCode": http.StatusServiceUnavailable, "message": "Service Unavailable",
		})
	})
}

// throttle refuses a request in the words in which its service refuses what is past its throughput.
func (s *services) throttle(w http.ResponseWriter, r *http.Request, service auth.Service) {
	if service == auth.Cosmos {
		cosmos.WriteThrottled(w, r.Header.Get("x-ms-activity-id"))
		return
	}
	busy := &auth.StorageError{
		Status: http.StatusServiceUnavailable, Code: "ServerBusy",
		Message: "The server is busy.",
	}
	busy.Write(w, r, s.clock())
}
