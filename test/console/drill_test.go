package console

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
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
	printsWell(b)
}

// printsWell prints the report on paper, for someone who looks at a dark screen: light, nothing cut off or split, every list open.
func printsWell(b *browser) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(688, 1017)) // A4 within its margins, at 96 dots an inch
	b.until(5*time.Second, "paper is white", `getComputedStyle(document.body).backgroundColor === "rgb(255, 255, 255)" && getComputedStyle(document.body).color === "rgb(0, 0, 0)"`)
	for _, finding := range eval[[]string](b, `(() => {
		const found = [];
		if (document.documentElement.scrollWidth > innerWidth) found.push("the page is " + document.documentElement.scrollWidth + " wide");
		for (const e of document.querySelectorAll("svg")) {
			if (e.getBoundingClientRect().height > innerHeight || getComputedStyle(e).breakInside !== "avoid") found.push("a plot is split");
		}
		for (const e of document.querySelectorAll("table, pre, dl")) {
			if (e.getBoundingClientRect().right > innerWidth + 1) found.push("cut off: " + e.innerText.slice(0, 60));
		}
		for (const e of document.querySelectorAll("details > pre")) {
			if (e.getBoundingClientRect().height < 5) found.push("not printed: " + e.parentElement.innerText);
		}
		return found;
	})()`) {
		b.t.Errorf("on paper: %s", finding)
	}
	pdf, err := chromedp.Call(b.ctx, page.PrintToPDF, page.PrintToPDFParams{PreferCSSPageSize: new(true)})
	if err != nil {
		b.t.Fatal(err)
	}
	if pages := bytes.Count(pdf.Data, []byte("/Type /Page\n")); pages < 1 || pages > 12 {
		b.t.Errorf("%d pages", pages)
	}
	if err := os.WriteFile(filepath.Join(screens, "19-report.pdf"), pdf.Data, 0o644); err != nil {
		b.t.Error(err)
	}
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
