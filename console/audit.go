package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/proa-cloud/proa"
)

// Entry is one operator's action.
type Entry struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	From   string    `json:"from"` // address
	What   string    `json:"what"`
	Result string    `json:"result"`          // ok, or refused: why
	Place  string    `json:"place,omitempty"` // the node that took it, or the supervisor
}

// OperatorHeader carries who gives an order through an API with a token, for the audit.
const OperatorHeader = "Proa-Operator"

// NotedHeader says to the supervisor that the console has noted the order itself.
const NotedHeader = "Proa-Noted"

type noted struct{}

// Noted reports that the console notes a request itself, which it passes on to the node's API.
func Noted(ctx context.Context) bool { return ctx.Value(noted{}) != nil }

// OrderBy names who gives an order, as the request tells; a token is all that is proven.
func OrderBy(r *http.Request) string {
	const most = 128
	name := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, r.Header.Get(OperatorHeader))
	if name == "" {
		return "control token"
	}
	return strings.ToValidUTF8(name[:min(len(name), most)], "")
}

const (
	maxAuditBytes = 1 << 20 // of each of two files
	maxAuditPage  = 200
)

// Audit is a log of lines of JSON that is kept in two files: when one is full, the older one goes.
type Audit struct {
	path  string
	clock func() time.Time

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenAudit opens the log at path; the caller must Close.
func OpenAudit(path string, clock func() time.Time) (*Audit, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("console audit: %w", err)
	}
	a := &Audit{path: path, clock: clock}
	return a, a.open()
}

func (a *Audit) open() error {
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

// Note appends an entry and makes it durable. An action has been taken when it is noted: trouble with the log does not undo it.
func (a *Audit) Note(e Entry) {
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

// Last lists the newest entries first.
func (a *Audit) Last(limit int) ([]Entry, error) {
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

// Watch notes the orders that next takes, of those that matter; one without the right token is none.
func (a *Audit) Watch(next http.Handler, matters func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || Noted(r.Context()) || r.Header.Get(NotedHeader) != "" || !matters(r) {
			next.ServeHTTP(w, r)
			return
		}
		head := make([]byte, maxBrief+1)
		n, _ := io.ReadFull(r.Body, head) // what fails here fails for next
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head[:n]), r.Body), r.Body}
		reply := &recorder{ResponseWriter: w}
		next.ServeHTTP(reply, r)
		if reply.status == http.StatusUnauthorized {
			return
		}
		what := strings.TrimSpace(strings.TrimPrefix(r.URL.RequestURI(), "/v1/") + " " + brief(head[:n]))
		a.Note(Entry{Who: OrderBy(r), From: r.RemoteAddr, What: what, Result: reply.result()})
	})
}

// maxBrief is how much of a body is noted.
const maxBrief = 400

// brief is the beginning of a body.
func brief(body []byte) string {
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > maxBrief {
		text = strings.ToValidUTF8(text[:maxBrief], "") + " …"
	}
	return text
}

// recorder remembers an answer's status and what a refusal said.
type recorder struct {
	http.ResponseWriter
	status int
	text   []byte
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status >= 400 && len(r.text) < 500 {
		r.text = append(r.text, p[:min(len(p), 500)]...)
	}
	return r.ResponseWriter.Write(p)
}

func (r *recorder) result() string {
	if r.status < 400 {
		return "ok"
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(r.text, &refusal) == nil && refusal.Error != "" {
		return "refused: " + refusal.Error
	}
	return "refused: " + strings.TrimSpace(string(r.text))
}

// Close releases the file.
func (a *Audit) Close() error {
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
