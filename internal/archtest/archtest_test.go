package archtest

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTreeKeepsTheRules(t *testing.T) {
	files, err := Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("read only %d files: the walk is broken", len(files))
	}
	for _, b := range Check(files, Rules()) {
		t.Error(b)
	}
}

func TestEachRuleFindsWhatBreaksIt(t *testing.T) {
	for _, tc := range []struct{ dir, imported, want string }{
		{".", "github.com/cockroachdb/pebble/v2", "the root package"},
		{"hlc", Module, "the root package"},
		{"traffic", Module + "/datasync/shadow", "lanes do not import each other"},
		{"datasync/resolve", Module + "/traffic", "lanes do not import each other"},
		{"traffic/dns", Module + "/cloud", "traffic/dns imports neither"},
		{"node", "github.com/aws/aws-sdk-go-v2/service/s3", "the vendors' SDKs"},
		{"aws/local/s3", "github.com/aws/aws-sdk-go-v2/service/s3", "the vendors' SDKs"},
		{"aws", Module + "/aws/local", "drivers do not know"},
		{"datasync", Module + "/sim", "nothing imports sim"},
		{"node", Module + "/examples/orders", "examples are imported by cmd"},
	} {
		broken := Check([]File{{Path: tc.dir + "/x.go", Dir: tc.dir, Package: "x", Imports: []string{tc.imported}}}, Rules())
		if len(broken) != 1 || !strings.Contains(broken[0], tc.want) {
			t.Errorf("%s importing %s: got %q, want one about %q", tc.dir, tc.imported, broken, tc.want)
		}
	}
	if got := Check([]File{{Path: "a/utils/x.go", Dir: "a/utils", Package: "utils"}}, Rules()); len(got) != 1 {
		t.Errorf("package utils: got %q", got)
	}
}

func TestAllowedImportsPass(t *testing.T) {
	for _, tc := range []struct{ dir, imported string }{
		{".", Module + "/hlc"},
		{"hlc", "time"},
		{"node", Module + "/traffic"},
		{"aws", "github.com/aws/aws-sdk-go-v2/service/s3"},
		{"aws/local/sigv4", "github.com/aws/aws-sdk-go-v2/aws/signer/v4"},
		{"cmd/proa", Module + "/examples/orders"},
	} {
		if broken := Check([]File{{Path: "x.go", Dir: tc.dir, Package: "x", Imports: []string{tc.imported}}}, Rules()); len(broken) != 0 {
			t.Errorf("%s importing %s: %q", tc.dir, tc.imported, broken)
		}
	}
}

// The pure cores take time as a parameter: the simulator must be able to run them.
func TestPureCoresDoNotReadTheClock(t *testing.T) {
	for _, dir := range []string{".", "hlc", "traffic", "datasync/resolve"} {
		paths, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no files (%v)", dir, err)
		}
		for _, p := range paths {
			if strings.HasSuffix(p, "_test.go") {
				continue
			}
			findClock(t, p)
		}
	}
}

func findClock(t *testing.T, p string) {
	t.Helper()
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		for _, call := range []string{"time.Now(", "time.Since(", "time.After(", "rand.Int", "math/rand"} {
			if strings.Contains(lines.Text(), call) {
				t.Errorf("%s:%d: %s in a pure core: take time and randomness as parameters", p, n, call)
			}
		}
	}
}

// Files that grow past 800 lines do a second thing.
func TestNoFileIsOver800Lines(t *testing.T) {
	files, err := Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join("../..", f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), "\n"); n > 800 {
			t.Errorf("%s has %d lines", f.Path, n)
		}
	}
}
