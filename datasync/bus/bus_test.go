package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/internal/store"
)

func openDB(t *testing.T, fs *vfs.MemFS) *pebble.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func event(key string, n int) *Event {
	item := proa.Item{"id": proa.String(key), "n": proa.String(strconv.Itoa(n))}
	at := time.Unix(int64(1_700_000_000+n), 0).UTC()
	return &Event{
		Region: proa.AWS, Key: proa.Key{Table: "orders", Hash: proa.String(key)}, Image: proa.Image{Item: item},
		Version: proa.Version{Time: hlc.At(at), Region: proa.AWS, Hash: proa.ContentHash(item)},
		Origin:  at, Captured: at, Won: true, Position: proa.Position(strconv.Itoa(n)),
	}
}

func appendAll(t *testing.T, db *pebble.DB, l *Log, events ...*Event) {
	t.Helper()
	b := db.NewBatch()
	for _, e := range events {
		if _, err := l.Append(b, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	l.Committed()
}

func openLog(t *testing.T, db *pebble.DB) *Log {
	t.Helper()
	l, err := Open(db, 'l')
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheLogKeepsEventsInOrderOverARestart(t *testing.T) {
	fs := vfs.NewMem()
	db := openDB(t, fs)
	l := openLog(t, db)
	var want []Event
	for i := range 5 {
		e := event(fmt.Sprint("k", i%2), i)
		if i == 3 {
			e.Image, e.Version.Hash, e.Expired = proa.Image{}, proa.Hash{}, true
		}
		appendAll(t, db, l, e)
		want = append(want, *e)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, fs)
	defer db.Close()
	l = openLog(t, db)
	got, next, err := l.Read(0, 100)
	if err != nil || next != 6 {
		t.Fatal(next, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[3].Type() != "cloud.proa.item.deleted" || !got[3].Deleted() {
		t.Errorf("type %s", got[3].Type())
	}
}

func TestATrimmedLogSaysSo(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	for i := range 100 {
		appendAll(t, db, l, event("k", i))
	}
	dropped, err := l.Trim(time.Unix(1_700_000_050, 0), 1<<40)
	if err != nil || dropped != 50 {
		t.Fatalf("dropped %d, %v", dropped, err)
	}
	if _, first, err := l.Read(10, 1); !errors.Is(err, ErrGap) || first != 51 {
		t.Errorf("%d, %v", first, err)
	}
	if first, next := l.Ends(); first != 51 || next != 101 {
		t.Errorf("%d, %d", first, next)
	}
}

// A log that has been cut to its bound stays as it is while nothing is written.
func TestTheLogKeepsWhatFits(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, 10<<10)
	for i := range 400 {
		e := event("k", i)
		_, _ = random.Read(text)
		e.Image.Item["b"] = proa.Binary(text)
		appendAll(t, db, l, e)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	const most = 2 << 20
	began := time.Unix(1_700_000_000, 0)
	if dropped, err := l.Trim(began, most); err != nil || dropped == 0 {
		t.Fatalf("%d dropped, %v", dropped, err)
	}
	first, next := l.Ends()
	if size := (next - first) * 10 << 10; size > most || size < most/2 {
		t.Errorf("%d events of more than 10 KiB are kept", next-first)
	}
	for range 40 {
		if again, err := l.Trim(began, most); err != nil || again != 0 {
			t.Fatalf("%d more dropped, %v", again, err)
		}
	}
}

func TestACloudEventHasWhatTheSpecificationAsks(t *testing.T) {
	e := event("k/1", 1)
	e.Offset = 9
	body, err := e.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"specversion": "1.0", "id": e.ID(), "source": "/proa/aws/tables/orders", "type": "cloud.proa.item.written",
		"subject": "orders/k/1", "time": "2023-11-14T22:13:21Z", "datacontenttype": "application/json",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// Receivers know an event again by its id, whichever node sends it, and take no other one for it.
func TestAnIDIsTheChangesAndNotTheLogs(t *testing.T) {
	a, b := event("k", 1), event("k", 1)
	a.Offset, b.Offset = 1, 900
	b.Captured, b.Won = b.Captured.Add(time.Hour), false
	if a.ID() != b.ID() || len(a.ID()) != 32 {
		t.Errorf("one change, captured by two owners: %s and %s", a.ID(), b.ID())
	}
	seen := map[string]string{a.ID(): "a"}
	for name, change := range map[string]func(e *Event){
		"region":   func(e *Event) { e.Region = proa.Azure },
		"key":      func(e *Event) { e.Key.Hash = proa.String("l") },
		"mark":     func(e *Event) { e.Mark = "m" },
		"version":  func(e *Event) { e.Version.Time++ },
		"position": func(e *Event) { e.Position = "8" },
		"object":   func(e *Event) { e.Key, e.Bucket, e.Object = proa.Key{}, "orders", "k" },
		"etag":     func(e *Event) { e.ETag = "x" },
	} {
		e := event("k", 1)
		change(e)
		if other, ok := seen[e.ID()]; ok {
			t.Errorf("%s: the id of %s", name, other)
		}
		seen[e.ID()] = name
	}
}

// An event that an earlier proa has logged is still read.
func TestAnEventOfTheFirstFormatIsRead(t *testing.T) {
	want := event("k", 1)
	body := want.encode()
	body = body[:len(body)-1] // the mark's length
	body[0] = unmarkedFormat
	got, err := decode(0, body)
	if diff := cmp.Diff(*want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	body[0] = eventFormat + 1
	if _, err := decode(0, body); err == nil {
		t.Error("a later format is taken")
	}
}

// Large events are read and kept by their bytes, not only by their number.
func TestReadsAndDeadLettersAreBoundedByBytes(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	r := &receiver{fails: func(Message) error { return fmt.Errorf("HTTP 413: %w", proa.ErrTooLarge) }}
	s := newSubscription(t, db, l, r)
	s.MaxDead, s.MaxDeadBytes = 100, 5<<20
	text := strings.Repeat("x", 1<<20)
	for i := range 20 {
		e := event(fmt.Sprint("k", i), i)
		e.Image.Item["text"] = proa.String(text)
		appendAll(t, db, l, e)
	}
	events, next, err := l.Read(1, 256)
	if err != nil || len(events) != readBytes>>20 || next != uint64(len(events)+1) {
		t.Errorf("%d events, then %d, %v", len(events), next, err)
	}
	stop := run(t, s)
	until(t, "all are refused", func() bool { return s.Status().Next == 21 })
	stop()
	for _, s := range []*Subscription{s, newSubscription(t, db, l, r)} {
		if st := s.Status(); st.Dead != 4 || st.Dropped != 16 {
			t.Errorf("%d dead letters, %d dropped; 4 fit into 5 MiB", st.Dead, st.Dropped)
		}
	}
	dead, err := s.Dead(0, 2)
	if err != nil || len(dead) != 2 || dead[0].Offset != 17 {
		t.Errorf("%d, %v", len(dead), err)
	}
}

func TestFiltersChooseByTablePrefixAndExpression(t *testing.T) {
	object := &Event{Region: proa.Azure, Bucket: "files", Object: "a/b", Version: event("x", 1).Version}
	for _, tc := range []struct {
		tables []string
		prefix string
		source string
		event  *Event
		want   bool
		fails  bool
	}{
		{event: event("k", 1), want: true},
		{tables: []string{"orders"}, event: event("k", 1), want: true},
		{tables: []string{"other"}, event: event("k", 1)},
		{tables: []string{"files"}, event: object, want: true},
		{prefix: "a/", event: object, want: true},
		{prefix: "b", event: event("abc", 1)},
		{source: "event.item.n == '1' && event.region == 'aws'", event: event("k", 1), want: true},
		{source: "event.item.n == '1'", event: event("k", 2)},
		{source: "event.item.absent == 1", event: event("k", 2), fails: true},
		{source: "event.deleted || event.key == 'a/b'", event: object, want: true},
		{source: "event.time > timestamp('2023-01-01T00:00:00Z')", event: event("k", 2), want: true},
		{source: "event.key", event: event("k", 2), fails: true},
	} {
		f, err := NewFilter(tc.tables, tc.prefix, tc.source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Match(tc.event)
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%v %q %q: %t, %v", tc.tables, tc.prefix, tc.source, got, err)
		}
	}
	if _, err := NewFilter(nil, "", "event."); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("a bad expression: %v", err)
	}
}

// receiver is a sink that records and fails as it is told.
type receiver struct {
	mu    sync.Mutex
	got   []uint64
	fails func(m Message) error
	types []string
	down  func() error
}

func (r *receiver) Send(_ context.Context, batch []Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		if err := r.down(); err != nil {
			return err
		}
	}
	for _, m := range batch {
		if r.fails != nil {
			if err := r.fails(m); err != nil {
				return err
			}
		}
	}
	for _, m := range batch {
		r.got = append(r.got, m.Offset)
		r.types = append(r.types, m.ID+" "+m.Type)
	}
	return nil
}

func (r *receiver) offsets() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64{}, r.got...)
}

func newSubscription(t *testing.T, db *pebble.DB, l *Log, sink Sink) *Subscription {
	t.Helper()
	s := &Subscription{
		Name: "audit", Sink: sink, Batch: 3, DB: db, Prefix: 's', Log: l, Clock: time.Now,
		Logger: slog.New(slog.DiscardHandler), First: time.Millisecond, Longest: 5 * time.Millisecond,
		Timeout: time.Second, MaxDead: 5, MaxDeadBytes: 1 << 20,
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Subscription) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func TestASubscriberGetsEveryEventInOrderOverFailuresAndARestart(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	appendAll(t, db, l, event("before", 0))
	r := &receiver{}
	s := newSubscription(t, db, l, r)
	tries := 0
	r.down = func() error {
		if tries++; tries%3 != 0 {
			return fmt.Errorf("down: %w", proa.ErrUnavailable)
		}
		return nil
	}
	stop := run(t, s)
	for i := range 10 {
		appendAll(t, db, l, event("k", i))
	}
	until(t, "ten", func() bool { return len(r.offsets()) == 10 })
	stop()
	s = newSubscription(t, db, l, r)
	defer run(t, s)()
	appendAll(t, db, l, event("k", 11))
	until(t, "eleven", func() bool { return len(r.offsets()) >= 11 })
	got := r.offsets()
	for i, offset := range got {
		if offset != uint64(i+2) {
			t.Fatalf("offsets %v: the first event was before the subscription, the rest in order", got)
		}
	}
	if st := s.Status(); st.Failed == 0 || st.Delivered != 11 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

func TestARefusedEventIsADeadLetterAndHoldsNothingUp(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	r := &receiver{}
	s := newSubscription(t, db, l, r)
	s.MaxDead = 2
	r.fails = func(m Message) error {
		if bytes.Contains(m.Body, []byte("orders/bad")) {
			return fmt.Errorf("HTTP 400: %w", proa.ErrInvalid)
		}
		return nil
	}
	appendAll(t, db, l, event("a", 1), event("bad", 2), event("b", 3), event("bad", 4), event("bad", 5), event("c", 6))
	stop := run(t, s)
	until(t, "the good ones", func() bool { return len(r.offsets()) == 3 && s.Status().Next == 7 })
	stop()
	s = newSubscription(t, db, l, r)
	r.fails = nil
	dead, err := s.Dead(0, 0)
	if err != nil || len(dead) != 2 || dead[0].Offset != 4 || dead[1].Reason == "" || s.Status().Dropped != 1 {
		t.Fatalf("%+v, %+v, %v", dead, s.Status(), err)
	}
	r.types = nil
	if n, err := s.Redeliver(t.Context()); err != nil || n != 2 {
		t.Errorf("a receiver that takes them now: %d, %v", n, err)
	}
	want := []string{event("bad", 4).ID() + " cloud.proa.item.written", event("bad", 5).ID() + " cloud.proa.item.written"}
	if diff := cmp.Diff(want, r.types); diff != "" {
		t.Errorf("what is sent again is what it was: %s", diff)
	}
	if dead, _ := s.Dead(0, 0); len(dead) != 0 || s.Status().Dead != 0 {
		t.Errorf("%+v", dead)
	}
}

func TestEventsThatLeftTheLogAreCountedAsMissed(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	l := openLog(t, db)
	r := &receiver{}
	s := newSubscription(t, db, l, r)
	for i := range 20 {
		appendAll(t, db, l, event("k", i))
	}
	if _, err := l.Trim(time.Unix(1_700_000_010, 0), 1<<40); err != nil {
		t.Fatal(err)
	}
	defer run(t, s)()
	until(t, "the rest", func() bool { return len(r.offsets()) == 10 })
	if st := s.Status(); st.Missed != 10 {
		t.Errorf("%+v", st)
	}
}

func TestAWebhookIsSignedAndItsAnswersAreTold(t *testing.T) {
	secret := proa.NewSecret("s3cret")
	status := http.StatusOK
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		h := req.Header
		if want := Sign(secret, h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body); h.Get("Webhook-Signature") != want {
			t.Errorf("signature %q, want %q", h.Get("Webhook-Signature"), want)
		}
		if h.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("content type %q", h.Get("Content-Type"))
		}
		seen = append(seen, h.Get("Webhook-Id"))
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	hook := &Webhook{URL: server.URL, Secret: secret, Clock: time.Now, Client: server.Client()}
	message := []Message{{Offset: 3, ID: "a3", Body: []byte(`{"id":"a3"}`)}}
	for code, want := range map[int]error{
		200: nil, 204: nil, 302: proa.ErrInvalid, 400: proa.ErrInvalid, 410: proa.ErrInvalid, 408: proa.ErrUnavailable,
		429: proa.ErrUnavailable, 500: proa.ErrUnavailable, 503: proa.ErrUnavailable,
	} {
		status = code
		if err := hook.Send(t.Context(), message); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("HTTP %d: %v", code, err)
		}
	}
	if len(seen) != 9 || seen[0] != "proa-a3" {
		t.Errorf("%v", seen)
	}
	server.Close()
	if err := hook.Send(t.Context(), message); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("nobody listens: %v", err)
	}
}

// The signature is Standard Webhooks' own example, with a secret of plain bytes.
func TestTheSignatureIsHMACOverIDTimestampAndBody(t *testing.T) {
	got := Sign(proa.NewSecret("key"), "msg_1", "1614265330", []byte(`{"test": 2432232314}`))
	const want = "v1,"
	if len(got) != len(want)+44 || got[:3] != want || got == Sign(proa.NewSecret("key"), "msg_2", "1614265330", []byte(`{"test": 2432232314}`)) {
		t.Errorf("%q", got)
	}
}
