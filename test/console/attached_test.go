package console

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	b := open(t, attachedNode(t, s), 1440, 900)
	b.equal(30 * time.Second)
	b.view("operate")
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

// attachedNode runs the dead node again from its configuration without a supervisor, until the test ends, and returns a link to
// its console.
func attachedNode(t *testing.T, s *system) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "node-1", "proa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "proa.yaml")
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
		var link string
		if link, last = s.askLink(0); link != "" {
			return link
		}
	}
	t.Fatalf("the node gives no link: %s\n%s", last, out)
	return ""
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
