package datasync

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/verify"
)

// A key that is never logged is in no event, comparison, listing or error, on disk or told; its events are
// told apart all the same, and a repair still finds it.
func TestAKeyThatIsNeverLoggedIsToldNowhere(t *testing.T) {
	w := newWorld(t)
	rules, err := residency.New(schema, residency.Open, map[string]residency.Mode{"id": residency.NeverLogged},
		proa.NewSecret("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Tables[0].Residency = rules
	var lost atomic.Bool // azure's answers to writes
	w.az.Fault = func(op string) fake.Fault {
		if op == "swap" && lost.Load() {
			return fake.LostWrite
		}
		return fake.None
	}
	w.ready()
	const secret = "078-05-11"
	for i := range 3 {
		w.aws.Put(order(fmt.Sprint(secret, i), "x"), 0)
	}
	w.aws.Put(order(secret+"9", "x"), 0)
	w.quiet()
	w.aws.Delete(key(secret+"9"), false, 0)
	w.quiet()
	var told []string
	tell := func(what string, v any) {
		t.Helper()
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, what+": "+string(body)+fmt.Sprintf("%+v", v))
	}
	events, _, err := w.s.Log().Read(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range events {
		body, err := events[i].CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, "event: "+string(body)+fmt.Sprintf("%+v", events[i]))
		if seen[events[i].ID()] {
			t.Errorf("an id twice: %s", body)
		}
		seen[events[i].ID()] = true
	}
	if len(events) != 5 {
		t.Fatalf("%d events, want 5", len(events))
	}

	w.az.Lose(key(secret + "0"))
	res, err := w.s.Verify(t.Context(), VerifyOptions{Recheck: time.Millisecond, Repair: true})
	if err != nil || res.Differences != 1 || res.First[0].Kind != verify.Missing {
		t.Fatalf("%+v, %v", res, err)
	}
	tell("comparison", struct {
		Kind   verify.Kind
		Listed proa.Item
		Detail string
	}{res.First[0].Kind, res.First[0].Key, res.First[0].Detail})
	cp, err := w.s.store.Checkpoint(verifiedName)
	if err != nil {
		t.Fatal(err)
	}
	tell("comparison on disk", cp.Cursor)
	w.quiet()
	if w.az.Item(key(secret+"0")) == nil {
		t.Error("a key that is masked in the listing is not repaired")
	}

	lost.Store(true)
	w.aws.Put(order(secret+"2", "z"), 0)
	w.until("the error is in the status", func() bool {
		w.s.table("orders").sides[1].mu.Lock()
		defer w.s.table("orders").sides[1].mu.Unlock()
		told = append(told, "status: "+w.s.table("orders").sides[1].lastWriteErr)
		return told[len(told)-1] != "status: "
	})
	list, _, err := w.s.Unreplicated(proa.AWS, 10)
	if err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	tell("unreplicated", list)
	for _, text := range told {
		if strings.Contains(text, secret) {
			t.Errorf("the key is told: %s", text)
		}
	}
}
