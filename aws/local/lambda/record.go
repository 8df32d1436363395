package lambda

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-cloud/proa/internal/guest"
	"github.com/proa-cloud/proa/internal/store"
)

const (
	latest       = "$LATEST"
	recordPrefix = "function/"
)

// record is a function as it is stored.
type record struct {
	Name           string
	Runtime        string
	Role           string
	Handler        string
	Description    string
	TimeoutSeconds int
	MemoryMB       int
	EphemeralMB    int
	Architectures  []string
	Environment    map[string]string
	CodeHash       string // SHA-256 of the package, hex
	CodeSize       int64
	LastModified   time.Time
	RevisionID     string
	Reserved       *int // concurrency
	Policy         []statement
	Tags           map[string]string

	code guest.Code // where the package is unpacked
}

func (r *record) timeout() time.Duration { return time.Duration(r.TimeoutSeconds) * time.Second }

func (r *record) codeSHA256() string {
	raw, err := hex.DecodeString(r.CodeHash)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func (s *Server) arn(name string) string {
	return "arn:aws:lambda:" + s.cfg.Region + ":" + s.cfg.AccountID + ":function:" + name
}

// load reads the functions and drops packages that none refers to.
func (s *Server) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	packages, unpacked := map[string]bool{}, map[string]bool{}
	for it.First(); it.Valid(); it.Next() {
		var r record
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return fmt.Errorf("record %q: %w", it.Key(), err)
		}
		packages[r.CodeHash+".zip"], unpacked[r.CodeHash] = true, true
		s.functions[r.Name] = &function{record: r}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.cfg.Dir, "scratch")); err != nil {
		return err
	}
	err = errors.Join(guest.Clean(s.packageDir(), packages), guest.Clean(s.codeDir(), unpacked))
	if err != nil {
		return err
	}
	for _, f := range s.functions {
		if f.record.code, err = s.unpack(f.record.CodeHash); err != nil {
			return fmt.Errorf("function %s: %w", f.record.Name, err)
		}
		f.pool = newPool(s, f.record)
	}
	return nil
}

func (s *Server) packageDir() string { return filepath.Join(s.cfg.Dir, "packages") }

func (s *Server) codeDir() string { return filepath.Join(s.cfg.Dir, "code") }

// unpack returns the unpacked package of that hash, from the stored archive if need be.
func (s *Server) unpack(hash string) (guest.Code, error) {
	if code, ok := guest.Find(s.codeDir(), hash); ok {
		return code, nil
	}
	file, err := os.Open(filepath.Join(s.packageDir(), hash+".zip"))
	if err != nil {
		return guest.Code{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return guest.Code{}, err
	}
	return guest.Unpack(file, info.Size(), s.codeDir())
}

// save commits a record and puts it in force. With fresh, its environments are replaced. The
// caller holds writeMu.
func (s *Server) save(r record, fresh bool) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.db.Set([]byte(recordPrefix+r.Name), value, store.Sync); err != nil {
		return err
	}
	s.mu.Lock()
	f := s.functions[r.Name]
	if f == nil {
		f = &function{}
		s.functions[r.Name] = f
	}
	f.record = r
	old := f.pool
	if fresh || old == nil {
		f.pool = newPool(s, r)
		if s.closed {
			f.pool.close(true)
		}
		f.pool.warm()
	}
	s.mu.Unlock()
	if fresh && old != nil {
		old.close(false)
	}
	return nil
}

// remove deletes a record and ends its environments. The caller holds writeMu.
func (s *Server) remove(name string) error {
	if err := s.db.Delete([]byte(recordPrefix+name), store.Sync); err != nil {
		return err
	}
	s.mu.Lock()
	f := s.functions[name]
	delete(s.functions, name)
	s.mu.Unlock()
	f.pool.close(false)
	return nil
}

// get returns a copy of a function's record.
func (s *Server) get(name string) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.functions[name]
	if f == nil {
		return record{}, false
	}
	return f.record, true
}

// syncDir makes a rename in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// stored tells whether the package is already on stable storage.
func (s *Server) stored(hash string) bool {
	_, err := os.Stat(filepath.Join(s.packageDir(), hash+".zip"))
	return !errors.Is(err, fs.ErrNotExist)
}
