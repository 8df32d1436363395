package local

import (
	"net/http"

	"github.com/proa-cloud/proa/aws/local/sigv4"
	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/faults"
)

// failing answers the share of requests that faults asks for with the gateway's own error.
func failing(source *faults.Source, next http.Handler) http.Handler {
	if source == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if source.Fails() {
			wire.WriteJSON(w, "application/json", http.StatusServiceUnavailable,
				map[string]string{"message": "Service Unavailable"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isData reports whether the service holds data, which throttling is about.
func isData(service string) bool { return service == "dynamodb" || service == "s3" }

// throttle refuses a request in the words in which its service refuses what is past its throughput.
func throttle(w http.ResponseWriter, r *http.Request, service string) {
	if service == "s3" {
		writeS3Busy(w)
		return
	}
	writeRefusal(w, r, sigv4.ProtocolOf(service), wire.Errorf(http.StatusBadRequest,
		"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. "+
			"Consider increasing your provisioning level with the UpdateTable API."))
}
