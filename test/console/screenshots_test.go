package console

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestScreenshots makes the pictures of the documentation: `make screenshots`.
func TestScreenshots(t *testing.T) {
	needChromium(t)
	dir := os.Getenv("PROA_SCREENS")
	if dir == "" {
		dir = filepath.Join(screens, "docs") // they are made all the same, so that they always can be
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := up(t)
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	users.Go(func() { s.users(ctx, 15) })
	defer users.Wait()
	defer cancel()
	b := open(t, s.link(), 1440, 900)
	b.equal(30 * time.Second)
	b.until(15*time.Second, "dots", `document.querySelectorAll(".dot").length > 8`)
	if os.Getenv("PROA_SCREENS") != "" {
		time.Sleep(12 * time.Second) // until figures over ten seconds stand
	}
	picture(b, dir, "live", 780)
	b.click(`[data-action="kill-aws"]`)
	b.click("[data-confirm]")
	b.says(15*time.Second, `[data-panel="now"]`, "TTL expired")
	picture(b, dir, "failover", 1000)
	b.look(1440, 900, "dark")
	picture(b, dir, "failover-dark", 1000)
	b.look(1440, 900, "light")
	b.click(`[data-action="heal-aws"]`)
	b.says(90*time.Second, `[data-panel="now"]`, "All is well")
	b.view("failovers")
	b.says(10*time.Second, ".incident", "Both sides equal")
	picture(b, dir, "timeline", 900)
	b.view("data")
	b.until(10*time.Second, "plots", `document.querySelectorAll(".plot canvas").length === 6`)
	picture(b, dir, "data", 900)
}

// picture keeps what is within so many pixels of the page's top.
func picture(b *browser, dir, name string, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(1440, height))
	eval[any](b, `void scrollTo(0, 0)`) // what was pressed may be further down
	b.until(15*time.Second, "notices are gone", `document.querySelectorAll(".notices p").length === 0`)
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
