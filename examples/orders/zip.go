package orders

import (
	"archive/zip"
	"embed"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

//go:embed deploy/host.json deploy/api/function.json
var deployFiles embed.FS

// Zip writes the one package that both clouds run: bootstrap (a copy of the executable), host.json and api/function.json. The executable is
// stored, not compressed, since writing the package is on the way to the first request. Equal input gives equal bytes.
func Zip(w io.Writer, executable string) error {
	z := zip.NewWriter(w)
	for _, name := range []string{"api/function.json", "host.json"} {
		text, err := deployFiles.ReadFile("deploy/" + name)
		if err != nil {
			return fmt.Errorf("zip %s: %w", name, err)
		}
		if err := store(z, name, 0o644, crc32.ChecksumIEEE(text), int64(len(text)), text); err != nil {
			return fmt.Errorf("zip %s: %w", name, err)
		}
	}
	if err := zipExecutable(z, executable); err != nil {
		return fmt.Errorf("zip %s: %w", executable, err)
	}
	return z.Close()
}

// zipExecutable reads the file twice, for its checksum first: a stored entry must say its size up front, or readers that
// stream cannot find its end.
func zipExecutable(z *zip.Writer, executable string) error {
	file, err := os.Open(executable)
	if err != nil {
		return err
	}
	defer file.Close()
	crc := crc32.NewIEEE()
	size, err := io.Copy(crc, file)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	entry, err := createEntry(z, "bootstrap", 0o755, crc.Sum32(), size)
	if err != nil {
		return err
	}
	again := crc32.NewIEEE()
	if _, err := io.Copy(entry, io.TeeReader(file, again)); err != nil {
		return err
	}
	if again.Sum32() != crc.Sum32() {
		return fmt.Errorf("the file changed while it was read")
	}
	return nil
}

func store(z *zip.Writer, name string, mode os.FileMode, crc uint32, size int64, text []byte) error {
	entry, err := createEntry(z, name, mode, crc, size)
	if err != nil {
		return err
	}
	_, err = entry.Write(text)
	return err
}

func createEntry(z *zip.Writer, name string, mode os.FileMode, crc uint32, size int64) (io.Writer, error) {
	h := &zip.FileHeader{
		Name: name, Method: zip.Store, CRC32: crc, CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
		Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), // the first that a zip can tell
	}
	h.SetMode(mode)
	return z.CreateRaw(h)
}
