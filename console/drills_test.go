package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestDrillsAreKeptWithTheirReportsAndBounded(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	dir := t.TempDir()
	d, err := openDrills(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxDrills + 3 {
		now = now.Add(time.Minute)
		rec := Drill{ID: fmt.Sprintf("d-%03d", i), Scenarios: []string{"game-day"}, State: DrillRuns, Started: now}
		if err := d.Put(rec); err != nil {
			t.Fatal(err)
		}
		rec.Lines = make([]DrillLine, maxDrillLines+50)
		rec.Lines[len(rec.Lines)-1].Text = "the last"
		rec.State, rec.Ended, rec.Report, rec.HTML = DrillPassed, &now, json.RawMessage(`{"passed":true}`), "<h1>report</h1>"
		if err := d.Put(rec); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 3*maxDrills {
		t.Errorf("%d files for %d drills", len(files), maxDrills)
	}
	if d, err = openDrills(dir, clock); err != nil {
		t.Fatal(err)
	}
	list := d.All()
	if len(list) != maxDrills || list[0].ID != fmt.Sprintf("d-%03d", maxDrills+2) || list[0].State != DrillPassed {
		t.Fatalf("after a restart: %d, %+v", len(list), list[0])
	}
	whole, ok := d.Get(list[0].ID)
	if !ok || len(whole.Lines) != maxDrillLines || whole.Lines[maxDrillLines-1].Text != "the last" {
		t.Errorf("lines: %d", len(whole.Lines))
	}
	if page, err := d.page(list[0].ID, ".html"); err != nil || string(page) != "<h1>report</h1>" {
		t.Errorf("page: %q %v", page, err)
	}
	if d.current() != nil {
		t.Error("a drill of before the restart is shown as the present one")
	}
}

func TestADrillThatIsHeardNoMoreIsNotUnderWay(t *testing.T) {
	now := time.Now()
	d, err := openDrills(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	rec := Drill{ID: "a", State: DrillRuns, Started: now}
	if err := d.Put(rec); err != nil || d.current() == nil {
		t.Fatal(err, d.current())
	}
	now = now.Add(drillSilence + time.Second)
	if d.current() != nil || d.All()[0].State != DrillLost {
		t.Errorf("%+v", d.All())
	}
	rec.State, rec.Ended = DrillStopped, &now
	if err := d.Put(rec); err != nil || d.All()[0].State != DrillStopped {
		t.Errorf("%v %+v", err, d.All())
	}
	rec.State, rec.Ended = DrillRuns, nil // a late word
	if err := d.Put(rec); err != nil || d.All()[0].State != DrillStopped {
		t.Errorf("an ended drill runs again: %v %+v", err, d.All())
	}
}

func TestADrillsRecordIsChecked(t *testing.T) {
	d, err := openDrills(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []Drill{
		{ID: "../audit", State: DrillRuns},
		{ID: "", State: DrillRuns},
		{ID: strings.Repeat("x", 65), State: DrillRuns},
		{ID: "a", State: "won"},
	} {
		if err := d.Put(rec); err == nil {
			t.Errorf("%+v is taken", rec)
		}
	}
	if _, err := d.page("../audit", ".html"); err == nil {
		t.Error("a page outside of the folder")
	}
}

// supervised is a supervisor that remembers what it was told.
func supervised(t *testing.T) (Supervisor, *[]string) {
	t.Helper()
	var told []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		switch {
		case r.URL.Path == "/v1/audit":
			_ = json.NewEncoder(w).Encode(Orders{Entries: []Entry{{At: time.Now().Add(time.Hour), Who: "ann@ops", What: "kill aws", Result: "ok", Place: "supervisor"}}})
		case r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(Faults{})
		default:
			told = append(told, r.URL.Path+" "+string(body[:n])+" "+r.Header.Get(NotedHeader))
			_, _ = w.Write([]byte("{}"))
		}
	}))
	t.Cleanup(s.Close)
	return Supervisor{Address: strings.TrimPrefix(s.URL, "http://"), Token: proa.NewSecret("x")}, &told
}

func TestAPageBeginsAndStopsADrill(t *testing.T) {
	supervisor, told := supervised(t)
	r := start(t, func(c *Config) {
		c.Supervisor, c.Scenarios = supervisor, []Scenario{{"game-day", "all of it"}}
	})
	own := r.own(r.login())
	if status, text, _ := r.do(http.MethodPost, "/v1/drills", `{"scenarios":["game-day"],"repeat":2,"by":"someone else"}`, own); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if status, _, _ := r.do(http.MethodPost, "/v1/drills", `{"run":"/bin/sh"}`, own); status != http.StatusBadRequest {
		t.Errorf("an order of another kind: %d", status)
	}
	if status, text, _ := r.do(http.MethodPost, "/v1/drills/stop", "", own); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if len(*told) != 2 || !strings.Contains((*told)[0], `"by":"console `) || !strings.HasSuffix((*told)[0], " console") || !strings.HasPrefix((*told)[1], "/v1/drill/stop") {
		t.Errorf("the supervisor was told %q", *told)
	}
	now := time.Now()
	if err := r.Drills.Put(Drill{ID: "d1", State: DrillMissed, Ended: &now, Report: json.RawMessage(`{}`), HTML: "<script>1</script>"}); err != nil {
		t.Fatal(err)
	}
	_, text, _ := r.do(http.MethodGet, "/v1/drills", "", nil)
	if !strings.Contains(text, `"d1"`) || !strings.Contains(text, `"game-day"`) {
		t.Errorf("drills: %s", text)
	}
	status, _, header := r.do(http.MethodGet, "/v1/drills/d1/report.html", "", nil)
	if policy := header.Get("Content-Security-Policy"); status != http.StatusOK || !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("report: %d %q", status, policy)
	}
	for _, path := range []string{"/v1/drills/none", "/v1/drills/none/report.html", "/v1/drills/..%2faudit/report.json"} {
		if status, _, _ := r.do(http.MethodGet, path, "", nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// attached remembers what it was told.
type attached struct{ told []string }

func (a *attached) Begin(_ context.Context, o DrillOrder) error {
	a.told = append(a.told, "begin "+strings.Join(o.Scenarios, " ")+" by "+o.By)
	if o.Scenarios[0] != "switchover" {
		return errors.New("it breaks regions that are not on this machine")
	}
	return nil
}

func (a *attached) Stop() error {
	a.told = append(a.told, "stop")
	return nil
}

func TestAPageDrillsRegionsThatAreAttached(t *testing.T) {
	driller := &attached{}
	r := start(t, func(c *Config) {
		c.Driller, c.Scenarios = driller, []Scenario{{"switchover", "to the other region and back"}}
	})
	own := r.own(r.login())
	if _, text, _ := r.do(http.MethodGet, "/v1/drills", "", nil); !strings.Contains(text, `"attached":true`) || !strings.Contains(text, `"switchover"`) {
		t.Errorf("drills: %s", text)
	}
	if status, text, _ := r.do(http.MethodPost, "/v1/drills", `{"scenarios":["switchover"]}`, own); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if status, text, _ := r.do(http.MethodPost, "/v1/drills", `{"scenarios":["kill-primary"]}`, own); status != http.StatusConflict || !strings.Contains(text, "not on this machine") {
		t.Errorf("%d %s", status, text)
	}
	if status, text, _ := r.do(http.MethodPost, "/v1/drills/stop", "", own); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if len(driller.told) != 3 || !strings.Contains(driller.told[0], "switchover by console ") || driller.told[2] != "stop" {
		t.Errorf("told %q", driller.told)
	}
	_, text, _ := r.do(http.MethodGet, "/v1/audit", "", nil)
	for _, want := range []string{`"drill switchover"`, `"drill kill-primary"`, `"drill/stop"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit lacks %s: %s", want, text)
		}
	}
}

func TestTheAuditIsOfEveryPlace(t *testing.T) {
	supervisor, _ := supervised(t)
	r := start(t, func(c *Config) { c.Supervisor = supervisor })
	r.login()
	_, text, _ := r.do(http.MethodGet, "/v1/audit", "", nil)
	var orders Orders
	if err := json.Unmarshal([]byte(text), &orders); err != nil {
		t.Fatal(err)
	}
	if len(orders.Entries) != 2 || orders.Entries[0].Place != "supervisor" || orders.Entries[1].What != "login" || orders.Entries[1].Place != "node-1" {
		t.Errorf("%+v", orders)
	}
}

func TestTheAuditNotesOrdersThroughTheAPI(t *testing.T) {
	a, err := OpenAudit(filepath.Join(t.TempDir(), "audit.log"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h := a.Watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1<<20)
		n := 0
		for {
			k, err := r.Body.Read(body[n:])
			n += k
			if err != nil {
				break
			}
		}
		switch {
		case r.Header.Get("Authorization") == "":
			w.WriteHeader(http.StatusUnauthorized)
		case n > 1000:
			refuse(w, http.StatusConflict, fmt.Sprintf("%d bytes are too many", n))
		}
	}), func(r *http.Request) bool { return r.URL.Path != "/v1/verify" })
	send := func(method, path, body, who string, known bool) {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		if known {
			req.Header.Set("Authorization", "Bearer x")
		}
		req.Header.Set(OperatorHeader, who)
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	send(http.MethodPost, "/v1/traffic", `{"action":"hold"}`, "ann@ops\x1b[31m", true)
	send(http.MethodPost, "/v1/traffic", strings.Repeat("y", 2000), "", true)
	send(http.MethodPost, "/v1/traffic", "{}", "mallory", false)
	send(http.MethodPost, "/v1/verify", "{}", "ann", true)
	send(http.MethodGet, "/v1/status", "", "ann", true)
	list, err := a.Last(10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v %+v", err, list)
	}
	if e := list[1]; e.Who != "ann@ops[31m" || e.What != `traffic {"action":"hold"}` || e.Result != "ok" {
		t.Errorf("%+v", e)
	}
	if e := list[0]; e.Who != "control token" || e.Result != "refused: 2000 bytes are too many" || len(e.What) > maxBrief+20 {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(a.path); err != nil {
		t.Error(err)
	}
}
