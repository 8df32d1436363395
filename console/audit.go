package console

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// Entry is one operator's action.
type Entry struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	From   string    `json:"from"` // address
	What   string    `json:"what"`
	Result string    `json:"result"` // ok, or refused: why
}

const (
	maxAuditBytes = 1 << 20 // of each of two files
	maxAuditPage  = 200
)

// audit is a log of lines of JSON that is kept in two files: when one is full, the older one goes.
type audit struct {
	path  string
	clock func() time.Time

	mu   sync.Mutex
	file *os.File
	size int64
}

func openAudit(path string, clock func() time.Time) (*audit, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("console audit: %w", err)
	}
	a := &audit{path: path, clock: clock}
	return a, a.open()
}

func (a *audit) open() error {
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("console audit: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("console audit: %w", err), f.Close())
	}
	a.file, a.size = f, info.Size()
	return nil
}

// note appends an entry and makes it durable. An action has been taken when it is noted: trouble with the log does not undo it.
func (a *audit) note(e Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.At = a.clock().UTC()
	line, err := json.Marshal(e)
	if err != nil || a.file == nil {
		return
	}
	if a.size > maxAuditBytes {
		a.file.Close()
		_ = os.Rename(a.path, a.path+".1")
		if a.open() != nil {
			a.file = nil
			return
		}
	}
	n, _ := a.file.Write(append(line, '\n'))
	a.size += int64(n)
	_ = a.file.Sync()
}

// last lists the newest entries first.
func (a *audit) last(limit int) ([]Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	entries := []Entry{}
	for _, path := range []string{a.path + ".1", a.path} {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("console audit: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 64<<10)
		for lines.Scan() {
			var e Entry
			if json.Unmarshal(lines.Bytes(), &e) == nil { // a torn last line is left out
				entries = append(entries, e)
			}
		}
	}
	slices.Reverse(entries)
	return entries[:min(len(entries), limit)], nil
}

// Close releases the file.
func (a *audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

var errRange = fmt.Errorf("range: want 1h, 24h or 30d: %w", proa.ErrInvalid)
