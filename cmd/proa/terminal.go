package main

import (
	"io"
	"os"
	"strconv"
	"strings"

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
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
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

// narrowest is the width that all output fits on a terminal.
const narrowest = 80

// columns is how wide output may be: the terminal's width, or what COLUMNS says; 0 is without bound, since what reads it
// then is no person.
func columns(w io.Writer) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return max(n, narrowest)
	}
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return max(int(size.Col), narrowest)
		}
	}
	return 0
}

// fit breaks lines at words so that they fit the width; what follows stands below the line's last column. Words are left
// whole, so that they can be copied.
func fit(text string, width int) string { return wrapped(text, width, 2) }

// wrapped is fit with the indentation of lines that have no columns.
func wrapped(text string, width, hang int) string {
	if width == 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		for cells(line) > width {
			indent := hanging(line, hang)
			cut := breakAt(line, indent, width)
			if cut < 0 {
				break
			}
			b.WriteString(strings.TrimRight(line[:cut], " ") + "\n")
			line = strings.Repeat(" ", indent) + strings.TrimLeft(line[cut:], " ")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// hanging is where the last column of a line begins: after the last gap of two spaces in its first half.
func hanging(line string, hang int) int {
	lead := len(line) - len(strings.TrimLeft(line, " "))
	half := line[lead:min(len(line), narrowest*2/3)]
	gap := strings.LastIndex(half, "  ")
	if gap < 0 {
		return max(lead, hang)
	}
	return cells(line[:lead+gap+2])
}

// breakAt is the last space that leaves the head within the width, or the first one after it; -1 where there is none.
func breakAt(line string, indent, width int) int {
	best, col := -1, 0
	escape := false
	for i, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
			continue
		case r == ' ' && col > indent && (col <= width || best < 0):
			best = i
		}
		if !escape {
			col++
		}
	}
	return best
}

// cells counts the columns that a text takes on a terminal: its characters without escapes.
func cells(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}
