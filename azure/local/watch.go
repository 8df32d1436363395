package local

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// watchFile applies the strict file whenever it changes, or a package that it names. A file that is
// not sound is logged and the last good one stays in force.
func (s *services) watchFile(ctx context.Context) error {
	path := filepath.Join(s.dir, FileName)
	last := s.fingerprint(path)
	ticker := time.NewTicker(fileCheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := s.fingerprint(path)
		if now == last {
			continue
		}
		if err := s.apply(); err != nil {
			s.logger.Error("the file has changed and cannot be applied; the last good one stays in force",
				"error", err)
		} else {
			s.logger.Info("applied the changed file", "path", path)
		}
		last = s.fingerprint(path) // with the packages that it names now
	}
}

// fingerprint changes with the content of the file and with the packages of the apps in force.
func (s *services) fingerprint(path string) [sha256.Size]byte {
	h := sha256.New()
	if data, err := os.ReadFile(path); err == nil {
		h.Write(data)
	}
	for _, a := range s.apps {
		if info, err := os.Stat(a.Package); err == nil {
			fmt.Fprint(h, a.Package, info.Size(), info.ModTime().UnixNano())
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
