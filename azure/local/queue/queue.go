// Package queue is the local Azure Queue Storage, as far as Event Grid's storage-queue destination
// and its consumers need it. Messages are durable and received at least once (internal/msgqueue).
//
// Requests must have passed auth.Verifier. https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
package queue

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/internal/msgqueue"
)

// Config describes the account.
type Config struct {
	Dir     string
	Account string // second segment of every path, after /queue
	Clock   func() time.Time
	Logger  *slog.Logger // nil discards
}

// Limits, the vendor's.
const (
	maxMessage  = 64 << 10
	maxReceive  = 32
	defaultHide = 30 * time.Second
	maxHide     = 7 * 24 * time.Hour
	retention   = 7 * 24 * time.Hour
)

// Server answers the Queue REST protocol.
type Server struct {
	cfg    Config
	queues *msgqueue.Store
}

// New opens the queues. It starts nothing.
func New(c Config) (*Server, error) {
	if c.Clock == nil || c.Account == "" {
		return nil, errors.New("queue: Clock and Account are required")
	}
	queues, err := msgqueue.Open(msgqueue.Config{
		Dir: c.Dir, Clock: c.Clock, Logger: c.Logger, MaxAge: retention,
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return &Server{c, queues}, nil
}

// Close closes the queues. No request may be under way.
func (s *Server) Close() error { return s.queues.Close() }

// EnsureQueue makes a queue if there is none.
func (s *Server) EnsureQueue(name string) error {
	if !sound(name) {
		return fmt.Errorf("queue name %q: 3 to 63 lower-case letters, digits and single hyphens", name)
	}
	return s.queues.Create(name)
}

// Deliver puts messages of another service into a queue.
func (s *Server) Deliver(name string, bodies [][]byte) error {
	_, err := s.queues.Send(name, bodies...)
	return err
}

// sound reports whether a queue may be called so.
func sound(name string) bool {
	bad := func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') }
	return len(name) >= 3 && len(name) <= 63 && !strings.ContainsFunc(name, bad) &&
		!strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-") && !strings.Contains(name, "--")
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	auth.SetStorageHeaders(w, r)
	err := s.serve(w, r)
	if err == nil {
		return
	}
	var known *auth.StorageError
	if !errors.As(err, &known) {
		known = refusal(err)
	}
	known.Write(w, r, s.cfg.Clock())
}

// refusal puts a queue's error in the vendor's words.
func refusal(err error) *auth.StorageError {
	switch {
	case errors.Is(err, msgqueue.ErrNoQueue):
		return fail(http.StatusNotFound, "QueueNotFound", "The specified queue does not exist.")
	case errors.Is(err, msgqueue.ErrNoMessage):
		return fail(http.StatusNotFound, "MessageNotFound", "The specified message does not exist.")
	case errors.Is(err, msgqueue.ErrFull):
		return fail(http.StatusServiceUnavailable, "ServerBusy", err.Error())
	}
	return fail(http.StatusInternalServerError, "InternalError", "The server encountered an internal error.")
}

func fail(status int, code, message string) *auth.StorageError {
	return &auth.StorageError{Status: status, Code: code, Message: message}
}

func badQuery(name string) error {
	return fail(http.StatusBadRequest, "OutOfRangeQueryParameterValue",
		"A query parameter is outside the permissible range: "+name)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	grant, ok := auth.GrantOf(r.Context())
	if !ok || grant.Service != auth.Queue || !grant.FullKey {
		return fail(http.StatusForbidden, "AuthenticationFailed", "The request was not verified.")
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/queue/"+s.cfg.Account+"/")
	if !ok {
		return fail(http.StatusBadRequest, "InvalidUri", "The URI names no queue.")
	}
	name, part, _ := strings.Cut(rest, "/")
	if !sound(name) {
		return fail(http.StatusBadRequest, "InvalidResourceName", "The specified resource name is not valid.")
	}
	id, isMessage := strings.CutPrefix(part, "messages/")
	switch {
	case part == "" && r.URL.Query().Get("comp") != "" && r.URL.Query().Get("comp") != "metadata":
	case part == "" && r.Method == http.MethodPut && r.URL.Query().Get("comp") == "":
		return s.create(w, name)
	case part == "" && r.Method == http.MethodDelete:
		return s.remove(w, name)
	case part == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return s.properties(w, name)
	case part == "messages" && r.Method == http.MethodPost:
		return s.send(w, r, name)
	case part == "messages" && r.Method == http.MethodGet && r.URL.Query().Get("peekonly") == "":
		return s.receive(w, r, name)
	case isMessage && id != "" && r.Method == http.MethodDelete:
		return s.deleteMessage(w, r, name)
	}
	return fail(http.StatusNotImplemented, "NotImplemented", "The operation is not implemented here.")
}

func (s *Server) create(w http.ResponseWriter, name string) error {
	status := http.StatusCreated
	if _, _, there := s.queues.Counts(name); there {
		status = http.StatusNoContent
	}
	if err := s.queues.Create(name); err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}

func (s *Server) remove(w http.ResponseWriter, name string) error {
	if err := s.queues.Delete(name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) properties(w http.ResponseWriter, name string) error {
	waiting, hidden, ok := s.queues.Counts(name)
	if !ok {
		return msgqueue.ErrNoQueue
	}
	w.Header().Set("x-ms-approximate-messages-count", strconv.Itoa(waiting+hidden))
	w.WriteHeader(http.StatusOK)
	return nil
}

// message is a message as the protocol writes it.
type message struct {
	MessageID       string `xml:"MessageId"`
	InsertionTime   string
	ExpirationTime  string
	PopReceipt      string
	TimeNextVisible string
	DequeueCount    int    `xml:",omitempty"`
	MessageText     string `xml:",omitempty"`
}

type list struct {
	XMLName  xml.Name  `xml:"QueueMessagesList"`
	Messages []message `xml:"QueueMessage"`
}

func messageOf(m msgqueue.Message) message {
	return message{
		MessageID:     fmt.Sprintf("00000000-0000-4000-8000-%012x", m.ID),
		InsertionTime: m.Sent.UTC().Format(http.TimeFormat), ExpirationTime: m.Sent.Add(retention).UTC().
				Format(http.TimeFormat),
		PopReceipt: m.Receipt, TimeNextVisible: m.Visible.UTC().Format(http.TimeFormat),
		DequeueCount: m.Count, MessageText: string(m.Body),
	}
}

func write(w http.ResponseWriter, status int, l list) error {
	body, err := xml.Marshal(l)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+string(body)) // the client may have gone
	return nil
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, name string) error {
	var in struct {
		XMLName     xml.Name `xml:"QueueMessage"`
		MessageText string
	}
	err := xml.NewDecoder(io.LimitReader(r.Body, 2*maxMessage)).Decode(&in)
	switch {
	case err != nil:
		return fail(http.StatusBadRequest, "InvalidXmlDocument", "The specified XML is not syntactically valid.")
	case len(in.MessageText) > maxMessage:
		return fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The message is larger than 64 KiB.")
	}
	sent, err := s.queues.Send(name, []byte(in.MessageText))
	if err != nil {
		return err
	}
	m := messageOf(sent[0])
	m.TimeNextVisible, m.MessageText = m.InsertionTime, ""
	return write(w, http.StatusCreated, list{Messages: []message{m}})
}

func (s *Server) receive(w http.ResponseWriter, r *http.Request, name string) error {
	limit, hide := 1, defaultHide
	if text := r.URL.Query().Get("numofmessages"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxReceive {
			return badQuery("numofmessages")
		}
		limit = n
	}
	if text := r.URL.Query().Get("visibilitytimeout"); text != "" {
		n, err := strconv.Atoi(text)
		if hide = time.Duration(n) * time.Second; err != nil || n < 1 || hide > maxHide {
			return badQuery("visibilitytimeout")
		}
	}
	got, _, err := s.queues.Receive(name, limit, hide)
	if err != nil {
		return err
	}
	var l list
	for _, m := range got {
		l.Messages = append(l.Messages, messageOf(m))
	}
	return write(w, http.StatusOK, l)
}

func (s *Server) deleteMessage(w http.ResponseWriter, r *http.Request, name string) error {
	if err := s.queues.Remove(name, r.URL.Query().Get("popreceipt")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
