// Package guest runs a function author's code package as child processes, for both local clouds.
//
// A package is unpacked once, into a folder named by its hash. A process gets exactly the
// environment, arguments and folders that it is given, and nothing of its parent's. It stays in its
// parent's process group, so that a SIGKILL of the group takes it along, and on Linux it dies with
// its parent however the parent dies. See README.md for what holds on macOS.
package guest

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Limits of one code package. The first is AWS Lambda's ("Deployment package (.zip file archive)
// size", docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const (
	MaxUnpackedBytes = 250 << 20
	MaxFiles         = 10_000
)

const (
	copyBufferBytes = 1 << 20
	maxLinkBytes    = 4096
	tempPrefix      = ".unpack-"
)

var (
	// ErrTooLarge is a package past MaxUnpackedBytes or MaxFiles.
	ErrTooLarge = errors.New("code package is too large")
	// ErrBadPackage is a file that is no zip archive, or one that tries to write outside its folder.
	ErrBadPackage = errors.New("code package is not a valid zip archive")
)

// Code is an unpacked code package. Its folder must not be written to.
type Code struct {
	Dir  string // absolute where root was
	Hash string // SHA-256 of the archive, in hex
}

// Unpack unpacks the archive into root/<hash> and returns where. A package that is already there is
// not unpacked again. The folder appears whole or not at all; it is not fsynced, because it can be
// made again from the archive. Files keep their executable bits and are otherwise private to the
// user. Errors wrap ErrTooLarge or ErrBadPackage when the archive is to blame.
func Unpack(archive io.ReaderAt, size int64, root string) (Code, error) {
	hash, err := hashOf(archive, size)
	if err != nil {
		return Code{}, fmt.Errorf("unpack code: %w", err)
	}
	if code, ok := Find(root, hash); ok {
		return code, nil
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return Code{}, fmt.Errorf("unpack code: %w", err)
	}
	temp, err := os.MkdirTemp(root, tempPrefix)
	if err != nil {
		return Code{}, fmt.Errorf("unpack code: %w", err)
	}
	if err := extract(archive, size, temp); err != nil {
		return Code{}, errors.Join(fmt.Errorf("unpack code: %w", err), os.RemoveAll(temp))
	}
	code := Code{Dir: filepath.Join(root, hash), Hash: hash}
	if err := os.Rename(temp, code.Dir); err != nil {
		removeErr := os.RemoveAll(temp)
		if code, ok := Find(root, hash); ok { // somebody else was faster
			return code, removeErr
		}
		return Code{}, fmt.Errorf("unpack code: %w", err)
	}
	return code, nil
}

// Find returns the package of that hash, if it has been unpacked under root.
func Find(root, hash string) (Code, bool) {
	dir := filepath.Join(root, hash)
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || hash == "" {
		return Code{}, false
	}
	return Code{Dir: dir, Hash: hash}, true
}

// Clean removes everything under root but the packages with the hashes to keep: leftovers of a
// crash and packages that no function uses any more. Call it while nothing is being unpacked there.
func Clean(root string, keep map[string]bool) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean code folder: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if !keep[entry.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(root, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

func hashOf(archive io.ReaderAt, size int64) (string, error) {
	sum := sha256.New()
	buffer := make([]byte, copyBufferBytes)
	// The wrapper hides the section's other methods, so that the large buffer is what is used.
	source := struct{ io.Reader }{io.NewSectionReader(archive, 0, size)}
	if _, err := io.CopyBuffer(sum, source, buffer); err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func extract(archive io.ReaderAt, size int64, dir string) error {
	reader, err := zip.NewReader(archive, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadPackage, err)
	}
	if len(reader.File) > MaxFiles {
		return fmt.Errorf("%w: %d files, at most %d are allowed",
			ErrTooLarge, len(reader.File), MaxFiles)
	}
	// A Root refuses every path that would leave the folder, symbolic links included.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := extractor{root: root, left: MaxUnpackedBytes, buffer: make([]byte, copyBufferBytes)}
	for _, file := range reader.File {
		if err := x.add(file); err != nil {
			return fmt.Errorf("%.200q: %w", file.Name, blame(err))
		}
	}
	return x.checkLinks()
}

type extractor struct {
	root   *os.Root
	left   int64
	buffer []byte
	links  []string
}

// blame marks errors that come from the names in the archive and not from the disk.
func blame(err error) error {
	for _, cause := range []error{
		syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.EINVAL, syscall.ELOOP,
	} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", ErrBadPackage, err)
		}
	}
	return err
}

// checkLinks follows every link once all are there: one that lies behind another leads elsewhere than its text says.
func (x *extractor) checkLinks() error {
	for _, name := range x.links {
		if _, err := x.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: the link %.200q leaves the package: %w", ErrBadPackage, name, err)
		}
	}
	return nil
}

func (x *extractor) add(file *zip.File) error {
	name := path.Clean(file.Name)
	if !filepath.IsLocal(name) || strings.Contains(file.Name, `\`) {
		return fmt.Errorf("%w: the path leaves the package", ErrBadPackage)
	}
	if strings.HasSuffix(file.Name, "/") {
		return x.root.MkdirAll(name, 0o700)
	}
	if err := x.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	switch mode := file.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return x.link(file, name)
	case mode.IsRegular():
		return x.file(file, name)
	default:
		return fmt.Errorf("%w: neither a file, a folder nor a link", ErrBadPackage)
	}
}

func (x *extractor) file(file *zip.File, name string) error {
	perm := fs.FileMode(0o600)
	if file.Mode()&0o111 != 0 {
		perm = 0o700
	}
	source, err := file.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadPackage, err)
	}
	defer source.Close()
	target, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	// One byte more than is left tells a package that fits from one that does not; the size that
	// the archive claims is not believed.
	copied, err := io.CopyBuffer(
		struct{ io.Writer }{target}, io.LimitReader(source, x.left+1), x.buffer)
	x.left -= copied
	if closeErr := target.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	if x.left < 0 {
		return fmt.Errorf("%w: more than %d bytes unpacked", ErrTooLarge, MaxUnpackedBytes)
	}
	if errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrFormat) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrBadPackage, err)
	}
	return err
}

func (x *extractor) link(file *zip.File, name string) error {
	source, err := file.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadPackage, err)
	}
	defer source.Close()
	target, err := io.ReadAll(io.LimitReader(source, maxLinkBytes))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadPackage, err)
	}
	if path.IsAbs(string(target)) || !filepath.IsLocal(path.Join(path.Dir(name), string(target))) {
		return fmt.Errorf("%w: the link leaves the package", ErrBadPackage)
	}
	x.links = append(x.links, name)
	return x.root.Symlink(string(target), name)
}
