package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console/internal/bundle"
	"github.com/proa-cloud/proa/internal/telemetry"
)

const testToken = "a control token that nobody guesses"

type running struct {
	*Server
	t      *testing.T
	client *http.Client
}

// start runs a console over a fake control API that says what reached it.
func start(t *testing.T, change func(*Config)) running {
	t.Helper()
	cfg := Config{
		Listen: "127.0.0.1:0", Token: proa.NewSecret(testToken), Dir: t.TempDir(), Clock: time.Now,
		Collector: telemetry.NewCollector(time.Now), Logger: slog.New(slog.DiscardHandler),
		Live: func() Live { return Live{Node: "node-1", Plan: proa.Plan{Version: 7, Active: proa.AWS}} },
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+testToken {
				w.WriteHeader(http.StatusUnauthorized)
			}
			body, _ := io.ReadAll(r.Body)
			_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.Path, "query": r.URL.RawQuery, "body": string(body)})
		}),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the console ended with %v", err)
		}
	})
	jar, _ := cookiejar.New(nil)
	return running{s, t, &http.Client{Jar: jar, Timeout: 5 * time.Second}}
}

func (r running) do(method, path, body string, change func(*http.Request)) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, strings.TrimSuffix(r.URL(), "/")+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header
}

// login opens a session by link and returns its CSRF token.
func (r running) login() string {
	r.t.Helper()
	link, err := r.Link()
	if err != nil {
		r.t.Fatal(err)
	}
	u, _ := url.Parse(link)
	if status, _, _ := r.do(http.MethodGet, u.RequestURI(), "", nil); status != http.StatusOK {
		r.t.Fatalf("login: %d", status)
	}
	status, text, _ := r.do(http.MethodGet, "/v1/session", "", nil)
	var s Session
	if err := json.Unmarshal([]byte(text), &s); err != nil || status != http.StatusOK {
		r.t.Fatalf("session: %d %s", status, text)
	}
	if strings.Contains(text, testToken) {
		r.t.Error("the page is told the control token")
	}
	return s.CSRF
}

func (r running) own(csrf string) func(*http.Request) {
	return func(req *http.Request) {
		req.Header.Set("X-Csrf-Token", csrf)
		req.Header.Set("Origin", strings.TrimSuffix(r.URL(), "/"))
	}
}

func TestTheBundleIsCurrentAndSmall(t *testing.T) {
	files, err := bundle.Build("web")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	for name, want := range files {
		got, err := fs.ReadFile(web, "web/dist/"+name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("web/dist/%s is not what its sources give: run `go generate ./console`", name)
		}
		_, _ = z.Write(want)
	}
	_ = z.Close()
	if packed.Len() > 60<<10 {
		t.Errorf("the bundle has %d bytes gzipped, more than 60 KiB", packed.Len())
	}
	t.Logf("%d bytes gzipped", packed.Len())
}

func TestEverythingNeedsASession(t *testing.T) {
	r := start(t, nil)
	for _, path := range []string{"/v1/events", "/v1/session", "/v1/history", "/v1/incidents", "/v1/audit", "/v1/traces", "/v1/node/status"} {
		if status, _, _ := r.do(http.MethodGet, path, "", nil); status != http.StatusUnauthorized {
			t.Errorf("GET %s without a session: %d", path, status)
		}
	}
	for _, path := range []string{"/v1/node/traffic", "/v1/faults/kill/aws", "/logout"} {
		if status, _, _ := r.do(http.MethodPost, path, "{}", r.own("")); status != http.StatusUnauthorized {
			t.Errorf("POST %s without a session: %d", path, status)
		}
	}
	status, text, header := r.do(http.MethodGet, "/", "", nil)
	if status != http.StatusOK || !strings.Contains(text, "Log in") || strings.Contains(text, "app.js") {
		t.Errorf("the way in: %d %s", status, text)
	}
	csp := header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
}

func TestALinkOpensOneSession(t *testing.T) {
	r := start(t, nil)
	link, _ := r.Link()
	u, _ := url.Parse(link)
	if status, _, h := r.do(http.MethodGet, u.RequestURI(), "", nil); status != http.StatusOK {
		t.Fatal(status)
	} else if c := h.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") {
		t.Errorf("cookie %q", c)
	}
	if status, text, _ := r.do(http.MethodGet, u.RequestURI(), "", nil); status != http.StatusUnauthorized || !strings.Contains(text, "used already") {
		t.Errorf("second use: %d %s", status, text)
	}
}

func TestLinksExpireAndGuessesAreBounded(t *testing.T) {
	now := time.Now()
	s := newSessions(proa.NewSecret(testToken), func() time.Time { return now })
	code, err := s.newCode()
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(codeLife + time.Second)
	if s.redeem(code) == nil {
		t.Error("an expired link opened a session")
	}
	for range loginsPerMin {
		_ = s.check("wrong")
	}
	if err := s.check(testToken); err == nil {
		t.Error("no bound on failed logins")
	}
	now = now.Add(time.Minute + time.Second)
	if err := s.check(testToken); err != nil {
		t.Error(err)
	}
	for range maxCodes {
		_, _ = s.newCode()
	}
	if _, err := s.newCode(); err == nil {
		t.Error("no bound on open links")
	}
}

func TestATokenOpensASessionAndLogoutEndsIt(t *testing.T) {
	r := start(t, nil)
	form := func(req *http.Request) {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", strings.TrimSuffix(r.URL(), "/"))
	}
	if status, _, _ := r.do(http.MethodPost, "/login", "token=wrong", form); status != http.StatusUnauthorized {
		t.Errorf("wrong token: %d", status)
	}
	if status, _, _ := r.do(http.MethodPost, "/login", "token="+url.QueryEscape(testToken), form); status != http.StatusOK {
		t.Errorf("right token: %d", status)
	}
	_, text, _ := r.do(http.MethodGet, "/v1/session", "", nil)
	var s Session
	_ = json.Unmarshal([]byte(text), &s)
	u, _ := url.Parse(r.URL())
	before := r.client.Jar.Cookies(u)
	if status, _, _ := r.do(http.MethodPost, "/logout", "", r.own(s.CSRF)); status != http.StatusOK {
		t.Errorf("logout: %d", status)
	}
	r.client.Jar.SetCookies(u, before) // as one who kept the cookie
	if status, _, _ := r.do(http.MethodGet, "/v1/session", "", nil); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
}

func TestAForgedCookieOpensNothing(t *testing.T) {
	r := start(t, nil)
	r.login()
	u, _ := url.Parse(r.URL())
	good := r.client.Jar.Cookies(u)[0].Value
	for _, value := range []string{"", ".", "a.b", good[:len(good)-2] + "xx", "A" + good, strings.Repeat("x", 1000), strings.Replace(good, ".", "..", 1)} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL()+"v1/session", http.NoBody)
		req.AddCookie(&http.Cookie{Name: cookieName, Value: value})
		resp, err := (&http.Client{}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("cookie %.40q: %d", value, resp.StatusCode)
		}
	}
}

func TestAChangeNeedsThePagesOwnTokenAndOrigin(t *testing.T) {
	r := start(t, nil)
	csrf := r.login()
	own := r.own(csrf)
	for name, change := range map[string]func(*http.Request){
		"no token":       func(q *http.Request) { own(q); q.Header.Del("X-Csrf-Token") },
		"no origin":      func(q *http.Request) { own(q); q.Header.Del("Origin") },
		"foreign origin": func(q *http.Request) { own(q); q.Header.Set("Origin", "http://evil.example") },
		"null origin":    func(q *http.Request) { own(q); q.Header.Set("Origin", "null") },
		"foreign site":   func(q *http.Request) { own(q); q.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		if status, _, _ := r.do(http.MethodPost, "/v1/node/traffic", "{}", change); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	status, text, _ := r.do(http.MethodPost, "/v1/node/traffic", `{"action":"hold"}`, own)
	if status != http.StatusOK || !strings.Contains(text, "/v1/traffic") {
		t.Errorf("%d %s", status, text)
	}
	_, text, _ = r.do(http.MethodGet, "/v1/audit", "", nil)
	if !strings.Contains(text, `traffic {\"action\":\"hold\"}`) || !strings.Contains(text, `"login"`) {
		t.Errorf("audit: %s", text)
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	r := start(t, func(c *Config) { c.Hosts = []string{"console.example.com"} })
	for host, want := range map[string]int{
		"evil.example": http.StatusMisdirectedRequest, "127.0.0.1": http.StatusMisdirectedRequest, "console.example.com": http.StatusOK,
		"localhost:" + strings.Split(r.ln.Addr().String(), ":")[1]: http.StatusOK,
	} {
		if status, _, _ := r.do(http.MethodGet, "/", "", func(q *http.Request) { q.Host = host }); status != want {
			t.Errorf("host %s: %d, want %d", host, status, want)
		}
	}
}

func TestOnlyNamedRoutesReachTheNode(t *testing.T) {
	r := start(t, nil)
	csrf := r.login()
	for path, want := range map[string]int{
		"/v1/node/status": http.StatusOK, "/v1/node/conflicts/7": http.StatusOK, "/v1/node/announce": http.StatusNotFound,
		"/v1/node/console": http.StatusNotFound, "/v1/node/../metrics": http.StatusNotFound,
	} {
		if status, text, _ := r.do(http.MethodGet, path, "", nil); status != want {
			t.Errorf("GET %s: %d %s", path, status, text)
		}
	}
	for _, path := range []string{"/v1/node/announce", "/v1/node/counters", "/v1/node/console", "/v1/node/status"} {
		if status, _, _ := r.do(http.MethodPost, path, "{}", r.own(csrf)); status != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	if status, text, _ := r.do(http.MethodPost, "/v1/faults/kill/aws", "{}", r.own(csrf)); status != http.StatusConflict || !strings.Contains(text, "supervisor") {
		t.Errorf("a fault without a supervisor: %d %s", status, text)
	}
}

// TestARepairFromThePageIsNoted: a comparison changes nothing, a repair does.
func TestARepairFromThePageIsNoted(t *testing.T) {
	r := start(t, nil)
	own := r.own(r.login())
	for _, query := range []string{"", "?deep=1", "?deep=1&repair=1"} {
		if status, text, _ := r.do(http.MethodPost, "/v1/node/verify"+query, "", own); status != http.StatusOK {
			t.Fatalf("verify%s: %d %s", query, status, text)
		}
	}
	list, err := r.Audit.Last(10)
	if err != nil || len(list) == 0 || list[0].What != "verify?deep=1&repair=1" {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list[1:] {
		if strings.HasPrefix(e.What, "verify") {
			t.Errorf("%q is noted: it changes nothing", e.What)
		}
	}
}

func TestAStreamCatchesUp(t *testing.T) {
	f := newFeed()
	for range 5 {
		f.send(&Frame{})
	}
	_, missed, ok := f.join(3)
	if !ok || len(missed) != 2 || missed[0].id != 4 {
		t.Errorf("after 3: %v %v", ok, missed)
	}
	if _, missed, _ := f.join(0); len(missed) != 1 || missed[0].id != 5 {
		t.Errorf("a new page: %v", missed)
	}
	if _, missed, _ := f.join(999); len(missed) != 1 {
		t.Errorf("a page of an earlier node: %v", missed)
	}
	slow, _, _ := f.join(0)
	for range 100 {
		f.send(&Frame{}) // nobody reads: must not block
	}
	var last event
	for len(slow) > 0 {
		last = <-slow
	}
	if last.id != 105 {
		t.Errorf("a slow page ends with frame %d", last.id)
	}
	for range maxViewers {
		f.join(0)
	}
	if _, _, ok := f.join(0); ok {
		t.Error("no bound on pages")
	}
}

func TestHistoryIsARingThatSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	h, err := openHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	row := sampleOf(&Frame{Live: Live{
		Plan: proa.Plan{Active: proa.Azure}, Conflicts: 3, Directions: []Direction{{From: proa.AWS, Backlog: 4}, {From: proa.Azure}},
	}})
	for i := range 8000 {
		if err := h.add(now.Add(time.Duration(i)*time.Second/2), row); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h, err = openHistory(dir); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	end := now.Add(4000 * time.Second)
	p, err := h.read(end, "1h", []string{"conflicts", "aws backlog", "aws lag", "nonsense"})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Times); n < 3590 || n > 3600 {
		t.Errorf("%d samples of an hour", n)
	}
	if v := p.Series["conflicts"][0]; v == nil || *v != 3 {
		t.Errorf("conflicts %v", v)
	}
	if v := p.Series["aws backlog"][0]; v == nil || *v != 4 {
		t.Errorf("backlog %v", v)
	}
	if v := p.Series["aws lag"][0]; v != nil {
		t.Errorf("an unknown lag became %v", *v)
	}
	if _, ok := p.Series["nonsense"]; ok {
		t.Error("a series that does not exist")
	}
	if _, err := h.read(end, "2h", nil); err == nil {
		t.Error("an unknown range was taken")
	}
}

func TestHistoryKeepsWhatItHasWhenTablesComeAndGo(t *testing.T) {
	dir := t.TempDir()
	h, err := openHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	frame := func(tables ...string) map[string]float64 {
		f := &Frame{}
		for i, name := range tables {
			lag := float64(10 * (i + 1))
			f.Live.Parts = append(f.Live.Parts, Part{Table: name, Direction: Direction{From: proa.AWS, LagMS: &lag, Backlog: i}})
		}
		return sampleOf(f)
	}
	sample := func(second int, tables ...string) {
		t.Helper()
		if err := h.add(now.Add(time.Duration(second)*time.Second), frame(tables...)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		sample(i, "orders")
	}
	for i := 10; i < 20; i++ {
		sample(i, "orders", "customers")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h, err = openHistory(dir); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for n := range 8 { // more tables than there is room for columns
		var names []string
		for i := range MaxParts {
			names = append(names, "t"+strconv.Itoa(n*MaxParts+i))
		}
		sample(20+n, names...)
	}
	sample(28, "orders")
	p, err := h.read(now.Add(29*time.Second), "1h", []string{"table orders aws lag", "table t511 aws backlog"})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.rings[0].names) > maxColumns {
		t.Errorf("%d columns", len(h.rings[0].names))
	}
	if v := p.Series["table t511 aws backlog"]; len(p.Times) != 27 || len(v) != 27 || v[26] == nil || *v[26] != 63 {
		t.Errorf("%d values at %d times", len(v), len(p.Times))
	}
}

func TestANewTableLeavesTheHistoryOfOthers(t *testing.T) {
	h, err := openHistory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	now := time.Unix(1_800_000_000, 0)
	for i := range 20 {
		sample := map[string]float64{"table orders aws lag": 5}
		if i >= 10 {
			sample["bucket photos azure lag"] = 7
		}
		if err := h.add(now.Add(time.Duration(i)*time.Second), sample); err != nil {
			t.Fatal(err)
		}
	}
	p, err := h.read(now.Add(20*time.Second), "1h", []string{"table orders aws lag", "bucket photos azure lag"})
	if err != nil || len(p.Times) != 19 {
		t.Fatalf("%d times, %v", len(p.Times), err)
	}
	for i := range p.Times {
		if v := p.Series["table orders aws lag"][i]; v == nil || *v != 5 {
			t.Errorf("orders at %d: %v", i, v)
		}
		if v := p.Series["bucket photos azure lag"][i]; i < 10 != (v == nil) {
			t.Errorf("photos at %d: %v", i, v)
		}
	}
}
