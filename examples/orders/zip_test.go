package orders

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-cloud/proa/cloud/cloudtest"
)

func writeExecutable(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bin")
	if err := os.WriteFile(path, cloudtest.Content(size), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThePackageHoldsWhatBothCloudsNeed(t *testing.T) {
	executable := writeExecutable(t, 100_000)
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := Zip(out, executable); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("equal input gave different bytes")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*zip.File{}
	for _, f := range z.File {
		found[f.Name] = f
		if f.Flags&8 != 0 {
			t.Errorf("%s is stored with a data descriptor", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r) // verifies the checksum
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if f.Name != "bootstrap" && !json.Valid(content) {
			t.Errorf("%s is not JSON: %s", f.Name, content)
		}
	}
	b := found["bootstrap"]
	if b == nil || b.Method != zip.Store || b.Mode().Perm() != 0o755 || b.UncompressedSize64 != 100_000 {
		t.Errorf("bootstrap: %+v", b)
	}
	if len(found) != 3 || found["host.json"] == nil || found["api/function.json"] == nil {
		t.Errorf("files: %v", found)
	}
}

func TestPackagingIsFast(t *testing.T) {
	executable := writeExecutable(t, 60<<20)
	began := time.Now()
	if err := Zip(io.Discard, executable); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("60 MiB in %v", took)
	if took > 2*time.Second { // measured 60–90 ms; the bound is for noisy machines
		t.Errorf("took %v", took)
	}
}

func TestAMissingExecutableIsNamed(t *testing.T) {
	if err := Zip(io.Discard, "/does/not/exist"); err == nil {
		t.Error("no error")
	}
}
