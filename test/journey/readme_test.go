package journey

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// expected is what must appear in the output of a README command, by a part of the command.
var expected = []struct{ command, output string }{
	{"proa status", "served by aws"},
	{"curl -s http://127.0.64.2:8080/orders/o-1", `"item":"anchor"`},
	{"proa explain", "traffic goes to azure"},
	{"'{\"item\":\"sail\"}'", `"item":"sail"`},
	{"proa verify", "0 differences"},
	{"proa conflicts", "lost"},
}

// TestREADMEFirstFiveMinutes runs every command of the README's block, in order, against a system of its own.
func TestREADMEFirstFiveMinutes(t *testing.T) {
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	st := s.status()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- journey: .*?```sh\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README has no journey block")
	}
	replace := strings.NewReplacer(
		"bin/proa ", s.Bin+" --dir "+s.Dir+" ",
		"http://127.0.64.1:8080", st.Regions["aws"].Gateway,
		"http://127.0.64.2:8080", st.Regions["azure"].Gateway,
	)
	checked := 0
	printed := map[string]string{}
	for line := range strings.Lines(string(block[1])) {
		line = strings.TrimSpace(line)
		out, err := exec.Command("bash", "-c", replace.Replace(line)).CombinedOutput()
		t.Logf("$ %s\n%s", line, out)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		command, _, _ := strings.Cut(line, " #")
		printed[strings.TrimSpace(command)] = string(out)
		for _, e := range expected {
			if strings.Contains(line, e.command) {
				checked++
				if !strings.Contains(string(out), e.output) {
					t.Errorf("%s: want %q in the output, got\n%s", line, e.output, out)
				}
			}
		}
	}
	if checked < len(expected) {
		t.Errorf("README has only %d of the %d commands whose output is checked", checked, len(expected))
	}
	sameOutputs(t, string(readme), printed)
}

// sameOutputs holds the outputs that the README shows to what was printed, but for the figures.
func sameOutputs(t *testing.T, readme string, printed map[string]string) {
	t.Helper()
	shown := regexp.MustCompile("(?s)<!-- output: (.*?) -->\n```\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(shown) == 0 {
		t.Error("README shows no output")
	}
	figures := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	for _, m := range shown {
		want, got := figures.ReplaceAllString(m[2], "0"), figures.ReplaceAllString(printed[m[1]], "0")
		if want != got {
			t.Errorf("%s prints\n%s\nREADME shows\n%s", m[1], printed[m[1]], m[2])
		}
	}
}
