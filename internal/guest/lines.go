package guest

import (
	"bytes"
	"io"
)

// MaxLineBytes is the longest line of output that is passed on in one piece.
const MaxLineBytes = 64 << 10

// lines cuts a stream into prefixed lines. Output that cannot be written is dropped: a full disk
// must not block a function.
type lines struct {
	out    io.Writer
	prefix string
	buffer []byte
}

func newLines(out io.Writer, prefix string) *lines {
	return &lines{out: out, prefix: prefix}
}

// target is what to give to exec.Cmd: nil, the null device, when nobody listens.
func (l *lines) target() io.Writer {
	if l.out == nil {
		return nil
	}
	return l
}

func (l *lines) Write(data []byte) (int, error) {
	total := len(data)
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		switch room := MaxLineBytes - len(l.buffer); {
		case end >= 0 && end <= room:
			l.emit(data[:end])
			data = data[end+1:]
		case len(data) >= room:
			l.emit(data[:room])
			data = data[room:]
		default:
			l.buffer = append(l.buffer, data...)
			data = nil
		}
	}
	return total, nil
}

func (l *lines) emit(rest []byte) {
	line := make([]byte, 0, len(l.prefix)+len(l.buffer)+len(rest)+1)
	line = append(line, l.prefix...)
	line = append(line, l.buffer...)
	line = append(line, rest...)
	line = append(line, '\n')
	l.buffer = l.buffer[:0]
	_, _ = l.out.Write(line)
}

func (l *lines) flush() {
	if len(l.buffer) > 0 {
		l.emit(nil)
	}
}
