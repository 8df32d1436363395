package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic/cluster"
	"github.com/proa-cloud/proa/traffic/delegation"
)

// well is a system of which nothing is to be said.
func well() *facts {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return &facts{
		now: now, cfg: config.Default(),
		node: &node.Status{
			Plan:     &proa.Plan{Active: proa.AWS},
			Regions:  map[proa.Region]node.RegionStatus{proa.AWS: {Health: proa.Healthy}, proa.Azure: {Health: proa.Healthy}},
			Verified: &node.Verified{Through: now, Keys: 7},
		},
		metrics: &node.Metrics{}, reload: &node.ReloadStatus{},
		data: &datasync.Status{Directions: [2]datasync.Direction{{From: proa.AWS, To: proa.Azure, Known: true}, {From: proa.Azure, To: proa.AWS, Known: true}}},
		doors: []door{
			{region: proa.AWS, https: true, status: 200, expires: now.Add(80 * 24 * time.Hour)},
			{region: proa.Azure, https: true, status: 204, expires: now.Add(80 * 24 * time.Hour)},
		},
		answers: []answer{{server: "192.0.2.1:53", addresses: []string{"203.0.113.1"}, ttl: 2 * time.Second}},
		records: []node.Validation{
			{Name: "_x1.orders.example.com.", Type: "CNAME", Values: []string{"_y2.acm-validations.aws."}},
			{Name: "asuid.orders.example.com.", Type: "TXT", Values: []string{"6D3A"}},
		},
		clocks: &node.ClocksReply{Node: "node-1", Others: []node.ClockSkew{{Node: "node-2"}, {Node: "node-3"}}},
		parent: &delegation.Report{Parents: []string{"192.0.2.53:53"}},
		disk:   &disk{free: 50, total: 100},
	}
}

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	for _, f := range diagnose(well()).Findings {
		if f.Grade != gradeOK && f.Grade != gradeNote {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorFindsEachTrapAndSaysWhatToDo(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		spoil              func(*facts)
		check, grade, text string
	}{
		"dead node": {func(f *facts) {
			f.err = errors.New("refused")
			f.node, f.data, f.metrics, f.reload = nil, nil, nil, nil
		}, "node", gradeBad, "refused"},
		"refused file":        {func(f *facts) { f.reload.Error = "proa.yaml:1:1: x" }, "proa.yaml", gradeBad, "the last good one"},
		"waiting for a start": {func(f *facts) { f.reload.Waiting = []config.Change{{}} }, "proa.yaml", gradeWarn, "1 changes"},
		"no leader": {func(f *facts) {
			f.cfg.Cluster.Nodes = make([]config.ClusterNode, 3)
			f.node.Cluster = &node.ClusterStatus{Quorum: "no quorum: 1 of 3 nodes"}
		}, "quorum", gradeBad, "1 of 3"},
		"long record": {func(f *facts) {
			f.cfg.Traffic.Records = []config.Record{{Name: "api.example.com", TTL: config.Duration(time.Hour)}}
		}, "TTL of api.example.com", gradeWarn, "over the RTO"},
		"long alias": {func(f *facts) {
			f.cfg.DNS.Aliases = []config.Alias{{Name: "example.com", Target: f.cfg.Zone, TTL: config.Duration(time.Hour)}}
		}, "TTL of example.com", gradeWarn, "over the RTO"},
		"dead other node": {func(f *facts) {
			f.cfg.Cluster.Nodes = make([]config.ClusterNode, 3)
			f.node.Cluster = &node.ClusterStatus{Leader: "node-1", Quorum: "2 of 3", Nodes: []cluster.NodeView{{Name: "node-1", Alive: true}, {Name: "node-3"}}}
		}, "quorum", gradeWarn, "node-3 is not heard"},
		"troubled node": {func(f *facts) {
			f.cfg.Cluster.Nodes = make([]config.ClusterNode, 3)
			f.node.Cluster = &node.ClusterStatus{Leader: "node-1", Nodes: []cluster.NodeView{{Name: "node-2", Alive: true, Trouble: "its certificate ends tomorrow"}}}
		}, "quorum", gradeWarn, "ends tomorrow"},
		"sick region":  {func(f *facts) { f.node.Regions[proa.Azure] = node.RegionStatus{Health: proa.Unhealthy, Reason: "503"} }, "health of azure", gradeBad, "503"},
		"expiring":     {func(f *facts) { f.doors[1].expires = f.now.Add(20 * day) }, "certificate of azure", gradeWarn, "20 days"},
		"expiring now": {func(f *facts) { f.doors[0].expires = f.now.Add(3 * day) }, "certificate of aws", gradeBad, "3 days"},
		"expired":      {func(f *facts) { f.doors[0].expires = f.now.Add(-day) }, "certificate of aws", gradeBad, "has ended"},
		"wrong name":   {func(f *facts) { f.doors[1].tlsErr = errors.New("valid for x, not for y") }, "certificate of azure", gradeBad, "not for y"},
		"unknown Host": {func(f *facts) { f.doors[1].status = 404 }, "gateway of azure", gradeBad, "answers 404 to Host"},
		"failing door": {func(f *facts) { f.doors[0].status = 502 }, "gateway of aws", gradeBad, "502"},
		"silent address": {
			func(f *facts) {
				f.doors = append(f.doors, door{region: proa.AWS, at: "192.0.2.9", err: errors.New("refused")})
			},
			"gateway of aws at 192.0.2.9", gradeBad, "refused",
		},
		"probes elsewhere": {
			func(f *facts) {
				f.astray = []aim{{region: proa.AWS, host: "gw.example", resolved: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}}
			},
			"probes of aws", gradeWarn, "192.0.2.9",
		},
		"silent door":      {func(f *facts) { f.doors[0].err = errors.New("time-out") }, "gateway of aws", gradeBad, "time-out"},
		"no CNAME of ACM":  {func(f *facts) { f.records = f.records[1:] }, "validation records", gradeWarn, "none for aws: AWS Certificate Manager's CNAME"},
		"no asuid":         {func(f *facts) { f.records = f.records[:1] }, "validation records", gradeWarn, "none for azure: the TXT at asuid."},
		"unserved":         {func(f *facts) { f.answers[0].missing = []string{"asuid.orders.example.com. TXT"} }, "validation records", gradeBad, "does not serve asuid."},
		"a node's clock":   {func(f *facts) { f.clocks.Others[1].OffsetMS = -5000 }, "clock of node-3", gradeWarn, "-5s"},
		"the node's clock": {func(f *facts) { f.nodeSkew = time.Minute }, "clock of node-1", gradeBad, "1m0s"},
		"long TTL":         {func(f *facts) { f.cfg.Traffic.TTL = config.Duration(time.Minute) }, "TTL and RTO", gradeBad, "over the RTO"},
		"deaf server":      {func(f *facts) { f.answers[0].err = errors.New("time-out") }, "name server 192.0.2.1:53", gradeBad, "time-out"},
		"empty answer":     {func(f *facts) { f.answers[0].addresses = nil }, "name server 192.0.2.1:53", gradeBad, "no address"},
		"no server":        {func(f *facts) { f.answers = nil }, "name servers", gradeBad, "none is configured"},
		"lame parent": {func(f *facts) {
			f.parent = &delegation.Report{Findings: []delegation.Finding{{Severity: delegation.Error, Server: "192.0.2.53:53", Text: "no glue for ns1"}}}
		}, "delegation", gradeBad, "no glue for ns1"},
		"old parent": {func(f *facts) {
			f.parent = &delegation.Report{Findings: []delegation.Finding{{Severity: delegation.Warning, Server: "192.0.2.53:53", Text: "TTL differs"}}}
		}, "delegation", gradeWarn, "TTL differs"},
		"deaf parent":      {func(f *facts) { f.deaf = errors.New("time-out") }, "delegation", gradeWarn, "time-out"},
		"small capacity":   {func(f *facts) { f.node.Warnings = []string{"azure could carry 40 % of all traffic"} }, "node", gradeWarn, "40 %"},
		"clock off":        {func(f *facts) { f.doors[0].skew = -10 * time.Second }, "clock of aws", gradeWarn, "-10s"},
		"clock far off":    {func(f *facts) { f.doors[0].skew = time.Minute }, "clock of aws", gradeBad, "1m0s"},
		"unreadable feed":  {func(f *facts) { f.data.Directions[0].Known, f.data.Directions[0].Error = false, "AccessDenied" }, "feed of aws", gradeBad, "AccessDenied"},
		"feed far behind":  {func(f *facts) { f.data.Directions[1].Lag = 20 * time.Hour }, "feed of azure", gradeBad, "of 24h0m0s kept"},
		"feed behind":      {func(f *facts) { f.data.Directions[1].Lag = 7 * time.Hour }, "feed of azure", gradeWarn, "7h0m0s behind"},
		"refused writes":   {func(f *facts) { f.data.Directions[0].Error = "403" }, "writes to azure", gradeWarn, "403"},
		"quarantine":       {func(f *facts) { f.data.Directions[0].Quarantined = 4 }, "quarantine from aws", gradeWarn, "4 keys"},
		"feed mode":        {func(f *facts) { f.data.Warnings = []string{"latest-version feed hides deletes"} }, "data sync", gradeWarn, "hides deletes"},
		"never compared":   {func(f *facts) { f.node.Verified = nil }, "comparison", gradeWarn, "not been compared"},
		"different":        {func(f *facts) { f.node.Verified.Differences = 2 }, "comparison", gradeBad, "2 of 7"},
		"long ago":         {func(f *facts) { f.node.Verified.Through = f.now.Add(-5 * day) }, "comparison", gradeWarn, "2026-11-19"},
		"spent budget":     {func(f *facts) { f.data.Cost.Spent = "writes" }, "budget", gradeWarn, "writes is spent"},
		"open credentials": {func(f *facts) { f.secrets = []looseFile{{"d/supervisor.json", 0o644}} }, "credentials", gradeBad, "0644"},
		"full disk":        {func(f *facts) { f.disk.free = 1 }, "disk", gradeBad, "1 %"},
		"filling disk":     {func(f *facts) { f.disk.free = 8 }, "disk", gradeWarn, "8 %"},
		"a fault": {func(f *facts) {
			f.status.Faults = []supervisor.Fault{{Kind: supervisor.KindSkew, Target: "aws", Text: "clock 30s ahead"}}
		}, "fault", gradeWarn, "clock 30s ahead"},
	} {
		f := well()
		c.spoil(f)
		d := diagnose(f)
		ok := false
		for _, one := range d.Findings {
			if one.Grade != gradeOK && one.Grade != gradeNote && one.Advice == "" {
				t.Errorf("%s: nothing says what to do: %+v", name, one)
			}
			if one.Check == c.check && one.Grade == c.grade && strings.Contains(one.Text, c.text) {
				ok = true
			}
		}
		if !ok || d.Warn+d.Bad == 0 {
			t.Errorf("%s: want %s %q %q in %+v", name, c.grade, c.check, c.text, d.Findings)
		}
	}
}

func TestAGatewayWithAnotherNamesCertificateIsFound(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake fails, as it must
	s.StartTLS()
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := knockAt(t.Context(), "orders.example.org", proa.Azure, u, config.Gateway{Health: "/healthz"}, "127.0.0.1")
	if d.tlsErr == nil || d.expires.IsZero() || d.status != 0 {
		t.Errorf("%+v", d)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "orders.example.org:") || r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer plain.Close()
	if u, err = url.Parse(plain.URL); err != nil {
		t.Fatal(err)
	}
	d = knockAt(t.Context(), "orders.example.org", proa.AWS, u, config.Gateway{Health: "/healthz"}, "127.0.0.1")
	if d.status != 200 || d.skew.Abs() > 2*time.Second || d.err != nil {
		t.Errorf("%+v", d)
	}
}

func TestEveryAddressIsKnockedAtAndStrayProbesAreFound(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var c config.Config
	c.Zone = "orders.example.org"
	c.Regions.AWS.Gateway = config.Gateway{URL: s.URL, Addresses: []string{"127.0.0.1", "127.0.0.9"}, Health: "/"}
	c.Regions.Azure.Gateway = config.Gateway{URL: "http://localhost:" + u.Port(), Addresses: []string{"192.0.2.1"}, Health: "/"}
	doors := map[string]door{}
	ctx, cancel := context.WithTimeout(t.Context(), lookTimeout/4)
	defer cancel() // nothing answers at 192.0.2.1
	for _, d := range knock(ctx, c) {
		doors[d.of("gateway")] = d
	}
	if d := doors["gateway of aws at 127.0.0.1"]; d.status != 200 {
		t.Errorf("%+v", d)
	}
	if d := doors["gateway of aws at 127.0.0.9"]; d.err == nil {
		t.Errorf("nothing listens there: %+v", d)
	}
	if aims := astray(t.Context(), c); len(aims) != 1 || aims[0].region != proa.Azure || aims[0].host != "localhost" {
		t.Errorf("%+v", aims)
	}
}
