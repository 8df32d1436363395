package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Styles of text on a terminal.
const (
	yellow = "33"
)

// style colours text where stdout is a terminal and NO_COLOR is not set (https://no-color.org). Tables are aligned before
// they are coloured: give it whole lines, or last cells.
func (a *app) style(code, text string) string {
	if os.Getenv("NO_COLOR") != "" || !isTerminal(a.stdout) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
