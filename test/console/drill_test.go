package console

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDrill begins a drill on the page, watches it to its report, finds it in the history, stops another one, and finds all that
// operators ordered, on the page and on the command line, in the audit.
func TestDrill(t *testing.T) {
	needChromium(t)
	s := up(t)
	s.proa("hold", "--reason", "a load test", "--for", "1s")
	s.proa("skew", "azure", "1s")
	b := open(t, s.link(), 1440, 900)
	b.equal(30 * time.Second)
	b.view("operate")
	beginDrill(b, "kill-primary")
	b.says(20*time.Second, ".drill-strip", "kill-primary")
	b.says(30*time.Second, `[data-panel="drill"]`, "fault: kill aws")
	b.says(30*time.Second, `[data-panel="drill"]`, "failover: DNS answers azure")
	b.shot("16-drill")
	b.view("live")
	b.says(10*time.Second, ".drill-strip", "Drill: kill-primary")
	b.view("operate")
	b.until(120*time.Second, "the drill's end", `document.querySelector('[data-panel="drill"] [data-drill-state="passed"], [data-panel="drill"] [data-drill-state="missed"]')`)
	b.says(10*time.Second, `[data-panel="drill"] .report`, "kill-primary")
	b.says(5*time.Second, `[data-panel="drill"] .report`, "0 lost")
	b.shot("17-drilled")

	stopsADrill(b)
	for _, line := range []string{"action hold, reason a load test", "skew/azure", "kill/aws", "drill kill-primary", "drill/stop"} {
		b.says(10*time.Second, `[data-panel="audit"]`, line)
	}
	b.says(5*time.Second, `[data-panel="audit"]`, "drill by console ")
	readsTheReport(b)
}

func beginDrill(b *browser, name string) {
	b.until(10*time.Second, "the scenarios", `document.querySelectorAll("select[name=scenario] option").length > 10`)
	eval[any](b, fmt.Sprintf(`void ((s) => { s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); })(document.querySelector("select[name=scenario]"))`, name))
	b.click(`[data-action="begin-drill"]`)
	b.says(5*time.Second, "dialog", "Drill "+name)
	b.click("[data-confirm]")
}

func stopsADrill(b *browser) {
	beginDrill(b, "freeze-primary")
	b.says(60*time.Second, `[data-panel="drill"]`, "fault: freeze aws")
	b.click(`[data-action="stop-drill"]`)
	b.click("[data-confirm]")
	b.until(60*time.Second, "the drill is stopped", `document.querySelector('[data-panel="drill"] [data-drill-state="stopped"]')`)
	b.says(20*time.Second, `[data-panel="game"]`, "Nothing is broken on purpose")
}

func readsTheReport(b *browser) {
	b.view("history")
	b.until(10*time.Second, "both drills", `document.querySelectorAll("[data-drill]").length === 2`)
	b.click(`[data-drill]:has([data-drill-state="passed"]), [data-drill]:has([data-drill-state="missed"])`)
	b.says(10*time.Second, `[data-panel="drills"] .report`, "RTO")
	b.shot("18-drills")
	href := eval[string](b, `document.querySelector(".report a").href`)
	b.do(chromedp.Navigate(href))
	b.says(10*time.Second, "body", "kill-primary")
	b.until(5*time.Second, "plots", `document.querySelectorAll("svg").length > 0`)
	b.shot("19-report")
}

// proa runs the command line, again while nodes that have just started refuse.
func (s *system) proa(args ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, err := exec.Command(s.bin, append(args, "--dir", s.dir)...).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("proa %v: %v\n%s", args, err, out)
		}
	}
}
