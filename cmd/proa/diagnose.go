package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/delegation"
)

// When a thing is worth a warning, and when it is urgent.
const (
	certificateWarn = 30 * 24 * time.Hour
	certificateBad  = 7 * 24 * time.Hour
	clockWarn       = 2 * time.Second
	clockBad        = 30 * time.Second
	scanWarn        = 48 * time.Hour
	// retention is how long DynamoDB keeps stream records, the shorter of both feeds.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
	retention = 24 * time.Hour
)

// diagnose judges what was gathered. It asks nobody.
func diagnose(f *facts) Diagnosis {
	d := Diagnosis{At: f.now.UTC(), Findings: []Finding{}}
	for _, look := range []func(*facts) []Finding{
		lookNode, lookQuorum, lookRegions, lookDoors, lookValidation, lookTTL, lookNames, lookParent, lookClocks, lookFeeds, lookData, lookQuotas,
		lookFiles, lookFaults,
	} {
		d.Findings = append(d.Findings, look(f)...)
	}
	for _, one := range d.Findings {
		switch one.Grade {
		case gradeWarn:
			d.Warn++
		case gradeBad:
			d.Bad++
		}
	}
	return d
}

func found(check, grade, advice, format string, args ...any) Finding {
	return Finding{Check: check, Grade: grade, Text: fmt.Sprintf(format, args...), Advice: advice}
}

func fine(check, format string, args ...any) Finding {
	return found(check, gradeOK, "", format, args...)
}

func lookNode(f *facts) []Finding {
	if f.err != nil {
		return []Finding{found("node", gradeBad, "see its log, and `proa status`; what only it knows is not looked at", "does not answer: %v", f.err)}
	}
	list := []Finding{fine("node", "answers")}
	if r := f.reload; r.Error != "" {
		list = append(list, found("proa.yaml", gradeBad, "mend the file; the node takes it by itself", "the last good one is in force: %s", r.Error))
	} else if len(r.Waiting) > 0 {
		list = append(list, found("proa.yaml", gradeWarn, "restart the node when it suits; `proa config status` lists them", "%d changes wait for a restart", len(r.Waiting)))
	} else {
		list = append(list, fine("proa.yaml", "is in force as it is on disk"))
	}
	return list
}

func lookQuorum(f *facts) []Finding {
	if f.node == nil {
		return nil
	}
	if n := len(f.cfg.Cluster.Nodes); n < 3 {
		return []Finding{found("quorum", gradeNote, "three nodes, one in each cloud and a witness, survive the loss of one: docs/OPERATIONS.md",
			"%d node decides alone", max(n, 1))}
	}
	if f.node.Cluster == nil {
		return []Finding{found("quorum", gradeBad, "see docs/OPERATIONS.md, quorum lost", "this node does not take part in the cluster")}
	}
	if f.node.Plan == nil {
		return []Finding{found("quorum", gradeBad, "see docs/OPERATIONS.md, quorum lost", "there is no plan")}
	}
	if f.node.Cluster.Leader == "" {
		return []Finding{found("quorum", gradeBad, "see docs/OPERATIONS.md, quorum lost", "%s", f.node.Cluster.Quorum)}
	}
	for i := range f.node.Cluster.Nodes {
		switch n := &f.node.Cluster.Nodes[i]; {
		case !n.Alive:
			return []Finding{found("quorum", gradeWarn, "start it again: the loss of one more node may leave no majority", "%s is not heard: %s", n.Name, f.node.Cluster.Quorum)}
		case n.Trouble != "":
			return []Finding{found("quorum", gradeWarn, "see docs/CLUSTER.md", "%s: %s", n.Name, n.Trouble)}
		}
	}
	return []Finding{fine("quorum", "%s", f.node.Cluster.Quorum)}
}

func lookRegions(f *facts) []Finding {
	var list []Finding
	if f.node == nil {
		return nil
	}
	for _, r := range proa.Regions() {
		s := f.node.Regions[r]
		if s.Health == proa.Healthy {
			list = append(list, fine("health of "+string(r), "healthy"))
			continue
		}
		advice := "`proa explain` says who saw what"
		if f.node.Plan != nil && f.node.Plan.Active != r {
			advice = "a failover would have nowhere to go; " + advice
		}
		list = append(list, found("health of "+string(r), gradeBad, advice, "%s: %s", s.Health, s.Reason))
	}
	return list
}

// lookDoors is about gateways: Host, certificate, expiry.
func lookDoors(f *facts) []Finding {
	var list []Finding
	slices.SortFunc(f.doors, func(a, b door) int { return strings.Compare(string(a.region)+a.at, string(b.region)+b.at) })
	for _, d := range f.doors {
		name := d.of("gateway")
		switch {
		case d.tlsErr != nil:
			list = append(list, found(d.of("certificate"), gradeBad,
				"give the gateway a certificate and custom domain for "+f.cfg.Zone+" before a failover needs it", "%v", d.tlsErr))
		case d.err != nil:
			list = append(list, found(name, gradeBad, "see its health above", "%v", d.err))
		case d.status == 404 || d.status == 403 || d.status == 421:
			list = append(list, found(name, gradeBad, "add "+f.cfg.Zone+" as a custom domain: a gateway takes only Hosts that it knows",
				"answers %d to Host %s", d.status, f.cfg.Zone))
		case d.status/100 != 2:
			list = append(list, found(name, gradeBad, "see the function's log", "answers %d to Host %s", d.status, f.cfg.Zone))
		default:
			list = append(list, fine(name, "takes Host %s", f.cfg.Zone))
		}
		if d.https && d.tlsErr == nil && !d.expires.IsZero() {
			list = append(list, expiry(f, d.of("certificate"), d.expires))
		}
	}
	for _, a := range f.astray {
		list = append(list, found("probes of "+string(a.region), gradeWarn,
			"have gateway.url name an address of gateway.addresses, or add a check that asks one (docs/HEALTH.md)",
			"they ask %s (%s), and users get other addresses: were those dead, nobody would see it", a.host, a.resolved[0]))
	}
	if f.metrics != nil {
		for _, c := range f.metrics.Checks {
			if c.Warning != "" {
				list = append(list, found(fmt.Sprintf("check %s of %s", c.Name, c.Region), gradeWarn, "", "%s", c.Warning))
			}
		}
	}
	if len(f.doors) > 0 && !slices.ContainsFunc(f.doors, func(d door) bool { return d.https }) {
		list = append(list, found("certificates", gradeNote, "", "neither gateway speaks HTTPS"))
	}
	return list
}

func expiry(f *facts, check string, at time.Time) Finding {
	left := at.Sub(f.now)
	advice := "renew it; both clouds renew theirs alone only while their validation records are served"
	text := fmt.Sprintf("ends in %d days, on %s", int(left.Hours()/24), at.UTC().Format(time.DateOnly))
	switch {
	case left <= 0:
		return found(check, gradeBad, advice, "has ended on %s", at.UTC().Format(time.DateOnly))
	case left < certificateBad:
		return found(check, gradeBad, advice, "%s", text)
	case left < certificateWarn:
		return found(check, gradeWarn, advice, "%s", text)
	}
	return fine(check, "%s", text)
}

// lookValidation is about the records by which both clouds check that the name is the user's, at each renewal.
func lookValidation(f *facts) []Finding {
	const check = "validation records"
	var list []Finding
	for _, a := range f.answers {
		if len(a.missing) > 0 {
			list = append(list, found(check, gradeBad, "the next renewal fails in silence: see the node's log, and `proa dns validation`",
				"%s does not serve %s", a.server, strings.Join(a.missing, ", ")))
		}
	}
	secure := false
	for _, d := range f.doors {
		secure = secure || d.https
		if d.https && !f.validates(d.region) {
			list = append(list, found(check, gradeWarn, "list it under dns.validations in proa.yaml (docs/DNS.md), or renewals fail in silence; "+
				"nothing is to do where the certificate is renewed by hand", "none for %s: %s", d.region, wantedRecord[d.region]))
		}
	}
	switch {
	case !secure:
		return append(list, found(check, gradeNote, "", "no gateway has a certificate"))
	case len(list) == 0:
		return []Finding{fine(check, "are served, for both clouds")}
	}
	return list
}

var wantedRecord = map[proa.Region]string{
	proa.AWS:   "AWS Certificate Manager's CNAME to acm-validations.aws",
	proa.Azure: "the TXT at asuid. of the custom domain",
}

// validates reports whether the zone has a record by which the cloud renews its certificate: its own kind, or ACME's.
func (f *facts) validates(r proa.Region) bool {
	for _, v := range f.records {
		own := v.Type == "CNAME" && strings.HasSuffix(strings.TrimSuffix(strings.Join(v.Values, ""), "."), ".acm-validations.aws")
		if r == proa.Azure {
			own = strings.HasPrefix(v.Name, azureName)
		}
		if own || strings.HasPrefix(v.Name, acmeName) {
			return true
		}
	}
	for _, a := range f.answers { // from a zone file
		if slices.Contains(a.served, acmeName) || r == proa.Azure && slices.Contains(a.served, azureName) {
			return true
		}
	}
	return false
}

func lookTTL(f *facts) []Finding {
	t, o := f.cfg.Traffic, f.cfg.Objectives
	detect := t.Interval.D() + t.Timeout.D() + time.Duration(t.Fall)*t.Recheck.D()
	worst := detect + t.TTL.D()
	if worst > o.RTO.D() {
		return []Finding{found("TTL and RTO", gradeBad, "shorten traffic.ttl or the probes, or promise less",
			"detection %s + TTL %s is over the RTO of %s", detect, t.TTL, o.RTO)}
	}
	list := []Finding{fine("TTL and RTO", "detection %s + TTL %s, of an RTO of %s", detect, t.TTL, o.RTO)}
	long := func(name string, ttl time.Duration) {
		if detect+ttl > o.RTO.D() {
			list = append(list, found("TTL of "+name, gradeWarn, "shorten its ttl: it is a record's or an alias's own",
				"detection %s + TTL %s is over the RTO of %s", detect, ttl, o.RTO))
		}
	}
	for _, r := range t.Records {
		long(r.Name, r.TTL.D())
	}
	for _, a := range f.cfg.DNS.Aliases {
		if dns.IsSubDomain(dns.Fqdn(f.cfg.Zone), dns.Fqdn(a.Target)) { // others do not move
			long(a.Name, a.TTL.D())
		}
	}
	if o.RTO.D() < time.Minute {
		list = append(list, found("clients", gradeNote, "`proa drill --clients floor-60s` measures them",
			"resolvers with a floor keep answers for a minute, whatever the TTL"))
	}
	return list
}

func lookNames(f *facts) []Finding {
	var list []Finding
	for _, a := range f.answers {
		name := "name server " + a.server
		switch {
		case a.err != nil:
			list = append(list, found(name, gradeBad, "it must answer whatever else is dead: see the node's log", "%v", a.err))
		case len(a.addresses) == 0:
			list = append(list, found(name, gradeBad, "give both regions gateway addresses", "answers no address for %s", f.cfg.Zone))
		default:
			list = append(list, fine(name, "answers %s, TTL %s", strings.Join(a.addresses, " "), a.ttl))
		}
	}
	if len(f.answers) == 0 {
		list = append(list, found("name servers", gradeBad, "set node.dns", "none is configured"))
	}
	return list
}

// lookParent is about what the parent zone says: without the right servers and glue there, nobody finds the zone's.
func lookParent(f *facts) []Finding {
	switch {
	case f.deaf != nil:
		return []Finding{found("delegation", gradeWarn, "`proa dns check "+f.cfg.Zone+" --server ADDRESS --parent ADDRESS` asks by hand", "the parent could not be asked: %v", f.deaf)}
	case f.parent == nil:
		return []Finding{found("delegation", gradeNote, "set dns.delegation in proa.yaml to have servers, glue and DS at the parent looked at", "nobody looks at the parent zone")}
	case len(f.parent.Findings) == 0:
		return []Finding{fine("delegation", "the parent agrees: %s", strings.Join(f.parent.Parents, ", "))}
	}
	var list []Finding
	for _, x := range f.parent.Findings {
		grade, advice := gradeWarn, "correct the NS, glue or DS records at the parent: docs/DNS.md"
		if x.Severity == delegation.Error {
			grade, advice = gradeBad, "some users cannot resolve the zone; "+advice
		}
		list = append(list, found("delegation", grade, advice, "%s says: %s", x.Server, x.Text))
	}
	return list
}

func lookClocks(f *facts) []Finding {
	var list []Finding
	for _, d := range f.doors {
		if d.err != nil {
			continue
		}
		list = append(list, clockFinding(d.of("clock"), d.skew, clockWarn))
	}
	if f.clocks == nil {
		return list
	}
	list = append(list, clockFinding("clock of "+f.clocks.Node, f.nodeSkew, clockWarn))
	for _, c := range f.clocks.Others {
		within := time.Duration(c.WithinMS * float64(time.Millisecond))
		list = append(list, clockFinding("clock of "+c.Node, f.nodeSkew+time.Duration(c.OffsetMS*float64(time.Millisecond)), clockWarn+within))
	}
	return list
}

// clockFinding judges a clock against this machine's. Up to warn it may be as far as the asking took.
func clockFinding(check string, skew, warn time.Duration) Finding {
	advice := "set the machine's clock (NTP); versions stay ordered by what writers saw, but concurrent writes are judged by clocks"
	switch {
	case skew.Abs() >= max(clockBad, warn):
		return found(check, gradeBad, advice, "%s off", skew.Round(time.Second))
	case skew.Abs() > warn:
		return found(check, gradeWarn, advice, "%s off", skew.Round(time.Second))
	}
	return fine(check, "within %s", clockWarn)
}

// lookFeeds is about change feeds: can they be read, in which mode, and how far from losing records.
func lookFeeds(f *facts) []Finding {
	if f.data == nil {
		return nil
	}
	var list []Finding
	for i := range f.data.Directions {
		d := &f.data.Directions[i]
		name := "feed of " + string(d.From)
		switch {
		case !d.Known && d.Error != "":
			list = append(list, found(name, gradeBad, "see that the identity may read the stream or feed (`proa deploy` writes the policies) and write the other side", "cannot be read: %s", d.Error))
		case !d.Known:
			list = append(list, found(name, gradeWarn, "", "has not been read to its end yet"))
		case d.Lag > retention*3/4:
			list = append(list, found(name, gradeBad, "replicate faster now: `proa cost`, quotas; past it a full comparison repairs", "%s behind, of %s kept", d.Lag.Round(time.Second), retention))
		case d.Lag > retention/4:
			list = append(list, found(name, gradeWarn, "find what is slow: `proa status`, `proa cost`", "%s behind, of %s kept", d.Lag.Round(time.Second), retention))
		default:
			list = append(list, fine(name, "is read, %s behind, of %s kept", d.Lag.Round(time.Millisecond), retention))
		}
		if d.Known && d.Error != "" {
			list = append(list, found("writes to "+string(d.To), gradeWarn, "see permissions and throughput there", "%s", d.Error))
		}
		if d.Quarantined > 0 {
			list = append(list, found("quarantine from "+string(d.From), gradeWarn, "`proa quarantine` says why", "%d keys cannot cross", d.Quarantined))
		}
	}
	for _, w := range f.data.Warnings {
		list = append(list, found("data sync", gradeWarn, "docs/DATASYNC.md", "%s", w))
	}
	if f.node == nil {
		return list
	}
	for _, w := range f.node.Warnings { // the node's other watches: capacity
		if !slices.Contains(f.data.Warnings, w) && !strings.HasPrefix(w, "delegation ") {
			list = append(list, found("node", gradeWarn, "docs/OPERATIONS.md", "%s", w))
		}
	}
	return list
}

func lookData(f *facts) []Finding {
	if f.node == nil {
		return nil
	}
	v := f.node.Verified
	switch {
	case v == nil:
		return []Finding{found("comparison", gradeWarn, "`proa verify --deep` reads both sides", "both sides have not been compared yet")}
	case v.Differences > 0:
		return []Finding{found("comparison", gradeBad, "`proa verify --deep` names them, `--repair` repairs them", "%d of %d keys differ", v.Differences, v.Keys)}
	case f.now.Sub(v.Through) > scanWarn:
		return []Finding{found("comparison", gradeWarn, "`proa verify`", "the last is of %s", v.Through.UTC().Format(time.RFC3339))}
	}
	return []Finding{fine("comparison", "equal, %d keys", v.Keys)}
}

func lookQuotas(f *facts) []Finding {
	if f.data == nil {
		return nil
	}
	var list []Finding
	if spent := f.data.Cost.Spent; spent != "" {
		list = append(list, found("budget", gradeWarn, "raise datasync.budget, or find what writes so much: `proa cost`", "%s is spent", spent))
	} else {
		list = append(list, fine("budget", "nothing is spent"))
	}
	if len(f.cfg.Capacity) == 0 {
		list = append(list, found("capacity", gradeNote, "capacity hooks in proa.yaml ask before a failover needs it",
			"nobody has asked whether the other region could carry all traffic"))
	}
	return list
}

func lookFiles(f *facts) []Finding {
	var list []Finding
	for _, l := range f.secrets {
		list = append(list, found("credentials", gradeBad, "chmod 600 "+l.path, "%s can be read by others (mode %04o)", l.path, l.mode))
	}
	if d := f.disk; d != nil && d.total > 0 {
		share := float64(d.free) / float64(d.total)
		text := fmt.Sprintf("%.1f GiB free, %.0f %%", float64(d.free)/(1<<30), share*100)
		switch {
		case share < 0.03:
			list = append(list, found("disk", gradeBad, "make room: acknowledged writes need it", "%s", text))
		case share < 0.1:
			list = append(list, found("disk", gradeWarn, "make room; datasync.log_mb and journal_mb bound what is kept", "%s", text))
		default:
			list = append(list, fine("disk", "%s", text))
		}
	}
	return list
}

func lookFaults(f *facts) []Finding {
	var list []Finding
	for _, x := range f.status.Faults {
		list = append(list, found("fault", gradeWarn, "`proa heal "+healOf(x)+"` ends it", "%s on %s: %s", x.Kind, x.Target, x.Text))
	}
	return list
}
