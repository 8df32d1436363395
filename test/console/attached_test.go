package console

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// TestDrillOfAttachedRegions runs a node that has no supervisor, as beside real clouds. Its page begins planned switchovers, after
// saying what they move, and nothing that breaks a region.
func TestDrillOfAttachedRegions(t *testing.T) {
	needChromium(t)
	s := up(t, "--nodes", "1")
	s.proa("kill", "node-1")
	link, file := attachedNode(t, s)
	b := open(t, link, 1440, 900)
	b.equal(30 * time.Second)
	b.view("operate")
	edit(t, file, "hold_down: 5s", "hold_down: 6s")
	b.says(20*time.Second, `[data-panel="configuration"]`, "traffic.hold_down 5s 6s at once")
	edit(t, file, "primary: aws", "primary: mars")
	b.says(20*time.Second, `[data-panel="configuration"]`, "the last good one stays in force")
	edit(t, file, "primary: mars", "primary: aws")
	b.until(20*time.Second, "it is mended", `!document.querySelector('[data-panel="configuration"] .error')`)
	b.until(20*time.Second, "what may be drilled", `[...document.querySelectorAll("select[name=scenario] option")].map((o) => o.value).join() === "switchover,all"`)
	b.click(`[data-action="begin-drill"]`)
	b.says(5*time.Second, "dialog", "It moves the users of your regions")
	b.shot("22-attached-confirm")
	b.click("[data-confirm]")
	b.says(60*time.Second, `[data-panel="drill"]`, "fault: planned switchover to azure")
	b.until(120*time.Second, "the drill's end", `document.querySelector('[data-panel="drill"] [data-drill-state="passed"], [data-panel="drill"] [data-drill-state="missed"]')`)
	b.says(20*time.Second, `[data-panel="drill"] .report`, "0 lost")
	b.says(20*time.Second, "header", "Traffic → AWS")
	b.says(10*time.Second, `[data-panel="audit"]`, "drill switchover")
	b.shot("23-attached-drilled")
}

// edit changes a node's configuration while it runs.
func edit(t *testing.T, file, old, fresh string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q: %v", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, fresh, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// attachedNode runs the dead node again from its configuration without a supervisor, until the test ends, and returns a link to
// its console, and the file.
func attachedNode(t *testing.T, s *system) (link, file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "node-1", "proa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "proa.yaml")
	text = regexp.MustCompile(`(?m)^  supervisor.*\n`).ReplaceAll(text, nil)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out := &proc.Output{}
	cmd := exec.Command(s.bin, "node", "--config", file)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("proa node ended with %v\n%s", err, out)
		}
	})
	last := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if link, last = s.askLink(0); link != "" {
			return link, file
		}
	}
	t.Fatalf("the node gives no link: %s\n%s", last, out)
	return "", ""
}

// askLink asks a node for a link to its console once; why tells why there is none.
func (s *system) askLink(node int) (link, why string) {
	s.t.Helper()
	st := s.state()
	req, err := http.NewRequest(http.MethodPost, "http://"+st.Addresses.Nodes[node].Control+"/v1/console", http.NoBody)
	if err != nil {
		return "", err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+st.Credentials.NodeToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	var reply struct {
		Link string `json:"link"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return "", resp.Status + ": " + err.Error()
	}
	return reply.Link, resp.Status
}
