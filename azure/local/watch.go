package local

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"
)

// watchFile applies the strict file whenever its content changes. A file that is not sound is logged
// and the last good one stays in force.
func (s *services) watchFile(ctx context.Context) error {
	path := filepath.Join(s.dir, FileName)
	last := fingerprint(path)
	ticker := time.NewTicker(fileCheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := fingerprint(path)
		if now == last {
			continue
		}
		last = now
		if err := s.apply(); err != nil {
			s.logger.Error("the file has changed and cannot be applied; the last good one stays in force",
				"error", err)
			continue
		}
		s.logger.Info("applied the changed file", "path", path)
	}
}

// fingerprint changes with the content of a file; a missing one has the zero fingerprint.
func fingerprint(path string) [sha256.Size]byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}
