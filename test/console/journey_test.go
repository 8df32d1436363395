package console

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestJourney is an operator's game day on the page: look around, kill AWS, watch the failover, heal it, watch the data become
// equal again, make a conflict and settle it, be refused a switchover that would leave nothing serving.
func TestJourney(t *testing.T) {
	needChromium(t)
	s := up(t)
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	users.Go(func() { s.users(ctx, 12) })
	defer users.Wait()
	defer cancel()
	b := open(t, s.link(), 1440, 900)

	looksAround(b)
	killsAWS(b)
	healsAWS(b)
	resolvesAConflict(b, s)
	isRefused(b)
	readsTheHistory(b)
	logsOut(b, s)
}

func looksAround(b *browser) {
	b.until(15*time.Second, "the picture", `document.querySelectorAll("[data-box]").length === 18 && document.querySelectorAll("[data-arrow]").length === 20`)
	b.says(10*time.Second, "header", "Traffic → AWS")
	b.equal(20 * time.Second)
	b.says(10*time.Second, `[data-panel="now"]`, "All is well")
	b.until(15*time.Second, "requests are counted", `/[1-9].*\/s/.test(document.querySelector("[data-box=lambda]").getAttribute("aria-label"))`)
	b.until(15*time.Second, "objects cross", `/[1-9][0-9]* in all/.test(document.querySelector('[data-arrow="replication>blob"]').parentElement.getAttribute("aria-label"))`)
	b.until(15*time.Second, "dots move", `document.querySelectorAll(".dot").length > 3`)
	b.shot("1-well")

	b.do(chromedp.Click(`[data-box="lambda"]`))
	b.says(5*time.Second, `[data-details="lambda"]`, "The function, as it runs on AWS")
	b.says(15*time.Second, `[data-details="lambda"]`, "Followed requests")
	b.says(5*time.Second, ".waterfall", "lambda → dynamodb")
	b.shot("2-details")
	eval[any](b, `document.querySelector("[data-box=replication]").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}))`)
	b.says(5*time.Second, `[data-details="replication"]`, "Compare-and-set")
	b.click(`[data-details] button[aria-label="Close the details"]`)
	b.click(`.under button`)
	b.says(5*time.Second, "caption", "Arrows")
	b.until(5*time.Second, "tables", `document.querySelectorAll(".tables tbody tr").length === 38`)
	b.shot("3-tables")
	b.click(`.under button`)
}

func killsAWS(b *browser) {
	b.click(`[data-action="kill-aws"]`)
	b.says(5*time.Second, "dialog", "SIGKILL")
	b.shot("4-confirm")
	b.click("[data-confirm]")
	for _, step := range []string{"fault", "probe", "vote", "verdict", "plan", "dns"} {
		b.until(15*time.Second, step, fmt.Sprintf(`document.querySelector('[data-panel="now"] [data-step=%q]')`, step))
	}
	b.says(10*time.Second, "header", "Traffic → Azure")
	b.says(5*time.Second, `[data-panel="now"]`, "AWS failed, traffic moved")
	b.says(5*time.Second, `[data-panel="now"] .bar`, "from the fault to the DNS answer")
	b.says(5*time.Second, `[data-region="aws"]`, "down")
	b.until(5*time.Second, "the picture shows it", `document.querySelector("[data-box=dynamodb]").getAttribute("aria-label").includes("down")`)
	b.says(15*time.Second, `[data-panel="now"]`, "First request served")
	b.says(15*time.Second, `[data-panel="now"]`, "TTL expired")
	b.until(15*time.Second, "data sync is seen to be cut off", `document.querySelector("[data-box=events]").getAttribute("aria-label").includes("a feed is not read")`)
	b.shot("5-failed-over")
	b.look(360, 780, "dark")
	b.shot("5-failed-over-narrow")
	b.look(1440, 900, "light")
}

func healsAWS(b *browser) {
	b.click(`[data-action="heal-aws"]`)
	for _, step := range []string{"healed", "healthy"} {
		b.until(40*time.Second, step, fmt.Sprintf(`document.querySelector('[data-panel="now"] [data-step=%q]')`, step))
	}
	b.shot("6-healing")
	b.says(60*time.Second, "header", "Traffic → AWS")
	b.equal(60 * time.Second)
	b.says(60*time.Second, `[data-panel="now"]`, "All is well")
	b.view("failovers")
	b.says(10*time.Second, ".incident", "AWS failed, traffic moved")
	for _, part := range []string{"detect", "decide", "publish", "Both sides equal", "Traffic is back"} {
		b.says(5*time.Second, ".incident", part)
	}
	b.shot("7-failovers")
}

func resolvesAConflict(b *browser, s *system) {
	b.view("operate")
	b.click(`[data-action="partition-aws"]`)
	b.click("[data-confirm]")
	b.says(10*time.Second, ".faults", "partition")
	b.shot("8-partition")
	s.order("aws", `{"id":"both-1","item":"mast","quantity":1}`)
	s.order("azure", `{"id":"both-1","item":"sail","quantity":2}`)
	b.view("data")
	b.says(20*time.Second, `[data-direction="aws"]`, "both-1")
	b.shot("9-not-replicated")
	b.view("operate")
	b.click(`[data-action="heal-all"]`)
	b.view("conflicts")
	b.says(40*time.Second, ".conflict", "orders/both-1")
	for _, part := range []string{`"mast"`, `"sail"`, "Version (HLC)", "Parent", "Winner", "lww"} {
		b.says(5*time.Second, ".conflict", part)
	}
	b.until(5*time.Second, "differences are marked", `document.querySelectorAll(".conflict tr.differs").length >= 2`)
	b.click(`[data-action="try"]`)
	b.until(10*time.Second, "the trial's result", `document.querySelector("[data-result]")`)
	b.shot("10-conflict")
	loser := eval[string](b, `[...document.querySelectorAll(".conflict tr")].find((r) => r.innerText.startsWith("item")).cells[2].innerText`)
	b.click(`[data-action="restore"]`)
	b.click("[data-confirm]")
	b.says(10*time.Second, ".notices", "Restored")
	for _, region := range []string{"aws", "azure"} {
		want(b.t, s, region, "/orders/both-1", loser)
	}
	b.view("data")
	b.says(30*time.Second, `[data-panel="equal"]`, "Both sides are equal")
	b.click(`[data-action="verify-deep"]`)
	b.says(30*time.Second, `[data-panel="equal"]`, "0 differences")
	b.shot("11-equal")
}

func isRefused(b *browser) {
	b.view("operate")
	b.click(`[role="tab"]:nth-child(2)`)
	b.click(`[data-action="kill-azure"]`)
	b.click("[data-confirm]")
	b.says(10*time.Second, ".faults", "Azure is down")
	b.until(20*time.Second, "Azure is judged unhealthy", `document.querySelector('[data-panel="switches"]').innerText.includes("azure is unhealthy")`)
	b.click(`[data-action="switchover"]`)
	b.click("[data-confirm]")
	b.says(10*time.Second, "[data-refusal]", "Refused")
	b.shot("12-refused")
	b.says(10*time.Second, `[data-panel="audit"]`, "kill azure")
	b.click(`[data-action="heal-azure"]`)
	b.says(40*time.Second, `[data-panel="game"]`, "Nothing is broken on purpose")
}

func readsTheHistory(b *browser) {
	b.view("history")
	b.until(15*time.Second, "plots", `document.querySelectorAll(".plot canvas").length === 8`)
	b.shot("13-history")
	for _, view := range []string{"live", "failovers", "data", "conflicts", "operate", "history"} {
		b.view(view)
		b.look(360, 780, "light")
		over := eval[float64](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`)
		if over > 0 {
			b.t.Errorf("%s is %g px wider than a phone", view, over)
		}
		b.shot("narrow-" + view)
	}
	b.look(1440, 900, "dark")
	b.view("live")
	b.shot("14-dark")
}

func logsOut(b *browser, s *system) {
	eval[any](b, `[...document.querySelectorAll("header button")].find((x) => x.innerText === "Log out").click()`)
	b.says(10*time.Second, "body", "Log in")
	b.shot("15-login")
	b.do(chromedp.Navigate(s.link()))
	b.says(5*time.Second, "body", "used already")
}
