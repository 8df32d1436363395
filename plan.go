package proa

import "time"

// Health is what is known of a region's ability to serve.
type Health string

// The healths. Unknown is not unhealthy: nothing has been measured yet, or the measurer distrusts itself.
const (
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
	Unknown   Health = "unknown"
)

// Verdict is one vantage point's judgement of one region.
type Verdict struct {
	Region Region    `json:"region"`
	Health Health    `json:"health"`
	Reason string    `json:"reason"` // what was seen, for people
	Since  time.Time `json:"since"`  // when the health last changed
	By     string    `json:"by"`     // the vantage point's name
}

// Plan says where traffic goes. A plan replaces another only with a higher version.
type Plan struct {
	Version uint64    `json:"version"`
	Active  Region    `json:"active"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"` // when Active last changed
}
