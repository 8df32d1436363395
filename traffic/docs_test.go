package traffic

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/TRAFFIC.md names is there.
func TestTheTestsThatTheDocsNameAreThere(t *testing.T) {
	text, err := os.ReadFile("../docs/TRAFFIC.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (?:Test)?([A-Z]\w*)\(`)
	for _, dir := range []string{".", "../sim/traffic", "../test"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range declared.FindAllSubmatch(source, -1) {
				have[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile("`([A-Z][a-z]+[A-Za-z0-9]*[A-Z]\\w*)`").FindAllSubmatch(text, -1)
	if len(named) < 80 {
		t.Errorf("only %d names found", len(named))
	}
	for _, m := range named {
		if !have[string(m[1])] {
			t.Errorf("there is no test %s", m[1])
		}
	}
}
