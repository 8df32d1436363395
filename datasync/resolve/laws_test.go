package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// A local write comes after all that its writer saw and after its region's last one of the key; no stamp
// takes it further from its event's second than the skew bound does.
func TestVersionsRiseAndStayWithinTheSkewBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		began := time.Unix(1_700_000_000, 0)
		at := func(name string) hlc.Timestamp {
			ms := rapid.Int64Range(-20*60_000, 20*60_000).Draw(t, name)
			return hlc.At(began.Add(time.Duration(ms) * time.Millisecond))
		}
		m := machine{Rules: DefaultRules(schema), s: &State{}, now: began}
		sd := &m.s.Sides[0]
		sd.LastAssigned = at("last")
		saw := proa.Version{Time: at("saw"), Region: proa.Azure}
		stamp := proa.Version{Time: at("stamp"), Region: proa.AWS}
		w := write{region: proa.AWS, event: began, saw: []proa.Version{saw}}
		if rapid.Bool().Draw(t, "stamped") {
			w.stamp = &stamp
		}
		v := m.assign(sd, &w)
		floor := max(sd.LastAssigned, saw.Time)
		if v.Time <= floor || v.Compare(saw) <= 0 {
			t.Fatalf("%s is not after %s", v.Time, floor)
		}
		low, high := hlc.At(began.Add(-m.MaxSkew)), hlc.At(began.Add(time.Second+m.MaxSkew))
		if v.Time < low || v.Time > max(high, floor.Next()) {
			t.Fatalf("%s is outside %s to %s", v.Time, low, high)
		}
	})
}

// Same state, same input, same outputs, and a clone shares nothing that a step changes.
func TestStepIsAFunctionOfItsInputs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tables := []string{"lww", "prefer: aws", "merge", "counter", "set", "manual"}
		b := newBench(t, rapid.SampledFrom(tables).Draw(r, "policy"), nil)
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			side := proa.Regions()[rapid.IntRange(0, 1).Draw(r, "side")]
			if rapid.Bool().Draw(r, "put") {
				b.put(side, text(rapid.StringN(1, 3, 3).Draw(r, "text")))
			}
			var in Input = Dispatch{Side: side, Fresh: b.now}
			if u := b.unread[Index(side)]; len(u) > 0 {
				in, b.unread[Index(side)] = Captured{Change: u[0]}, u[1:]
			}
			before, twin := b.s.Clone(), b.s.Clone()
			want := b.rules.Step(twin, b.now.Add(time.Millisecond), in)
			if diff := cmp.Diff(before, b.s); diff != "" {
				r.Fatalf("the clone's step changed its original:\n%s", diff)
			}
			got := b.step(in)
			if diff := cmp.Diff(want, got); diff != "" {
				r.Fatalf("other outputs:\n%s", diff)
			}
			if diff := cmp.Diff(twin, b.s); diff != "" {
				r.Fatalf("another state:\n%s", diff)
			}
			for _, o := range got {
				if w, ok := o.(Write); ok {
					b.write(w)
				}
			}
		}
	})
}
