package lambda

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// tailBytes is how much of an invocation's log X-Amz-Log-Result returns, as the vendor says.
	tailBytes = 4 << 10
	// maxLogFile is where a function's log file is put aside; one older file is kept.
	maxLogFile = 8 << 20
)

// logSink takes the lines of one environment: into the function's log file, which its environments
// share, and into the tail of the current invocation.
type logSink struct {
	path   string
	id     string
	clock  func() time.Time
	logger *slog.Logger

	mu   sync.Mutex
	file *os.File
	tail []byte
}

func newLogSink(cfg Config, function, environment string) *logSink {
	return &logSink{
		path: filepath.Join(cfg.LogDir, "lambda-"+function+".log"), id: environment[:8],
		clock: cfg.Clock, logger: cfg.Logger,
	}
}

// Write takes one line with its newline. It never fails: a full disk must not stop a function.
func (l *logSink) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, line...)
	if over := len(l.tail) - tailBytes; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	if l.file == nil {
		l.open()
	}
	if l.file != nil {
		stamp := l.clock().UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z ")
		out := bytes.Join([][]byte{append(stamp, l.id...), line}, []byte{' '})
		if _, err := l.file.Write(out); err != nil {
			l.logger.Warn("function log cannot be written", "path", l.path, "error", err)
			l.shut()
		}
	}
	return len(line), nil
}

// open opens the log for appending, after putting aside one that has grown large.
func (l *logSink) open() {
	if info, err := os.Stat(l.path); err == nil && info.Size() > maxLogFile {
		_ = os.Rename(l.path, l.path+".1") // a failure leaves the file growing, which is still a log
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		l.logger.Warn("function log cannot be opened", "path", l.path, "error", err)
		return
	}
	l.file = file
}

// begin starts the tail of a new invocation, and rotates the file now and then.
func (l *logSink) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.tail[:0]
	if l.file == nil {
		return
	}
	if info, err := l.file.Stat(); err == nil && info.Size() > maxLogFile {
		l.shut()
	}
}

func (l *logSink) end() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.tail)
}

func (l *logSink) shut() {
	_ = l.file.Close()
	l.file = nil
}

func (l *logSink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.shut()
	}
}
