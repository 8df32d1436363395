// Package store opens the Pebble databases in which the local clouds, the change log and the shadow index live,
// with one set of options, so that memory and durability are decided in one place.
//
// A batch committed with Sync is on stable storage when Commit returns; concurrent commits share one fsync.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Sync makes a commit durable before it returns. Every acknowledged write uses it.
var Sync = pebble.Sync

// Options says where a database lives. The zero FS is the operating system's.
type Options struct {
	Dir    string
	FS     vfs.FS       // vfs.Default when nil; tests pass a crashable one
	Logger *slog.Logger // nil discards Pebble's own messages
	Cache  int64        // bytes of blocks kept in memory; 0 is 16 MiB
}

const defaultCache = 16 << 20

// Open opens or creates the database, folders included (mode 0700). Errors name the folder; a database that another process
// holds is waited for, for five seconds, and then an error that says so.
func Open(o Options) (*pebble.DB, error) {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	} else if err := fs.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	options := &pebble.Options{
		FS:                          fs,
		CacheSize:                   cmp.Or(o.Cache, defaultCache),
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 4,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      quietLogger{logger.With("store", filepath.Base(o.Dir))},
	}
	for i := range options.Levels {
		// Most keys that are asked for and are not in the cache are new ones: a filter says so without reading a table.
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	lock, err := lockWithin(o.Dir, fs, lockWait)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	options.Lock = lock
	db, err := pebble.Open(o.Dir, options)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, errors.Join(err, lock.Close()))
	}
	return db, lock.Close() // the database has taken it over
}

// lockWait is how long Open waits for a process that holds the folder: one whose supervisor was killed drains for two seconds.
const lockWait = 5 * time.Second

// lockWithin locks the folder, and waits while another process has it.
func lockWithin(dir string, fs vfs.FS, wait time.Duration) (*pebble.Lock, error) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		lock, err := pebble.LockDirectory(dir, fs)
		if !errors.Is(err, syscall.EAGAIN) {
			return lock, err
		}
		if time.Since(began) > wait {
			return nil, fmt.Errorf("another process has it open: %w", err)
		}
	}
}

type quietLogger struct{ *slog.Logger }

func (l quietLogger) Infof(format string, args ...any) {}

func (l quietLogger) Errorf(format string, args ...any) {
	l.Error("store reports", "message", fmt.Sprintf(format, args...))
}

// Fatalf panics: a store that cannot write its log must not acknowledge anything more.
func (l quietLogger) Fatalf(format string, args ...any) {
	panic("store: " + fmt.Sprintf(format, args...))
}
