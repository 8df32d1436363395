package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// configured are the names of this node's configuration, sorted.
func (c *Cluster) configured() []string {
	var list []string
	for _, n := range c.cfg.Nodes {
		list = append(list, n.Name)
	}
	return slices.Sorted(slices.Values(list))
}

// leaving names a member that this node is not configured with, and says why it cannot be taken out
// yet: all configured nodes must be members, be heard and have the same list, so that the majority
// which counts from then on is there and is theirs.
func (c *Cluster) leaving(r Record) (name, why string) {
	names := c.configured()
	for _, member := range slices.Sorted(maps.Keys(r.Members)) {
		if !slices.Contains(names, member) {
			name = member
			break
		}
	}
	if name == "" {
		return "", ""
	}
	for _, other := range names {
		if _, peer := c.peers[other]; !peer {
			continue // this node
		}
		b, ago, ok := c.Heard(other)
		switch {
		case !ok || ago > lostAfter:
			return name, other + " is not heard"
		case b.ID != r.Members[other]:
			return name, other + " is no member yet"
		case !slices.Equal(b.Nodes, names):
			return name, fmt.Sprintf("%s is configured with %s", other, strings.Join(b.Nodes, ", "))
		}
	}
	return name, ""
}

// retire takes out a member that is not configured any more.
func (k *core) retire(now time.Time) {
	if now.Sub(k.joined) < joinPause || len(k.conf.GetVotersOutgoing()) > 0 {
		return
	}
	name, why := k.c.leaving(k.record)
	if name == "" || why != "" {
		return
	}
	k.joined = now
	id, kind := k.record.Members[name], raftpb.ConfChangeRemoveNode
	context, err := json.Marshal(member{Name: name, Gone: id, At: now.UTC(), By: k.c.cfg.Self})
	if err == nil {
		err = k.raft.ProposeConfChange(&raftpb.ConfChangeV2{
			Changes: []*raftpb.ConfChangeSingle{{Type: &kind, NodeId: &id}}, Context: context,
		})
	}
	if err != nil {
		k.c.cfg.Logger.Warn("member not taken out", "member", name, "err", err)
	}
}
