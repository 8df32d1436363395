package cosmos

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// peer skips the test unless peers beyond Go may be used, and returns the command's path.
func peer(t *testing.T, variable string) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip("set PROA_PEERS=1 to test against peers beyond Go")
	}
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("set %s to the peer's interpreter", variable)
	}
	return path
}

// TestThePythonSDKWorks runs testdata/python_smoke.py: pip install azure-cosmos==4.17.1 and set
// PROA_PYTHON to that interpreter.
func TestThePythonSDKWorks(t *testing.T) {
	python := peer(t, "PROA_PYTHON")
	e := newEnv(t, func(c *Config) { c.Ranges = 3 })
	cmd := exec.CommandContext(background(), python, "testdata/python_smoke.py", e.web.URL, testKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestTheJavaScriptSDKWorks runs testdata/js_smoke.js: npm i @azure/cosmos; PROA_NODE is node,
// PROA_NODE_MODULES its node_modules.
func TestTheJavaScriptSDKWorks(t *testing.T) {
	node := peer(t, "PROA_NODE")
	e := newEnv(t, func(c *Config) { c.Ranges = 3 })
	cmd := exec.CommandContext(background(), node, "testdata/js_smoke.js", e.web.URL, testKey)
	cmd.Env = append(os.Environ(), "NODE_PATH="+os.Getenv("PROA_NODE_MODULES"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestQueriesAgreeWithVercel runs the same queries here and on @vercel/cosmosdb-server, which knows
// no others of this kind. Where it is wrong by the vendor's documentation, the query is left out,
// with the reason.
func TestQueriesAgreeWithVercel(t *testing.T) {
	node := peer(t, "PROA_NODE")
	cli := filepath.Join(os.Getenv("PROA_NODE_MODULES"), "@vercel/cosmosdb-server/lib/cli.js")
	cmd := exec.CommandContext(background(), node, cli, "--no-ssl", "-p", "0", "--host", "127.0.0.1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:])
	ours := newEnv(t, nil)
	theirs := &env{t: t, web: &httptest.Server{URL: "http://127.0.0.1:" + port}}
	docs := []string{
		`{"id":"1","pk":"a","n":3,"s":"abc","l":[1,2,{"k":"v"}],"o":{"a":{"b":[5,6]}},"t":["x","y"],"u":null,"b":true}`,
		`{"id":"2","pk":"a","n":1.5,"s":"Abd","l":[],"o":{"a":1},"t":["y"],"b":false}`,
		`{"id":"3","pk":"a","n":"3","s":"z_%","o":{},"t":[]}`,
	}
	for _, e := range []*env{ours, theirs} {
		e.raw(http.MethodPost, "/dbs", `{"id":"db"}`, nil)
		e.raw(http.MethodPost, "/dbs/db/colls",
			`{"id":"items","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2}}`, nil)
		for _, d := range docs {
			resp := e.raw(http.MethodPost, "/dbs/db/colls/items/docs", d,
				map[string]string{"x-ms-documentdb-partitionkey": `["a"]`})
			if resp.StatusCode != http.StatusCreated {
				t.Fatalf("create: %d %s", resp.StatusCode, resp.text)
			}
		}
	}
	text, err := os.ReadFile("testdata/differential.sql")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, q := range strings.Split(string(text), "\n") {
		if q == "" || strings.HasPrefix(q, "--") {
			continue
		}
		n++
		if a, b := ours.rawRows(q), theirs.rawRows(q); a != b {
			t.Errorf("%s\nhere   %s\nthere  %s", q, a, b)
		}
	}
	t.Logf("%d queries agree", n)
}

// rawRows runs a query and renders its rows, sorted unless the query orders them, without system
// properties.
func (e *env) rawRows(q string) string {
	body := value.OfObject([]value.Member{
		{Name: "query", Value: value.OfString(q)},
		{Name: "parameters", Value: value.OfArray(nil)},
	})
	resp := e.raw(http.MethodPost, "/dbs/db/colls/items/docs", string(body.JSON()), map[string]string{
		"x-ms-documentdb-partitionkey": `["a"]`, "x-ms-documentdb-isquery": "true", "x-ms-documentdb-query-enablecrosspartition": "true", "Content-Type": "application/query+json",
	})
	if resp.StatusCode != http.StatusOK {
		return strconv.Itoa(resp.StatusCode)
	}
	v, err := value.Parse([]byte(resp.text))
	e.must(err)
	var rows []string
	for _, r := range v.Get("Documents").Items {
		if r.Kind == value.Object {
			r = r.Without(systemProperties...)
		}
		rows = append(rows, string(value.AppendKey(nil, r)))
	}
	if !strings.Contains(q, "ORDER BY") {
		sort.Strings(rows)
	}
	return strings.Join(rows, " ")
}
