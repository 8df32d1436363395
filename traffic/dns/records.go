package dns

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// Records returns a zone's records as they are served, in canonical order, the SOA first. Those of
// a signed zone come with their signatures and with a chain of NSEC records, which is what a file
// or a secondary needs: it cannot make denials by itself. It fails with proa.ErrNotFound for a zone
// that is not served, and with proa.ErrUnsupported for one whose records were not kept.
func (s *Snapshot) Records(origin string) ([]mdns.RR, error) {
	n, err := parseName(origin)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.base.zones, func(z *Zone) bool { return z.apex == n })
	switch {
	case i < 0:
		return nil, &proa.Error{Op: "records of zone " + origin, Err: proa.ErrNotFound}
	case s.base.zones[i].lean:
		return nil, &proa.Error{Op: "records of zone " + origin, Err: proa.ErrUnsupported}
	}
	w := &zoneWriter{snapshot: s, view: &s.views[i], zone: i}
	return w.records()
}

// zoneWriter lists one zone's records.
type zoneWriter struct {
	snapshot *Snapshot
	view     *view
	zone     int
	list     []mdns.RR
}

func (w *zoneWriter) records() ([]mdns.RR, error) {
	owners := w.owners()
	names := make([]name, 0, len(owners))
	for n := range owners {
		names = append(names, n)
	}
	slices.SortFunc(names, canonicalOrder)
	for i, n := range names {
		next := names[(i+1)%len(names)]
		for j := i + 1; w.below(next) && j < len(names); j++ {
			next = names[(j+1)%len(names)]
		}
		if err := w.owner(n, owners[n], next); err != nil {
			return nil, err
		}
	}
	soa := slices.IndexFunc(w.list, func(rr mdns.RR) bool { return rr.Header().Rrtype == mdns.TypeSOA })
	w.list[0], w.list[soa] = w.list[soa], w.list[0]
	return w.list, nil
}

// owners are the names that have sets, with what is live and put over them.
func (w *zoneWriter) owners() map[name]*owner {
	owners := map[name]*owner{}
	for n, o := range w.view.zone.owners {
		if home := w.snapshot.base.zoneOf(n); home != w.zone && n != w.snapshot.base.zones[home].apex {
			continue // a child zone that is served too
		}
		if o = w.view.owner(n); len(o.sets) > 0 {
			owners[n] = o
		}
	}
	for _, o := range w.snapshot.overs {
		if o.zone == w.zone && len(o.sets) > 0 {
			owners[o.name] = &owner{sets: o.sets}
		}
	}
	return owners
}

// below reports glue: a name under a delegation.
func (w *zoneWriter) below(n name) bool {
	cut := w.view.zone.cutAbove(n)
	return cut != "" && cut != n
}

// owner adds one name's records. next is the authoritative name that follows it.
func (w *zoneWriter) owner(n name, o *owner, next name) error {
	cut, below := w.view.zone.cutAbove(n) == n, w.below(n)
	var kinds []uint16
	for i := range o.sets {
		set := o.sets[i]
		if set.kind == mdns.TypeSOA { // whose serial moves
			set = *w.view.owner(n).set(mdns.TypeSOA)
		}
		signed := !below && (!cut || set.kind == mdns.TypeDS)
		if err := w.set(n, &set, signed); err != nil {
			return err
		}
		if !cut || set.kind == mdns.TypeDS || set.kind == mdns.TypeNS {
			kinds = append(kinds, set.kind)
		}
	}
	if w.view.sign == nil || below {
		return nil
	}
	return w.set(n, &rrset{
		kind: mdns.TypeNSEC, ttl: negativeTTL(w.view.owner(w.view.zone.apex).set(mdns.TypeSOA)),
		data: []string{dnssec.Next(string(next), append(kinds, mdns.TypeRRSIG, mdns.TypeNSEC))},
	}, true)
}

func (w *zoneWriter) set(n name, set *rrset, signed bool) error {
	list, err := recordsOf(n.String(), set)
	if err != nil {
		return err
	}
	w.list = append(w.list, list...)
	if !signed || w.view.sign == nil {
		return nil
	}
	sigs, err := w.view.sign.signatures(n, set)
	if err != nil {
		return err
	}
	list, err = recordsOf(n.String(), sigs)
	w.list = append(w.list, list...)
	return err
}

// canonicalOrder compares names label by label from the root (RFC 4034 section 6.1).
func canonicalOrder(a, b name) int {
	x, y := a.split(), b.split()
	for i := 1; i <= min(len(x), len(y)); i++ {
		if c := strings.Compare(x[len(x)-i], y[len(y)-i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// split returns the labels without the root's.
func (n name) split() []string {
	return slices.Collect(iter.Seq[string](func(yield func(string) bool) {
		for ; len(n) > 1; n = n.parent() {
			if !yield(string(n[1 : 1+n[0]])) {
				return
			}
		}
	}))
}
