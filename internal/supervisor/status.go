package supervisor

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/proa-cloud/proa"
)

// Status is what `proa status -o json` prints. Others script against it: fields are added, never renamed. What is not known is null,
// never zero.
type Status struct {
	Zone      string                       `json:"zone"`
	DNS       []string                     `json:"dns"`     // host:port of the name servers
	Console   *string                      `json:"console"` // URL, null while there is none
	Plan      *proa.Plan                   `json:"plan"`
	Regions   map[proa.Region]RegionStatus `json:"regions"`
	Verified  *Verified                    `json:"verified"`
	Processes []Process                    `json:"processes"`
	// Partitioned lists the regions that data sync is cut from.
	Partitioned []proa.Region `json:"partitioned"`
	// NodeError says why the node did not answer, "" when it did.
	NodeError string `json:"node_error,omitempty"`
}

// RegionStatus is one region's part of a Status.
type RegionStatus struct {
	Health  proa.Health `json:"health"`
	Reason  string      `json:"reason"` // of the health, for people
	Gateway string      `json:"gateway"`
	PID     *int        `json:"pid"` // null while the cloud is dead
	// LagMS and Backlog are of changes captured from this region and not yet applied to the other.
	LagMS   *int64 `json:"lag_ms"`
	Backlog *int64 `json:"backlog"`
	// Unreplicated counts acknowledged writes of this region that the other does not have; `proa diff` lists them.
	Unreplicated *int64 `json:"unreplicated"`
}

// Verified is the last comparison of both sides.
type Verified struct {
	Through     time.Time `json:"through"` // both sides were equal, or differed as said, at this moment
	Keys        int64     `json:"keys"`
	Differences int64     `json:"differences"`
	InFlight    int64     `json:"in_flight"`
}

// Process is one process of the system.
type Process struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`
	RSSBytes int64  `json:"rss_bytes"`
}

// NodeStatus is the node's part, as its control API gives it.
type NodeStatus struct {
	Zone     string                     `json:"zone"`
	DNS      []string                   `json:"dns"`
	Plan     *proa.Plan                 `json:"plan"`
	Regions  map[proa.Region]NodeRegion `json:"regions"`
	Verified *Verified                  `json:"verified"`
}

// NodeRegion is what a node knows of one region.
type NodeRegion struct {
	Health       proa.Health `json:"health"`
	Reason       string      `json:"reason"`
	LagMS        *int64      `json:"lag_ms"`
	Backlog      *int64      `json:"backlog"`
	Unreplicated *int64      `json:"unreplicated"`
}

// Status asks the node and the operating system. It answers within a second whatever is dead.
func (s *Supervisor) Status(ctx context.Context) Status {
	a := s.state.Addresses
	out := Status{
		Zone: s.cfg.Proa.Zone, DNS: []string{a.DNS}, Regions: map[proa.Region]RegionStatus{},
		Processes: s.processes(), Partitioned: []proa.Region{},
	}
	node, err := s.nodeStatus(ctx)
	if err != nil {
		out.NodeError = err.Error()
	}
	out.Plan, out.Verified = node.Plan, node.Verified
	for _, r := range proa.Regions() {
		seen := node.Regions[r]
		status := RegionStatus{
			Health: seen.Health, Reason: seen.Reason, Gateway: "http://" + a.Gateway(r),
			LagMS: seen.LagMS, Backlog: seen.Backlog, Unreplicated: seen.Unreplicated,
		}
		if status.Health == "" {
			status.Health, status.Reason = proa.Unknown, "the node does not answer"
		}
		if pid := s.clouds[r].pid(); pid != 0 {
			status.PID = &pid
		}
		out.Regions[r] = status
		if s.proxies[r].IsCut() {
			out.Partitioned = append(out.Partitioned, r)
		}
	}
	return out
}

func (s *Supervisor) nodeStatus(ctx context.Context) (NodeStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	state := State{Addresses: s.state.Addresses, Credentials: s.state.Credentials}
	c := &Client{Dir: s.cfg.Dir, State: state, http: http.DefaultClient}
	var n NodeStatus
	return n, c.Node(ctx, http.MethodGet, "/v1/status", nil, &n)
}

// processes lists the supervisor, its children and the functions below the clouds.
func (s *Supervisor) processes() []Process {
	list := []Process{{Name: "supervisor", PID: os.Getpid()}}
	for _, r := range proa.Regions() {
		pid := s.clouds[r].pid()
		if pid == 0 {
			continue
		}
		list = append(list, Process{Name: s.clouds[r].name, PID: pid})
		for _, member := range groupMembers(pid) {
			list = append(list, Process{Name: "function-" + string(r), PID: member})
		}
	}
	if pid := s.node.pid(); pid != 0 {
		list = append(list, Process{Name: s.node.name, PID: pid})
	}
	for i := range list {
		list[i].RSSBytes = residentBytes(list[i].PID)
	}
	return list
}
