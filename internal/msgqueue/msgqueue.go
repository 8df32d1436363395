// Package msgqueue is the durable queue behind the local SQS and the local Queue Storage.
//
// A message is on stable storage when Send returns. It is received at least once: one that is not
// deleted before its visibility ends is received again, and so is one whose deletion a crash forgot.
// Messages are received about in the order in which they were sent. A queue holds at most MaxMessages,
// for at most MaxAge; what is older is dropped when it would be received.
package msgqueue

import (
	"container/heap"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// Limits of a queue.
const (
	MaxMessages = 200_000
	MaxQueues   = 1000
)

// Errors.
var (
	ErrNoQueue   = errors.New("there is no such queue")
	ErrNoMessage = errors.New("there is no such message, or its receipt is not the last one")
	ErrFull      = errors.New("the queue is full")
)

// Config says where queues live.
type Config struct {
	Dir    string
	FS     vfs.FS           // the operating system's when nil
	Clock  func() time.Time // must not be nil
	Logger *slog.Logger     // nil discards
	MaxAge time.Duration
}

// Message is one received message.
type Message struct {
	ID      uint64    `json:"-"`
	Body    []byte    `json:"b"`
	Sent    time.Time `json:"t"`
	Count   int       `json:"-"` // how often it was received, this time included, since the last start
	Receipt string    `json:"-"`
	Visible time.Time `json:"-"` // when it can be received again
}

// Store holds all queues.
type Store struct {
	cfg Config
	db  *pebble.DB

	mu     sync.Mutex
	queues map[string]*queue
	next   uint64
}

// queue knows its messages by number; their bodies stay on disk.
type queue struct {
	waiting numbers           // those that can be received, the oldest first
	hidden  visibilities      // those that were received, by when they can be again
	known   map[uint64]*state // all
	arrived chan struct{}     // closed, and made anew, when a message arrives
}

type state struct {
	id      uint64
	count   int
	receipt string
	visible time.Time
}

const (
	queuePrefix   = "q/"
	messagePrefix = "m/"
)

// Open opens the folder and loads what waits. All of it is visible.
func Open(cfg Config) (*Store, error) {
	db, err := store.Open(store.Options{Dir: cfg.Dir, FS: cfg.FS, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("queues: %w", err)
	}
	s := &Store{cfg: cfg, db: db, queues: map[string]*queue{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("queues: load: %w", err), db.Close())
	}
	return s, nil
}

// Close closes the folder. No call may be under way.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.SeekGE([]byte(queuePrefix)); ok; ok = it.Next() {
		s.queues[strings.TrimPrefix(string(it.Key()), queuePrefix)] = newQueue()
	}
	for ok := it.First(); ok; ok = it.Next() {
		name, id, ok := parse(string(it.Key()))
		if !ok || s.queues[name] == nil {
			continue
		}
		q := s.queues[name]
		q.known[id] = &state{id: id}
		heap.Push(&q.waiting, id)
		s.next = max(s.next, id+1)
	}
	return errors.Join(it.Error(), it.Close())
}

func newQueue() *queue { return &queue{known: map[uint64]*state{}, arrived: make(chan struct{})} }

func messageKey(name string, id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(messagePrefix+name+"\x00"), id)
}

func parse(key string) (name string, id uint64, ok bool) {
	rest, ok := strings.CutPrefix(key, messagePrefix)
	if !ok || len(rest) < 9 {
		return "", 0, false
	}
	return rest[:len(rest)-9], binary.BigEndian.Uint64([]byte(rest[len(rest)-8:])), true
}

// Create makes a queue; making it again is no error.
func (s *Store) Create(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] != nil {
		return nil
	}
	if len(s.queues) >= MaxQueues {
		return fmt.Errorf("create queue %q: %w: %d queues", name, ErrFull, MaxQueues)
	}
	if err := s.db.Set([]byte(queuePrefix+name), nil, store.Sync); err != nil {
		return fmt.Errorf("create queue %q: %w", name, err)
	}
	s.queues[name] = newQueue()
	return nil
}

// Delete removes a queue and its messages.
func (s *Store) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] == nil {
		return ErrNoQueue
	}
	delete(s.queues, name)
	b := s.db.NewBatch()
	defer b.Close()
	return errors.Join(
		b.Delete([]byte(queuePrefix+name), nil),
		b.DeleteRange([]byte(messagePrefix+name+"\x00"), []byte(messagePrefix+name+"\x01"), nil),
		b.Commit(store.Sync),
	)
}

// Names lists the queues, in no order.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.queues))
	for name := range s.queues {
		names = append(names, name)
	}
	return names
}

// Counts returns how many messages wait and how many are hidden; false without such a queue.
func (s *Store) Counts(name string) (waiting, hidden int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return 0, 0, false
	}
	q.reveal(s.cfg.Clock())
	return len(q.known) - len(q.hidden), len(q.hidden), true
}

// Send stores messages, all or none, and returns their numbers.
func (s *Store) Send(name string, bodies ...[]byte) ([]Message, error) {
	s.mu.Lock()
	q := s.queues[name]
	switch {
	case q == nil:
		s.mu.Unlock()
		return nil, ErrNoQueue
	case len(q.known)+len(bodies) > MaxMessages:
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %d messages", ErrFull, MaxMessages)
	}
	first := s.next
	s.next += uint64(len(bodies))
	s.mu.Unlock()

	b := s.db.NewBatch()
	defer b.Close()
	sent := make([]Message, 0, len(bodies))
	for i, body := range bodies {
		m := Message{ID: first + uint64(i), Body: body, Sent: s.cfg.Clock()}
		record, err := json.Marshal(m)
		if err == nil {
			err = b.Set(messageKey(name, m.ID), record, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("send: %w", err)
		}
		sent = append(sent, m)
	}
	if err := b.Commit(store.Sync); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] != q {
		return nil, ErrNoQueue // deleted meanwhile
	}
	for _, m := range sent {
		q.known[m.ID] = &state{id: m.ID}
		heap.Push(&q.waiting, m.ID)
	}
	close(q.arrived)
	q.arrived = make(chan struct{})
	return sent, nil
}

// Receive returns up to limit messages and hides them for a time. Where there is none it returns a
// channel that is closed when one arrives; one whose visibility ends before does not close it.
func (s *Store) Receive(
	name string, limit int, hide time.Duration,
) ([]Message, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return nil, nil, ErrNoQueue
	}
	now := s.cfg.Clock()
	q.reveal(now)
	var out []Message
	for len(out) < limit && len(q.waiting) > 0 {
		st := q.known[heap.Pop(&q.waiting).(uint64)]
		if st == nil {
			continue // deleted while it waited
		}
		m, err := s.read(name, st.id)
		if err != nil || now.Sub(m.Sent) > s.cfg.MaxAge {
			delete(q.known, st.id)
			if err = errors.Join(err, s.db.Delete(messageKey(name, st.id), pebble.NoSync)); err != nil {
				return nil, nil, fmt.Errorf("receive: %w", err)
			}
			continue
		}
		st.count++
		st.visible = now.Add(hide)
		st.receipt = strconv.FormatUint(st.id, 36) + "-" + strconv.FormatInt(st.visible.UnixNano(), 36)
		heap.Push(&q.hidden, st)
		m.Count, m.Receipt, m.Visible = st.count, st.receipt, st.visible
		out = append(out, m)
	}
	return out, q.arrived, nil
}

func (s *Store) read(name string, id uint64) (m Message, err error) {
	record, closer, err := s.db.Get(messageKey(name, id))
	if err != nil {
		return m, err
	}
	defer closer.Close()
	err = json.Unmarshal(record, &m)
	m.ID = id
	return m, err
}

// reveal makes messages visible whose time has come.
func (q *queue) reveal(now time.Time) {
	for len(q.hidden) > 0 && !q.hidden[0].visible.After(now) {
		st := heap.Pop(&q.hidden).(*state)
		if q.known[st.id] == st {
			st.receipt = ""
			heap.Push(&q.waiting, st.id)
		}
	}
}

// Remove deletes a received message by its last receipt.
func (s *Store) Remove(name string, receipt string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return ErrNoQueue
	}
	text, _, _ := strings.Cut(receipt, "-")
	id, err := strconv.ParseUint(text, 36, 64)
	if err != nil {
		return fmt.Errorf("receipt %q: %w", receipt, ErrNoMessage)
	}
	st := q.known[id]
	if st == nil || st.receipt != receipt {
		return ErrNoMessage
	}
	delete(q.known, id)
	for i, h := range q.hidden {
		if h == st {
			heap.Remove(&q.hidden, i)
			break
		}
	}
	if err := s.db.Delete(messageKey(name, id), pebble.NoSync); err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

// numbers is a heap of message numbers.
type numbers []uint64

func (n numbers) Len() int           { return len(n) }
func (n numbers) Less(i, j int) bool { return n[i] < n[j] }
func (n numbers) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }
func (n *numbers) Push(x any)        { *n = append(*n, x.(uint64)) }
func (n *numbers) Pop() any {
	last := len(*n) - 1
	x := (*n)[last]
	*n = (*n)[:last]
	return x
}

// visibilities is a heap by when a message can be received again.
type visibilities []*state

func (v visibilities) Len() int           { return len(v) }
func (v visibilities) Less(i, j int) bool { return v[i].visible.Before(v[j].visible) }
func (v visibilities) Swap(i, j int)      { v[i], v[j] = v[j], v[i] }
func (v *visibilities) Push(x any)        { *v = append(*v, x.(*state)) }
func (v *visibilities) Pop() any {
	last := len(*v) - 1
	x := (*v)[last]
	*v = (*v)[:last]
	return x
}
