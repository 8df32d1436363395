package guest

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type entry struct {
	name string
	body string
	mode fs.FileMode
}

func archive(t testing.TB, method uint16, entries ...entry) *bytes.Reader {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: method}
		header.SetMode(e.mode)
		file, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out.Bytes())
}

func TestUnpackKeepsContentsAndExecutableBits(t *testing.T) {
	zipped := archive(t, zip.Deflate,
		entry{"bootstrap", "#!/bin/sh\n", 0o755},
		entry{"data/deep/file.txt", "hello", 0o644},
		entry{"data/link", "deep/file.txt", fs.ModeSymlink | 0o777})
	root := filepath.Join(t.TempDir(), "code")
	code, err := Unpack(zipped, zipped.Size(), root)
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Join(root, code.Hash); got != code.Dir || len(code.Hash) != 64 {
		t.Errorf("code is %+v", code)
	}
	for name, want := range map[string]fs.FileMode{"bootstrap": 0o700, "data/deep/file.txt": 0o600} {
		info, err := os.Stat(filepath.Join(code.Dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
	linked, err := os.ReadFile(filepath.Join(code.Dir, "data/link"))
	if err != nil || string(linked) != "hello" {
		t.Errorf("through the link: %q, %v", linked, err)
	}
}

func TestUnpackTwiceAtOnceGivesOneFolder(t *testing.T) {
	zipped := archive(t, zip.Store, entry{"bootstrap", "x", 0o755})
	root := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Unpack(zipped, zipped.Size(), root); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries under the root, want 1 (%v)", len(entries), err)
	}
}

func TestUnpackRefusesWhatIsNotAPackage(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
	}{
		{"path above", []entry{{"../evil", "x", 0o644}}},
		{"path hidden in the middle", []entry{{"a/../../evil", "x", 0o644}}},
		{"absolute path", []entry{{"/etc/evil", "x", 0o644}}},
		{"backslashes", []entry{{`..\evil`, "x", 0o644}}},
		{"absolute link", []entry{{"l", "/etc/passwd", fs.ModeSymlink | 0o777}}},
		{"link above", []entry{{"a/l", "../../x", fs.ModeSymlink | 0o777}}},
		{"link above through a link", []entry{
			{"x/y", "..", fs.ModeSymlink | 0o777}, {"x/y/l", "../../etc", fs.ModeSymlink | 0o777},
		}},
		{"link to itself", []entry{{"l", "l", fs.ModeSymlink | 0o777}}},
		{"the same link twice", []entry{
			{"l", "a", fs.ModeSymlink | 0o777}, {"l", "b", fs.ModeSymlink | 0o777},
		}},
		{"name too long", []entry{{strings.Repeat("n", 300), "x", 0o644}}},
		{"file as a folder", []entry{{"a", "x", 0o644}, {"a/b", "x", 0o644}}},
		{"folder as a file", []entry{{"a/b", "x", 0o644}, {"a", "x", 0o644}}},
		{"zero byte in a name", []entry{{"a\x00b", "x", 0o644}}},
		{"device", []entry{{"d", "", fs.ModeDevice | 0o644}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			zipped := archive(t, zip.Store, c.entries...)
			top := t.TempDir()
			root := filepath.Join(top, "root")
			_, err := Unpack(zipped, zipped.Size(), root)
			if !errors.Is(err, ErrBadPackage) {
				t.Errorf("got %v, want ErrBadPackage", err)
			}
			for _, dir := range []string{top, root} {
				entries, _ := os.ReadDir(dir)
				for _, e := range entries {
					if e.Name() != "root" {
						t.Errorf("%s stays behind in %s", e.Name(), dir)
					}
				}
			}
		})
	}
	t.Run("no archive at all", func(t *testing.T) {
		junk := bytes.NewReader([]byte("junk"))
		if _, err := Unpack(junk, junk.Size(), t.TempDir()); !errors.Is(err, ErrBadPackage) {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnpackRefusesTooManyFiles(t *testing.T) {
	entries := make([]entry, MaxFiles+1)
	for i := range entries {
		entries[i] = entry{fmt.Sprintf("f%d", i), "", 0o644}
	}
	zipped := archive(t, zip.Store, entries...)
	if _, err := Unpack(zipped, zipped.Size(), t.TempDir()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestUnpackRefusesABomb(t *testing.T) {
	body := string(make([]byte, 1<<20))
	var entries []entry
	for i := range MaxUnpackedBytes>>20 + 1 {
		entries = append(entries, entry{fmt.Sprintf("f%d", i), body, 0o644})
	}
	zipped := archive(t, zip.Deflate, entries...)
	if _, err := Unpack(zipped, zipped.Size(), t.TempDir()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestCleanKeepsOnlyWhatIsNamed(t *testing.T) {
	root := t.TempDir()
	zipped := archive(t, zip.Store, entry{"bootstrap", "x", 0o755})
	code, err := Unpack(zipped, zipped.Size(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".unpack-1", "old"} {
		if err := os.MkdirAll(filepath.Join(root, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clean(root, map[string]bool{code.Hash: true}); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(root)
	if len(entries) != 1 || entries[0].Name() != code.Hash {
		t.Errorf("left: %v", entries)
	}
}

func TestUnpackOfSixtyMegabytesIsQuick(t *testing.T) {
	zipped := archive(t, zip.Store, entry{"bootstrap", string(make([]byte, 60<<20)), 0o755})
	start := time.Now()
	if _, err := Unpack(zipped, zipped.Size(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	// The budget is 300 ms; ten times that keeps the test quiet on a busy machine.
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v", took)
	} else {
		t.Logf("took %v", took)
	}
}
