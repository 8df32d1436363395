package cluster

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// asFrame is writeFrame's output.
func asFrame(t testing.TB, kind byte, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeFrame(&b, kind, body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raftMessage is a frame's body with a message of the given fields.
func raftMessage(t testing.TB, r Record, m *raftpb.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raftFrame(r.Cluster, r.Generation, b)
}

func message(kind raftpb.MessageType, from, to, term, index, logTerm, commit uint64) *raftpb.Message {
	return &raftpb.Message{
		Type: &kind, From: &from, To: &to, Term: &term, Index: &index, LogTerm: &logTerm, Commit: &commit,
	}
}

// hostile is what a peer could send, whole frames and parts.
func hostile(t testing.TB, r Record, from, to uint64) [][]byte {
	t.Helper()
	list := [][]byte{
		{},
		{0},
		{0, 0, 0, 1},
		{0xff, 0xff, 0xff, 0xff, 'r'},
		{0, 0x3f, 0xff, 0xff, 'b', '{'},
		asFrame(t, frameBeat, nil), asFrame(t, frameBeat, []byte("{}")), asFrame(t, frameBeat, []byte("[[[[")),
		asFrame(t, frameBeat, []byte(`{"node":"node-3","id":1}`)),
		asFrame(t, frameBeat, []byte(`{"node":"node-2","verdicts":[{"region":"aws","health":"x"}],"echo":{"node-1":-1}}`)),
		asFrame(t, frameRaft, nil), asFrame(t, frameRaft, make([]byte, 15)), asFrame(t, frameRaft, make([]byte, 4096)),
		asFrame(t, frameRecheck, []byte("gcp")), asFrame(t, frameRecheck, bytes.Repeat([]byte("aws"), 1000)),
		asFrame(t, '?', []byte("a later kind")),
	}
	const most = ^uint64(0)
	for kind := range raftpb.MessageType_name {
		k := raftpb.MessageType(kind)
		for _, m := range []*raftpb.Message{
			message(k, from, to, 1, 0, 0, 0), message(k, from, to, 0, 0, 0, 0), message(k, from, to, 2, 1<<40, 1, 1<<40),
			message(k, from, to, most, most, most, most), message(k, to, to, 3, 1, 1, 1), message(k, 1, to, 3, 1, 1, 1),
		} {
			list = append(list, asFrame(t, frameRaft, raftMessage(t, r, m)))
		}
	}
	app := message(raftpb.MsgApp, from, to, 9, 0, 0, 1<<30)
	for _, index := range []uint64{0, 1, 7, 1 << 50, most} {
		term, kind := uint64(9), raftpb.EntryConfChangeV2
		app.Entries = append(app.Entries, &raftpb.Entry{Index: &index, Term: &term, Type: &kind, Data: []byte("\xff\x01")})
	}
	list = append(list, asFrame(t, frameRaft, raftMessage(t, r, app)))
	snap := message(raftpb.MsgSnap, from, to, 9, 0, 0, 0)
	index, term := uint64(1<<30), uint64(8)
	snap.Snapshot = &raftpb.Snapshot{
		Data: []byte("{"), Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term, ConfState: &raftpb.ConfState{Voters: []uint64{to}}},
	}
	return append(list, asFrame(t, frameRaft, raftMessage(t, r, snap)))
}

// FuzzReadFrame holds that a frame is what was sent, and that no more memory is taken than was sent.
func FuzzReadFrame(f *testing.F) {
	for _, b := range hostile(f, Record{}, 2, 1) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		in, read := bytes.NewReader(sent), 0
		for {
			kind, body, err := readFrame(in)
			if err != nil {
				break
			}
			if len(body) > maxFrame || int(binary.BigEndian.Uint32(sent[read:])) != len(body) || sent[read+4] != kind ||
				!bytes.Equal(sent[read+5:read+5+len(body)], body) {
				t.Fatalf("frame at %d: kind %q, %d bytes", read, kind, len(body))
			}
			read += 5 + len(body)
		}
	})
}

// lone is a formed node of three without its peers.
func lone(t testing.TB, dir string) *Cluster {
	t.Helper()
	for _, n := range []string{"node-1", "node-2", "node-3"} {
		if err := Issue(filepath.Join(dir, "ca"), filepath.Join(dir, n), n, time.Now(), false); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Config{
		Self: "node-1", Nodes: []Node{{"node-1", "127.0.0.1:1", ""}, {"node-2", "127.0.0.1:1", ""}, {"node-3", "127.0.0.1:1", ""}},
		Dir: filepath.Join(dir, "data"), TLS: FilesIn(filepath.Join(dir, "node-1")),
		First: func() (traffic.State, error) {
			return traffic.State{Plan: proa.Plan{Version: 1, Active: proa.AWS}}, nil
		},
		Commit: func(Record) {}, Stand: func(string) {}, Hear: func(Beat) {}, Recheck: func(proa.Region) {},
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // whatever became of it
	return c
}

// found makes the node one of a cluster whose others have the identities 2 and 3.
func (c *Cluster) found() error {
	return c.core.found(time.Now(), map[string]uint64{"node-1": c.disk.id, "node-2": 2, "node-3": 3})
}

// FuzzPeer gives a formed node whatever an authenticated peer could send, down to the log: nothing
// panics, and little waits. A message that contradicts the log may take the node out of decisions.
func FuzzPeer(f *testing.F) {
	c := lone(f, f.TempDir())
	if err := c.found(); err != nil {
		f.Fatal(err)
	}
	for _, b := range hostile(f, c.core.record, 2, c.disk.id) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		if c.core.raft == nil {
			c.core.broken = nil
			if err := c.found(); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.frames(bytes.NewReader(sent), "node-2", func() error { return nil }) // it ends somehow
		if got := c.queued.Load(); got < 0 || got > int64(len(sent)) {
			t.Fatalf("%d bytes wait of %d", got, len(sent))
		}
		for len(c.inbox) > 0 {
			in := <-c.inbox
			c.queued.Add(-int64(len(in.message)))
			// Fuzzing cannot guess who is who: it changes the rest.
			m := &raftpb.Message{}
			if from := uint64(2); proto.Unmarshal(in.message, m) == nil {
				m.From, m.To = &from, &c.disk.id
				in.cluster, in.generation = c.core.record.Cluster, c.core.record.Generation
				in.message, _ = proto.Marshal(m)
			}
			c.core.do(func() { c.core.hear(in) })
		}
	})
}

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.lines.String(), text)
}

// as connects to a node as another one that has its credentials.
func (f *fleet) as(name, to string) (*tls.Conn, error) {
	creds, err := newCredentials(FilesIn(filepath.Join(f.dir, name, "tls")), time.Now)
	if err != nil {
		return nil, err
	}
	cfg, err := creds.client(to, protocol)
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", f.addrs[to], cfg)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	return conn, nil
}

// TestHostileFramesChangeNothing: a peer with good credentials sends broken, huge and truncated frames,
// on many connections, some of which it leaves open.
func TestHostileFramesChangeNothing(t *testing.T) {
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start("node-1", "node-3", "node-2")
	f.have(f.propose(f.names...), f.names...)
	f.stop("node-2")
	f.have(f.propose("node-1", "node-3"), "node-1", "node-3")
	beat, err := json.Marshal(Beat{Node: "node-2", News: News{Verdicts: make([]proa.Verdict, 20_000)}})
	if err != nil {
		t.Fatal(err)
	}
	crowd := append(make([]byte, 16), bytes.Repeat([]byte{raftEntries<<3 | 2, 0}, maxFrame/2-8)...)
	frames := append(hostile(t, Record{}, 5, 6), asFrame(t, frameBeat, beat), asFrame(t, frameRaft, crowd))
	send := func() {
		for _, frame := range frames {
			conn, err := f.as("node-2", "node-1")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := conn.Write(frame); err != nil {
					break // it hung up
				}
			}
			_ = conn.Close()
		}
	}
	memory := func() (uint64, int) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	send()
	heap, goroutines := memory()
	send()
	send()
	f.have(f.propose("node-1", "node-3"), "node-1", "node-3")
	f.within(20*time.Second, "memory as it was", func() bool {
		after, now := memory()
		return after < heap+8<<20 && now <= goroutines+10
	})
	if got := f.nodes["node-1"].queued.Load(); got > maxQueued {
		t.Errorf("%d bytes wait", got)
	}
}

// TestAMemberThatContradictsTheLogTakesOneNodeOut, and no process down.
func TestAMemberThatContradictsTheLogTakesOneNodeOut(t *testing.T) {
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	f.have(f.propose(f.names...), f.names...)
	r := f.nodes["node-1"].View().Record
	victim := f.nodes["node-1"]
	forged := message(raftpb.MsgHeartbeat, r.Members["node-3"], r.Members["node-1"], 1<<40, 0, 0, 1<<40)
	conn, err := f.as("node-2", "node-1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(asFrame(t, frameRaft, raftMessage(t, r, forged))); err != nil { // as another: not heard
		t.Fatal(err)
	}
	f.have(f.propose(f.names...), f.names...)
	own := message(raftpb.MsgHeartbeat, r.Members["node-2"], r.Members["node-1"], 1<<40, 0, 0, 1<<40)
	if _, err := conn.Write(asFrame(t, frameRaft, raftMessage(t, r, own))); err != nil {
		t.Fatal(err)
	}
	f.within(20*time.Second, "node-1 decides nothing more, and says why", func() bool {
		victim.mu.Lock()
		defer victim.mu.Unlock()
		return strings.Contains(victim.last, "this node's log has failed: the log is broken: raft: tocommit(")
	})
	f.have(f.propose("node-2", "node-3"), "node-2", "node-3")
}

func TestBadCertificatesAreRefusedWithAReason(t *testing.T) {
	f := newFleet(t, "node-1", "node-2", "node-3")
	log := &logged{}
	cfg := f.config("node-1")
	cfg.Commit, cfg.Stand = func(Record) {}, func(string) {}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	issue := func(ca, name string, at time.Time) {
		if err := Issue(filepath.Join(f.dir, ca), filepath.Join(f.dir, "bad", "tls"), name, at, true); err != nil {
			t.Fatal(err)
		}
		// It trusts the cluster's authority.
		own := FilesIn(filepath.Join(f.dir, "node-1", "tls"))
		if err := copyFile(own.CA, FilesIn(filepath.Join(f.dir, "bad", "tls")).CA); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what, ca, name string
		at             time.Time
		log            string
	}{
		{"of another authority", "other-ca", "node-2", time.Now(), "certificate signed by unknown authority"},
		{"expired", "ca", "node-2", time.Now().AddDate(-5, 0, 0), "certificate has expired or is not yet valid"},
		{"not yet valid", "ca", "node-2", time.Now().AddDate(0, 0, 9), "is before"},
		{"of no configured node", "ca", "node-9", time.Now(), "the certificate names [\\\"node-9\\\"]: none is a configured node"},
		{"of the node itself", "ca", "node-1", time.Now(), "the certificate names [\\\"node-1\\\"]: none is a configured node"},
	} {
		issue(c.ca, c.name, c.at)
		conn, err := f.as("bad", "node-1")
		if err == nil { // TLS 1.3: the client learns of it when it reads
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil || err == io.EOF || !strings.Contains(plainError(err), "it refuses this node's certificate") {
			t.Errorf("%s: %v", c.what, err)
		}
		f.within(20*time.Second, fmt.Sprintf("a log line about a certificate %s: %q", c.what, c.log), func() bool { return log.has(c.log) })
	}
	bare, err := tls.Dial("tcp", f.addrs["node-1"], &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13})
	if err == nil {
		_, err = bare.Read(make([]byte, 1))
		_ = bare.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("no certificate: %v", err)
	}
	f.within(20*time.Second, "a log line", func() bool { return log.has("client didn't provide a certificate") })
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, b)
}
