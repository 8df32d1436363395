package node

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/hlc"
)

// Two owners have written one conflict down: it is shown and counted once, under its first number.
func TestAConflictThatTwoOwnersWroteDownCountsOnce(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	version := func(at hlc.Timestamp, region proa.Region) proa.Version {
		return proa.Version{Time: at, Region: region}
	}
	a, b, c := version(1, proa.AWS), version(2, proa.Azure), version(3, proa.AWS)
	replay := func(id uint64, second int, winner, loser proa.Version, same bool) datasync.Replay {
		return datasync.Replay{ID: id, Table: "orders", Time: at(second), Winner: winner, Loser: loser, Same: same}
	}
	reply := ReplayReply{Replayed: newest([]datasync.Replay{
		replay(201, 2, b, a, false), replay(101, 9, c, b, true),
		replay(103, 1, b, a, false), replay(301, 9, proa.Version{}, b, false), replay(302, 9, proa.Version{}, b, false),
	}, func(r *datasync.Replay) (time.Time, string) {
		return r.Time, identity(r.Table, r.Key, "", "", r.Winner, r.Loser)
	})}
	reply.count()
	var ids []uint64
	for _, r := range reply.Replayed {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]uint64{101, 301, 302, 103}, ids); diff != "" {
		t.Error(diff)
	}
	if reply.Conflicts != 4 || reply.Different != 3 {
		t.Errorf("%d conflicts, %d different", reply.Conflicts, reply.Different)
	}
}
