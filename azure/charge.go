package azure

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Meter adds up the request units that Cosmos DB says it charged, over every client whose Config
// names it. It is safe for concurrent use.
type Meter struct{ milli atomic.Int64 }

// RequestUnits is the sum so far.
func (m *Meter) RequestUnits() float64 { return float64(m.milli.Load()) / 1000 }

// chargePolicy reads each answer's x-ms-request-charge, refused and throttled ones included.
type chargePolicy struct{ meter *Meter }

func (p chargePolicy) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	if resp == nil {
		return resp, err
	}
	if units, parse := strconv.ParseFloat(resp.Header.Get("X-Ms-Request-Charge"), 64); parse == nil {
		p.meter.milli.Add(int64(units * 1000))
	}
	return resp, err
}
