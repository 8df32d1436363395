package dynamodb_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

const peerPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>proa</groupId><artifactId>peer</artifactId><version>1</version><dependencies><dependency>
<groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>2.6.1</version>
</dependency></dependencies></project>`

// startPeer runs AWS's DynamoDB Local on a free port; Maven fetches it into the user's cache once.
func startPeer(t *testing.T) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip("PROA_PEERS=1 compares against AWS's DynamoDB Local (needs Java 17 and Maven)")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "proa-peers", "dynamodb-local")
	if libs, _ := filepath.Glob(filepath.Join(dir, "lib", "DynamoDBLocal-*.jar")); len(libs) == 0 {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "pom.xml"),
			[]byte(peerPOM), 0o644)); err != nil {
			t.Fatal(err)
		}
		mvn := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
		mvn.Dir = dir
		if out, err := mvn.CombinedOutput(); err != nil {
			t.Fatalf("mvn: %v\n%s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	java := exec.Command("java", "-Xmx512m", "-Djava.library.path=lib",
		"-Dsqlite4java.library.path=lib", "-cp", "lib/*",
		"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-sharedDb",
		"-disableTelemetry",
		"-port", strconv.Itoa(port))
	java.Dir = dir
	if err := java.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = java.Process.Kill()
		_ = java.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	for range 200 {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return url
		}
		time.Sleep(100 * time.Millisecond) // the JVM says nothing when it is ready
	}
	t.Fatal("DynamoDB Local did not start")
	return ""
}

// answer is a response made comparable.
type answer struct {
	Status  int
	Kind    string
	Message string
	Body    map[string]any
}

func ask(t *testing.T, url, op, body string) answer {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+op)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+
		"Credential=AKIDEXAMPLE/20260101/us-east-1/dynamodb/aws4_request, "+
		"SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: resp.StatusCode}
	if err := json.Unmarshal(raw, &a.Body); err != nil && len(raw) > 0 {
		t.Fatalf("%s: %v in %s", op, err, raw)
	}
	if a.Status != 200 {
		kind, _ := a.Body["__type"].(string)
		a.Kind = kind[strings.IndexByte(kind, '#')+1:]
		for _, name := range []string{"message", "Message"} {
			if m, ok := a.Body[name].(string); ok {
				a.Message = strings.TrimPrefix(m, "1 validation error detected: ")
			}
			delete(a.Body, name)
		}
		delete(a.Body, "__type")
	}
	normalise(op, a.Body)
	return a
}

// normalise drops what may differ (times, names of accounts) and orders what has no order.
func normalise(op string, body map[string]any) {
	for _, d := range []string{"TableDescription", "Table"} {
		desc, ok := body[d].(map[string]any)
		if !ok {
			continue
		}
		sortItems(desc["AttributeDefinitions"])
		for _, list := range []string{"GlobalSecondaryIndexes", "LocalSecondaryIndexes"} {
			indexes, _ := desc[list].([]any)
			for _, ix := range indexes {
				for _, name := range []string{
					"IndexArn", "IndexSizeBytes", "ItemCount",
					"ProvisionedThroughput",
				} {
					delete(ix.(map[string]any), name)
				}
			}
		}
		for _, name := range []string{
			"TableArn", "TableId", "CreationDateTime", "TableStatus", "LatestStreamLabel", "LatestStreamArn",
			"ProvisionedThroughput", "BillingModeSummary", "TableSizeBytes",
		} {
			delete(desc, name)
		}
	}
	if op == "Scan" || op == "BatchGetItem" {
		sortItems(body)
	}
	numbers(body)
}

func sortItems(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			sortItems(e)
		}
	case []any:
		slices.SortFunc(v, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
}

// numbers rewrites numbers to one spelling and sorts sets.
func numbers(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			text, isText := e.(string)
			if c, err := proa.CanonicalNumber(text); name == "N" && isText && err == nil {
				v[name] = c
			}
			if set, ok := e.([]any); ok && (name == "SS" || name == "NS" || name == "BS") {
				slices.SortFunc(set, func(a, b any) int {
					return strings.Compare(fmt.Sprint(a),
						fmt.Sprint(b))
				})
			}
			numbers(e)
		}
	case []any:
		for _, e := range v {
			numbers(e)
		}
	}
}

// difference is one way in which DynamoDB Local is known not to be the service, or in which we are
// knowingly neither.
type difference struct {
	request string // pattern of the request line; "" is any
	theirs  string // pattern of DynamoDB Local's "status kind: message" or body
	ours    string // pattern of ours
	why     string
}

type caseLine struct{ file, op, body string }

func readCorpus(t *testing.T) []caseLine {
	t.Helper()
	files, err := filepath.Glob("testdata/diff/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	repeat := regexp.MustCompile(`@@(.+?)\*(\d+)@@`)
	var all []caseLine
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			op, body, _ := strings.Cut(lines.Text(), " ")
			body = repeat.ReplaceAllStringFunc(body, func(m string) string {
				parts := repeat.FindStringSubmatch(m)
				times, _ := strconv.Atoi(parts[2])
				return strings.Repeat(parts[1], times)
			})
			all = append(all, caseLine{fmt.Sprintf("%s:%d", filepath.Base(name), n), op, body})
		}
		f.Close()
	}
	return all
}

func (a answer) line() string {
	if a.Status == 200 {
		b, _ := json.Marshal(a.Body)
		return "200 " + string(b)
	}
	return fmt.Sprintf("%d %s: %s", a.Status, a.Kind, a.Message)
}

func clip(s string) string {
	if len(s) > 500 {
		return s[:500] + "…"
	}
	return s
}

// TestSameAsDynamoDBLocal puts one corpus of requests to DynamoDB Local and to us. Every difference
// must be explained in knownDifferences, and every explanation must be needed.
func TestSameAsDynamoDBLocal(t *testing.T) {
	peer := startPeer(t)
	f := newFixture(t)
	used := make([]bool, len(knownDifferences))
	same, explained := 0, 0
	for _, c := range readCorpus(t) {
		theirs, ours := ask(t, peer, c.op, c.body), ask(t, f.url, c.op, c.body)
		if gocmp.Equal(theirs, ours) {
			same++
			continue
		}
		if i := explain(c, theirs, ours); i >= 0 {
			used[i] = true
			explained++
			continue
		}
		t.Errorf("%s: %s %s\n  theirs: %s\n  ours:   %s\n", c.file, c.op, clip(c.body),
			clip(theirs.line()), clip(ours.line()))
		if theirs.Kind == ours.Kind && theirs.Message == ours.Message {
			t.Logf("body: %s", clip(gocmp.Diff(theirs.Body, ours.Body)))
		}
	}
	for i, d := range knownDifferences {
		if !used[i] {
			t.Errorf("explanation %d (%s) is not needed", i, d.why)
		}
	}
	t.Logf("%d answers equal, %d explained", same, explained)
}

func explain(c caseLine, theirs, ours answer) int {
	return slices.IndexFunc(knownDifferences, func(d difference) bool {
		return matches(d.request, c.op+" "+c.body) && matches(d.theirs, theirs.line()) && matches(d.ours,
			ours.line())
	})
}

func matches(pattern, s string) bool {
	return pattern == "" || regexp.MustCompile(pattern).MatchString(s)
}
