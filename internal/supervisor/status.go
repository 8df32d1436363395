package supervisor

import (
	"context"
	"net/http"
	"os"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/node"
)

// Status is what `proa status -o json` prints. Others script against it: fields are added, never renamed. What is not known is null,
// never zero.
type Status struct {
	Zone      string                       `json:"zone"`
	DNS       []string                     `json:"dns"`     // host:port of the name servers
	Console   *string                      `json:"console"` // URL, null while there is none
	Plan      *proa.Plan                   `json:"plan"`
	Regions   map[proa.Region]RegionStatus `json:"regions"`
	Verified  *node.Verified               `json:"verified"`
	Processes []Process                    `json:"processes"`
	// Partitioned lists the regions that data sync is cut from.
	Partitioned []proa.Region `json:"partitioned"`
	// Faults are those that were made and are in force.
	Faults []Fault `json:"faults"`
	// Cluster is of the nodes together; null while there is but one, which has no quorum.
	Cluster *node.ClusterStatus `json:"cluster"`
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
	// LagP50MS and LagP99MS are of the changes that were applied lately.
	LagP50MS *float64 `json:"lag_p50_ms"`
	LagP99MS *float64 `json:"lag_p99_ms"`
	// Unreplicated counts acknowledged writes of this region that the other does not have; `proa diff` lists them.
	Unreplicated *int64 `json:"unreplicated"`
}

// Process is one process of the system.
type Process struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`
	RSSBytes int64  `json:"rss_bytes"`
}

// Status asks the node and the operating system. It answers within a second whatever is dead.
func (s *Supervisor) Status(ctx context.Context) Status {
	a := s.state.Addresses
	out := Status{
		Zone: s.cfg.Proa.Zone, DNS: a.nameServers(), Regions: map[proa.Region]RegionStatus{},
		Console: s.console(), Processes: s.processes(), Partitioned: []proa.Region{}, Faults: s.Faults(),
	}
	seen, err := s.nodeStatus(ctx)
	if err != nil {
		out.NodeError = err.Error()
	}
	out.Plan, out.Verified, out.Cluster = seen.Plan, seen.Verified, seen.Cluster
	for _, r := range proa.Regions() {
		region := seen.Regions[r]
		status := RegionStatus{
			Health: region.Health, Reason: region.Reason, Gateway: "http://" + a.Gateway(r),
			LagMS: region.LagMS, Backlog: region.Backlog, Unreplicated: region.Unreplicated,
			LagP50MS: region.LagP50MS, LagP99MS: region.LagP99MS,
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

// console is where the first living node's web console is, nil while all are dead.
func (s *Supervisor) console() *string {
	for i, n := range s.nodes {
		if addr := s.state.Addresses.Nodes[i].Console; n.pid() != 0 && addr != "" {
			url := "http://" + addr + "/"
			return &url
		}
	}
	return nil
}

func (s *Supervisor) nodeStatus(ctx context.Context) (node.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	state := State{Addresses: s.state.Addresses, Credentials: s.state.Credentials}
	c := &Client{Dir: s.cfg.Dir, State: state, http: http.DefaultClient}
	var n node.Status
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
	for _, n := range s.nodes {
		if pid := n.pid(); pid != 0 {
			list = append(list, Process{Name: n.name, PID: pid})
		}
	}
	for i := range list {
		list[i].RSSBytes = residentBytes(list[i].PID)
	}
	return list
}
