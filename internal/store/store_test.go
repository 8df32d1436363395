package store

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestMain lets the test binary be a second process that holds a database until its standard input ends.
func TestMain(m *testing.M) {
	dir := os.Getenv("STORE_TEST_HOLD")
	if dir == "" {
		os.Exit(m.Run())
	}
	db, err := Open(Options{Dir: dir})
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if db.Close() != nil {
		os.Exit(2)
	}
	os.Exit(0)
}

// hold has another process hold the database; the returned function has it let go.
func hold(t *testing.T, dir string) (letGo func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the holder said %q, %v", line, err)
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the holder: %v", err)
		}
	}
}

func TestADatabaseThatIsBeingClosedIsWaitedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	letGo := hold(t, dir)
	done := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() { letGo(); close(done) })
	db, err := Open(Options{Dir: dir})
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestADatabaseThatStaysOpenElsewhereIsAnErrorThatSaysSo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	defer hold(t, dir)()
	_, err := lockWithin(dir, vfs.Default, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("got %v", err)
	}
}

func TestAnAcknowledgedWriteSurvivesACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db, err := Open(Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("k"), []byte("v"), Sync); err != nil {
		t.Fatal(err)
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{}) // all that was not synced is gone
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = Open(Options{Dir: "db", FS: after})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, closer, err := db.Get([]byte("k"))
	if err != nil || string(v) != "v" {
		t.Fatalf("got %q, %v", v, err)
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}
