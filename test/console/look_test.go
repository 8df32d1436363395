package console

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// lookHelpers are what the tests ask of a page: which texts are too faint, which lie over one another, which are cut off.
//
//go:embed testdata/look.js
var lookHelpers string

func views() []string {
	return []string{"live", "failovers", "data", "conflicts", "operate", "history"}
}

// TestEveryViewFitsAndCanBeRead looks at each view from a phone to a wall, in both colour schemes: nothing leaves the page or lies
// over another, every text has the contrast that WCAG 2.2 AA asks for, and what can be pressed is large enough and has a name.
func TestEveryViewFitsAndCanBeRead(t *testing.T) {
	needChromium(t)
	s := up(t)
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	users.Go(func() { s.users(ctx, 12) })
	defer users.Wait()
	defer cancel()
	b := open(t, s.link(), 1440, 900)
	b.equal(30 * time.Second)
	eval[any](b, lookHelpers)
	lookAtAll(b, "well", views())
	walksByKeyboard(b)
	honoursReducedMotion(b)
	s.proa("kill", "aws")
	b.says(30*time.Second, "header", "Traffic → Azure")
	s.proa("brownout", "azure", "--latency", "30ms")
	lookAtAll(b, "failed", []string{"live", "failovers", "data", "operate"})
}

func lookAtAll(b *browser, state string, views []string) {
	heights := map[int64]int64{360: 780, 768: 1024, 1440: 900, 2560: 1440}
	for _, view := range views {
		b.view(view)
		if view == "live" {
			b.click(`[data-box="lambda"]`)
		}
		for _, width := range []int64{360, 768, 2560, 1440} {
			b.look(width, heights[width], "light")
			lookAt(b, fmt.Sprintf("look-%s-%s-%d", state, view, width), "faint", "wide", "drawn", "small", "nameless")
		}
		b.look(1440, heights[1440], "dark")
		lookAt(b, fmt.Sprintf("look-%s-%s-dark", state, view), "faint")
	}
}

func lookAt(b *browser, name string, checks ...string) {
	b.t.Helper()
	for _, check := range checks {
		for _, finding := range eval[[]string](b, "proaLook."+check+"()") {
			b.t.Errorf("%s: %s: %s", name, check, finding)
		}
	}
	b.shot(name)
}

// walksByKeyboard presses Tab through each view: everything that can be pressed comes, and can be seen to have the focus.
func walksByKeyboard(b *browser) {
	b.look(1440, 900, "light")
	for _, view := range views() {
		b.view(view)
		eval[any](b, `void document.querySelector(".skip").focus()`)
		order := []string{"Skip to the content"} // focused by script, which shows no ring
		for range 120 {
			press(b, "Tab")
			what := eval[string](b, `proaLook.focus()`)
			if what == "" || len(order) > 2 && what == order[0] {
				break
			}
			if strings.HasPrefix(what, "UNSEEN") {
				b.t.Errorf("%s: %s has the focus and does not show it", view, what)
			}
			order = append(order, what)
		}
		for _, must := range []string{"Skip to the content", "Live", "History", "Log out"} {
			if !slices.Contains(order, must) {
				b.t.Errorf("%s: Tab never comes to %q: %q", view, must, order)
			}
		}
		n := eval[int](b, `proaLook.stops()`)
		if len(order) < min(n, 100) {
			b.t.Errorf("%s: Tab comes to %d of %d: %q", view, len(order), n, order)
		}
	}
	b.view("live")
	eval[any](b, `void document.querySelector("[data-box=cosmos]").focus()`)
	press(b, "Enter")
	b.says(5*time.Second, `[data-details="cosmos"]`, "The containers on Azure")
	eval[any](b, `void document.querySelector('[data-action="kill-azure"]').focus()`)
	press(b, "Enter")
	b.says(5*time.Second, "dialog[open]", "SIGKILL")
	press(b, "Escape")
	b.until(5*time.Second, "Escape closes it", `!document.querySelector("dialog[open]")`)
	b.until(5*time.Second, "the focus goes back", `document.activeElement.dataset.action === "kill-azure"`)
}

func press(b *browser, key string) {
	b.t.Helper()
	p := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Code: key}
	p.WindowsVirtualKeyCode = map[string]int64{"Tab": 9, "Enter": 13, "Escape": 27}[key]
	if key == "Enter" {
		p.Text = "\r"
	}
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		if p.Type = kind; kind == input.DispatchKeyEventTypeKeyUp {
			p.Text = ""
		}
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, p); err != nil {
			b.t.Fatal(err)
		}
	}
}

func honoursReducedMotion(b *browser) {
	media := []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media}); err != nil {
		b.t.Fatal(err)
	}
	b.view("live")
	b.until(10*time.Second, "nothing moves", `document.getAnimations().every((a) => a.playState !== "running") && document.querySelectorAll(".dot").length === 0`)
}
