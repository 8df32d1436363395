package msgqueue

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func open(t *testing.T, fs vfs.FS, c *clock) *Store {
	t.Helper()
	s, err := Open(Config{Dir: "q", FS: fs, Clock: c.time, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func receive(t *testing.T, s *Store, want ...string) (receipts []string) {
	t.Helper()
	got, _, err := s.Receive("a", 10, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range got {
		bodies, receipts = append(bodies, string(m.Body)), append(receipts, m.Receipt)
	}
	if len(bodies) != len(want) {
		t.Fatalf("received %q, want %q", bodies, want)
	}
	for i := range want {
		if bodies[i] != want[i] {
			t.Fatalf("received %q, want %q", bodies, want)
		}
	}
	return receipts
}

func send(t *testing.T, s *Store, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := s.Send("a", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMessagesStayUntilTheyAreRemoved(t *testing.T) {
	fs, c := vfs.NewCrashableMem(), &clock{time.Unix(1.7e9, 0)}
	s := open(t, fs, c)
	if err := errors.Join(s.Create("a"), s.Create("a"), s.Create("b")); err != nil {
		t.Fatal(err)
	}
	send(t, s, "1", "2", "3")
	first := receive(t, s, "1", "2", "3")
	receive(t, s)
	if err := s.Remove("a", first[1]); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(31 * time.Second)
	second := receive(t, s, "1", "3")
	if err := s.Remove("a", first[0]); !errors.Is(err, ErrNoMessage) {
		t.Errorf("a receipt that is not the last one removes: %v", err)
	}
	if err := s.Remove("a", second[0]); err != nil {
		t.Fatal(err)
	}
	if waiting, hidden, ok := s.Counts("a"); waiting != 0 || hidden != 1 || !ok {
		t.Errorf("%d wait, %d are hidden", waiting, hidden)
	}
	send(t, s, "4") // makes the deletions before it durable as well
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	again := open(t, crashed, c)
	receive(t, again, "3", "4")
	if got, _, err := again.Receive("b", 1, 0); err != nil || len(got) > 0 {
		t.Errorf("another queue has %v, %v", got, err)
	}
	if err := errors.Join(s.Close(), again.Close()); err != nil {
		t.Error(err)
	}
}

func TestOldMessagesAndDeletedQueuesAreGone(t *testing.T) {
	c := &clock{time.Unix(1.7e9, 0)}
	s := open(t, vfs.NewMem(), c)
	defer s.Close()
	if err := s.Create("a"); err != nil {
		t.Fatal(err)
	}
	send(t, s, "old")
	c.now = c.now.Add(2 * time.Hour)
	send(t, s, "new")
	receive(t, s, "new")
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Receive("a", 1, 0); !errors.Is(err, ErrNoQueue) {
		t.Error(err)
	}
	if err := s.Create("a"); err != nil {
		t.Fatal(err)
	}
	receive(t, s)
}

func TestAReceiverIsWokenByAMessage(t *testing.T) {
	s := open(t, vfs.NewMem(), &clock{time.Unix(1.7e9, 0)})
	defer s.Close()
	if err := s.Create("a"); err != nil {
		t.Fatal(err)
	}
	_, arrived, err := s.Receive("a", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := s.Send("a", []byte("1"))
		sent <- err
	}()
	<-arrived
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	receive(t, s, "1")
}
