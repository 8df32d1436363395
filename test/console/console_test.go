// Package console drives the web console in a real Chromium against the built binary.
package console

import _ "github.com/chromedp/chromedp"
