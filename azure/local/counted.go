package local

import (
	"net/http"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// counted is the gateway with its users' requests counted and followed.
func (s *services) counted() http.Handler {
	return s.telemetry.Handler(telemetry.FailoverGateway, failing(s.faults, s.gateway))
}

// backend is a function app with the gateway's calls to it counted.
func (s *services) backend(name string) http.Handler {
	return s.telemetry.Handler(telemetry.GatewayFunctions, s.functions.Handler(name))
}

// boxOf names the picture's box of a service, "" where it has none.
func boxOf(service auth.Service) telemetry.Box {
	return map[auth.Service]telemetry.Box{
		auth.Cosmos: telemetry.Cosmos, auth.Blob: telemetry.Blob, auth.Monitor: telemetry.Monitor,
	}[service]
}

// serving is what answers a verified request to a service.
func (s *services) serving(service auth.Service) http.Handler {
	if service != auth.Monitor && s.faults.Throttles() {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.throttle(w, r, service) })
	}
	switch service {
	case auth.Cosmos:
		return s.cosmos
	case auth.Blob:
		return s.blob
	case auth.Queue:
		return s.queue
	case auth.Monitor:
		return s.monitor
	}
	return http.NotFoundHandler()
}
