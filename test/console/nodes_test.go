package console

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestEachNodeServesTheWholePicture opens the console of a node that neither decides nor owns data sync: it shows the same
// figures, the votes of all three, and gives orders as well.
func TestEachNodeServesTheWholePicture(t *testing.T) {
	needChromium(t)
	s := up(t, "--nodes", "3")
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	users.Go(func() { s.users(ctx, 10) })
	defer users.Wait()
	defer cancel()
	b := open(t, s.linkOf(2), 1440, 900)
	b.equal(30 * time.Second)
	b.until(20*time.Second, "requests are counted here too", `/[1-9].*\/s/.test(document.querySelector("[data-box=lambda]").getAttribute("aria-label"))`)
	b.until(10*time.Second, "three vantages", `document.querySelector("[data-box=health]").getAttribute("aria-label").includes("3 vantages")`)
	b.click(`[data-action="kill-aws"]`)
	b.click("[data-confirm]")
	b.says(20*time.Second, "header", "Traffic → Azure")
	b.until(20*time.Second, "two votes at least", `document.querySelectorAll('[data-panel="now"] [data-step="vote"]').length >= 2`)
	b.says(20*time.Second, `[data-panel="now"]`, "Verdict")
	b.shot("16-third-node")
	b.click(`[data-action="heal-aws"]`)
	b.says(90*time.Second, "header", "Traffic → AWS")
	b.view("data")
	b.says(60*time.Second, `[data-panel="equal"]`, "Both sides are equal")
	b.view("operate")
	b.says(10*time.Second, `[data-panel="switches"]`, "plan 3")
}
