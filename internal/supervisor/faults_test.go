package supervisor

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/faults"
)

// control is a supervisor's control socket without its children.
func control(t *testing.T) (*Supervisor, func(method, path, body string) (int, string)) {
	t.Helper()
	s, err := newSupervisor(t, t.TempDir(), Ports{Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	server, err := s.listenControl()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.close)
	return s, func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+s.state.Token)
		w := httptest.NewRecorder()
		server.http.Handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
}

func TestFaultsReachProcessesAndProxies(t *testing.T) {
	s, call := control(t)
	set := func(target string) faults.Set {
		return faults.Open(faults.Path(s.cfg.Dir + "/" + target)).Now()
	}
	for _, c := range []struct{ path, body string }{
		{"/v1/brownout/aws", `{"latency_ms":300,"jitter_ms":50,"error_rate":0.2,"scope":"all"}`},
		{"/v1/partition/aws", `{"direction":"from","scope":"all"}`},
		{"/v1/skew/aws", `{"offset_ms":-30000}`},
		{"/v1/throttle/azure", `{"rate":0.5}`},
		{"/v1/partition/azure", ``},
		{"/v1/skew/node-1", `{"offset_ms":1000}`},
	} {
		if code, text := call(http.MethodPost, c.path, c.body); code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", c.path, c.body, code, text)
		}
	}
	aws := set("aws")
	if aws.OffsetMS != -30000 || aws.ErrorRate != 0.2 || aws.Gateway.Latency.Milliseconds() != 300 || !aws.Gateway.CutFrom || aws.Gateway.CutTo {
		t.Errorf("aws: %+v", aws)
	}
	if p := s.proxies[proa.AWS].Conditions(); p.Latency.Milliseconds() != 300 || !p.CutFrom || p.CutTo {
		t.Errorf("data sync's way to aws: %+v", p)
	}
	if got := set("azure"); got.ThrottleRate != 0.5 || got.Gateway.CutTo {
		t.Errorf("azure: %+v", got)
	}
	if p := s.proxies[proa.Azure].Conditions(); !p.CutTo || !p.CutFrom {
		t.Errorf("data sync's way to azure: %+v", p)
	}
	if got := set("node-1"); got.OffsetMS != 1000 {
		t.Errorf("node-1: %+v", got)
	}
	if n := len(s.Faults()); n != 6 {
		t.Errorf("%d faults, want 6", n)
	}
	if code, _ := call(http.MethodPost, "/v1/heal/partition", ""); code != http.StatusOK || s.proxies[proa.Azure].IsCut() || s.proxies[proa.AWS].IsCut() {
		t.Error("a partition outlived its healing")
	}
	if aws := set("aws"); aws.Gateway.CutFrom || aws.ErrorRate != 0.2 {
		t.Errorf("aws after the partition: %+v", aws)
	}
	if code, text := call(http.MethodPost, "/v1/skew/aws", `{"offset_ms":0}`); code != http.StatusOK || set("aws").OffsetMS != 0 {
		t.Errorf("the end of a skew: %d %s", code, text)
	}
	_, text := call(http.MethodGet, "/v1/faults", "")
	if !strings.Contains(text, `"text":"latency 300 ms ± 50 ms, 20 % errors for all"`) || strings.Contains(text, "partition") {
		t.Errorf("listed: %s", text)
	}
}

func TestFaultsThatMakeNoSenseAreRefusedAndLeaveNothing(t *testing.T) {
	s, call := control(t)
	for path, body := range map[string]string{
		"/v1/brownout/moon":   `{"latency_ms":1}`,
		"/v1/brownout/aws":    `{"latency_ms":-1}`,
		"/v1/brownout/azure":  `{"error_rate":1.5}`,
		"/v1/brownout/aws?a":  `{"error_rate":0.1,"scope":"data"}`,
		"/v1/brownout/aws?b":  `{"latency":1}`,
		"/v1/partition/aws":   `{"direction":"up"}`,
		"/v1/partition/azure": `{"scope":"half"}`,
		"/v1/skew/node-9":     `{"offset_ms":1}`,
		"/v1/skew/../aws":     `{"offset_ms":1}`,
		"/v1/skew/logs":       `{"offset_ms":1}`,
		"/v1/skew/aws":        `{"offset_ms":99999999}`,
		"/v1/throttle/aws":    `{"rate":2}`,
		"/v1/freeze/aws":      ``, // it is not running
		"/v1/heal/moon":       ``,
	} {
		if code, text := call(http.MethodPost, path, body); code == http.StatusOK {
			t.Errorf("%s %s: %d %s", path, body, code, text)
		}
	}
	if f := s.Faults(); len(f) != 0 {
		t.Errorf("left in force: %+v", f)
	}
}

func TestAStartEndsTheFaultsOfTheRunBefore(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/aws", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := faults.Write(dir+"/aws", faults.Set{ErrorRate: 1}); err != nil {
		t.Fatal(err)
	}
	s, err := newSupervisor(t, dir, Ports{Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if faults.Open(faults.Path(dir + "/aws")).Fails() {
		t.Error("a fault outlived its supervisor")
	}
}
