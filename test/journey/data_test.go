package journey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	proc "github.com/proa-cloud/proa/test/internal/system"
)

const dataConfig = `
tables:
  - name: orders
    database: proa
    hash: {name: id, type: S}
    policy: merge
    attributes:
      stock: {policy: counter}
      state: {policy: manual}
      secret: {residency: never-copied}
events:
  - name: hook
    to: webhook
    url: %s
    secret: s3cret
    filter: event.key.startsWith("data-")
`

// TestDataRules drives policies, residency, subscribers and the operator's verbs through a whole system, as an operator would.
func TestDataRules(t *testing.T) {
	hook := newHook(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "proa.yaml")
	if err := os.WriteFile(file, []byte(fmt.Sprintf(dataConfig, hook.url)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startWith(t, proc.Binary(t), filepath.Join(dir, "proa"), file)
	d := &dataJourney{s: s, aws: s.status().Regions["aws"].Gateway, azure: s.status().Regions["azure"].Gateway}
	t.Run("merge and counter", d.merges)
	t.Run("manual", d.manual)
	t.Run("restore", d.restores)
	t.Run("residency", d.stays)
	t.Run("subscriber", func(t *testing.T) { d.subscriber(t, hook) })
	t.Run("preflight and scans", d.preflight)
}

type dataJourney struct {
	s          *system
	aws, azure string
}

// apart writes to both regions while data sync cannot reach one of them.
func (d *dataJourney) apart(t *testing.T, aws, azure func()) {
	t.Helper()
	d.s.Proa("partition", "azure")
	defer d.s.Proa("heal", "partition")
	aws()
	azure()
}

// has waits until a region serves what is wanted.
func (d *dataJourney) has(t *testing.T, gateway, id string, want map[string]any) {
	t.Helper()
	proc.Until(t, 20*time.Second, id, func() error {
		var got map[string]any
		body := mustRequest(t, "GET", gateway+"/orders/"+id, "")
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		for name, v := range want {
			if fmt.Sprint(got[name]) != fmt.Sprint(v) {
				return fmt.Errorf("%s is %v, want %v, in %s", name, got[name], v, body)
			}
		}
		return nil
	})
}

func (d *dataJourney) create(t *testing.T, id, body string) {
	t.Helper()
	mustRequest(t, "POST", d.aws+"/orders", body)
	proc.Until(t, 20*time.Second, id+" at azure", func() error {
		if out := mustRequestOrNothing(t, d.azure+"/orders/"+id); out == "" {
			return errors.New("not there")
		}
		return nil
	})
}

func mustRequestOrNothing(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

func (d *dataJourney) merges(t *testing.T) {
	d.create(t, "data-1", `{"id":"data-1","stock":10,"note":"new"}`)
	d.apart(t,
		func() { mustRequest(t, "PATCH", d.aws+"/orders/data-1", `{"stock":13,"note":"from aws"}`) },
		func() { mustRequest(t, "PATCH", d.azure+"/orders/data-1", `{"stock":8,"note":"new","hold":true}`) })
	want := map[string]any{"stock": 11, "note": "from aws", "hold": true}
	d.has(t, d.aws, "data-1", want)
	d.has(t, d.azure, "data-1", want)
	out := d.s.Proa("conflicts", "replay", "--policy", "lww")
	if !strings.Contains(out, "lww would have decided 1 of 1 conflicts differently") {
		t.Error(out)
	}
}

func (d *dataJourney) manual(t *testing.T) {
	d.create(t, "data-2", `{"id":"data-2","state":"open"}`)
	d.apart(t,
		func() { mustRequest(t, "PATCH", d.aws+"/orders/data-2", `{"state":"paid"}`) },
		func() { mustRequest(t, "PATCH", d.azure+"/orders/data-2", `{"state":"void"}`) })
	proc.Until(t, 20*time.Second, "held", func() error {
		if out := d.s.Proa("quarantine"); !strings.Contains(out, "orders/data-2") || !strings.Contains(out, "held") {
			return errors.New(out)
		}
		return nil
	})
	out := d.s.Proa("quarantine", "show", "orders", "data-2")
	if !strings.Contains(out, "paid") || !strings.Contains(out, "void") {
		t.Errorf("both images: %s", out)
	}
	if _, _, code := d.s.Run("verify"); code != 4 {
		t.Errorf("verify ends with %d while a conflict is held", code)
	}
	d.s.Proa("conflicts", "settle", "orders", "data-2", "--take", "aws")
	d.has(t, d.azure, "data-2", map[string]any{"state": "paid"})
	if _, stderr, code := d.s.Run("conflicts", "settle", "orders", "data-2", "--take", "aws"); code != 1 || !strings.Contains(stderr, "no conflict is held") {
		t.Errorf("settled twice: %d, %s", code, stderr)
	}
}

func (d *dataJourney) restores(t *testing.T) {
	d.create(t, "data-3", `{"id":"data-3","note":"0"}`)
	d.apart(t,
		func() { mustRequest(t, "PATCH", d.aws+"/orders/data-3", `{"note":"first"}`) },
		func() { mustRequest(t, "PATCH", d.azure+"/orders/data-3", `{"note":"second"}`) })
	d.has(t, d.aws, "data-3", map[string]any{"note": "second"})
	var list struct {
		Conflicts []struct {
			ID uint64 `json:"id"`
		} `json:"conflicts"`
	}
	d.s.JSON(&list, "conflicts", "--table", "orders", "--key", "data-3")
	if len(list.Conflicts) != 1 {
		t.Fatalf("%+v", list)
	}
	id := fmt.Sprint(list.Conflicts[0].ID)
	if out := d.s.Proa("conflicts", "show", id); !strings.Contains(out, "first") || !strings.Contains(out, "second") {
		t.Error(out)
	}
	d.s.Proa("restore", id)
	d.has(t, d.aws, "data-3", map[string]any{"note": "first"})
	d.has(t, d.azure, "data-3", map[string]any{"note": "first"})
}

func (d *dataJourney) stays(t *testing.T) {
	d.create(t, "data-4", `{"id":"data-4","note":"x","secret":"078-05-1120"}`)
	if body := mustRequestOrNothing(t, d.azure+"/orders/data-4"); strings.Contains(body, "078-05-1120") {
		t.Errorf("it left its region: %s", body)
	}
	mustRequest(t, "PATCH", d.azure+"/orders/data-4", `{"note":"y"}`)
	d.has(t, d.aws, "data-4", map[string]any{"note": "y", "secret": "078-05-1120"})
}

func (d *dataJourney) subscriber(t *testing.T, hook *webhook) {
	mustRequest(t, "POST", d.aws+"/orders", `{"id":"other","note":"not asked for"}`)
	mustRequest(t, "POST", d.aws+"/orders", `{"id":"data-5","note":"asked for"}`)
	proc.Until(t, 20*time.Second, "the event", func() error {
		if all := hook.all(); !strings.Contains(all, `"subject":"orders/data-5"`) {
			return errors.New(all)
		}
		return nil
	})
	if all := hook.all(); strings.Contains(all, "not asked for") || strings.Contains(all, "078-05-1120") {
		t.Error(all)
	}
	if out := d.s.Proa("events"); !strings.Contains(out, "hook") {
		t.Error(out)
	}
}

func (d *dataJourney) preflight(t *testing.T) {
	if out := d.s.Proa("validate", "--data"); !strings.Contains(out, "0 keys cannot cross") {
		t.Error(out)
	}
	d.s.Proa("backfill", "pause", "orders")
	if out := d.s.Proa("backfill", "restart", "orders"); !strings.Contains(out, "orders") {
		t.Error(out)
	}
	d.s.Proa("backfill", "resume", "orders")
	if out := d.s.Proa("backfill", "--wait"); strings.Contains(out, "running") || !strings.Contains(out, "done") {
		t.Error(out)
	}
	if out := d.s.Proa("verify", "--deep"); !strings.Contains(out, "0 differences") {
		t.Error(out)
	}
}

// webhook is a receiver that checks signatures.
type webhook struct {
	url string
	mu  sync.Mutex
	got []string
}

func newHook(t *testing.T) *webhook {
	h := &webhook{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
		if err != nil || r.Header.Get("Webhook-Signature") != bus.Sign(proa.NewSecret("s3cret"), id, at, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, string(body))
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *webhook) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.got, "\n")
}
