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

	// Owner names the node that runs data sync, "" while none has been named: the only one that reads feeds and writes to the regions
	// on data sync's behalf.
	Owner string `json:"owner,omitempty"`
	// Epoch counts the owners, from 1: it rises with every change of Owner, also back to a former one, and never falls. Each region's
	// sidecar table refuses what carries a lower one. 0 while there has been no owner.
	Epoch uint64 `json:"epoch,omitempty"`

	// Share is the percentage of clients that a gradual failback sends to the other region already, 0
	// to 99. The rest goes to Active.
	Share int `json:"share,omitempty"`
	// Drain asks for the shortest TTLs, since a planned switch is near.
	Drain bool `json:"drain,omitempty"`
	// Down are the regions that get no clients of policies which use several regions at once: "",
	// "aws", "azure" or "aws,azure".
	Down string `json:"down,omitempty"`
}

// IsDown reports whether a region is among those that are down.
func (p Plan) IsDown(r Region) bool { return p.Down == string(r) || p.Down == "aws,azure" }
