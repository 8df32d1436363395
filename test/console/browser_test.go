// Package console drives the web console in a real Chromium, against the built binary, as an operator does. It runs where
// test/peers.sh has installed Chromium (PROA_PEERS=1) and keeps a screenshot of each state in bin/screens.
package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screens is where screenshots go.
const screens = "../../bin/screens"

// browser is one page in one Chromium.
type browser struct {
	t   testing.TB
	ctx context.Context
}

func needChromium(t testing.TB) {
	t.Helper()
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip(`Chromium is not installed here: eval "$(test/peers.sh)"`)
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Fatalf("PROA_PEERS=1, but there is no chromium: %v", err)
	}
	if err := os.MkdirAll(screens, 0o755); err != nil {
		t.Fatal(err)
	}
}

// open starts Chromium on an address. Errors on the page's console fail the test: a broken policy shows there.
func open(t testing.TB, url string, width, height int64) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			what := ev.ExceptionDetails.Text
			if e := ev.ExceptionDetails.Exception; e != nil {
				what += ": " + e.Description
			}
			t.Errorf("the page threw %s", what)
		}
	}))
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text is what a person reads in the first element that a selector finds.
func (b *browser) text(selector string) string {
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// until waits for an expression to become true, and says what the page showed when it does not.
func (b *browser) until(limit time.Duration, what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		yes, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")", chromedp.EvalAwaitPromise))
		if err != nil && !strings.Contains(err.Error(), "navigated") { // the page that redeems the link goes on by itself
			b.t.Fatalf("%s: %v", expression, err)
		}
		if yes && err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.shot("failed")
			b.t.Fatalf("%s: not after %s; the page says:\n%s", what, limit, b.text("body"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// says waits until an element reads so.
func (b *browser) says(limit time.Duration, selector, part string) {
	b.t.Helper()
	expression := fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.innerText.replace(/\s+/g, " ").includes(%q))`, selector, part)
	b.until(limit, fmt.Sprintf("%s says %q", selector, part), expression)
}

// equal waits until the page says that both sides are, whatever users write meanwhile.
func (b *browser) equal(limit time.Duration) {
	b.t.Helper()
	b.until(limit, "both sides are equal", `/both sides equal|equal, \d+ in flight/.test(document.querySelector("header")?.innerText)`)
}

func (b *browser) click(selector string) {
	b.t.Helper()
	// In one go: between looking for the place and pressing there, the page may move something else under it.
	b.until(5*time.Second, selector+" can be clicked", fmt.Sprintf(`((e) => {
		if (!e || e.disabled) return false;
		e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect();
		const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
		if (!top || !e.contains(top)) return false;
		e.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, view: window}));
		return true;
	})(document.querySelector(%q))`, selector))
}

// view goes to one of the views.
func (b *browser) view(name string) {
	b.t.Helper()
	eval[any](b, fmt.Sprintf(`void (location.hash = %q)`, name))
	b.until(5*time.Second, name, fmt.Sprintf(`document.title.toLowerCase().startsWith(%q)`, name))
}

// look sets size and colours.
func (b *browser) look(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	media := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media}); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond) // for plots to be drawn again
}

// shot keeps a screenshot of the whole page.
func (b *browser) shot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(screens, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
	}
}
