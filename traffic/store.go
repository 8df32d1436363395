package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/atomicfile"
)

// PlanStore keeps the controller's durable state.
type PlanStore interface {
	// Load returns the saved state, the zero State when none was ever saved.
	Load() (State, error)
	// Save replaces the saved state. It has returned nil only after the state is on stable storage;
	// a crash at any moment leaves the old state or the new one, whole.
	Save(State) error
}

// FileStore is a PlanStore in one JSON file.
type FileStore struct {
	Path string // the file's path; its folder exists
}

// maxStateBytes bounds what Load reads.
const maxStateBytes = 16 << 20

// Load reads the file. A file that is not a saved state is an error with a hint and never an empty
// state: starting afresh would bring versions back that have been used.
func (f FileStore) Load() (State, error) {
	var s State
	fail := func(err error) (State, error) {
		return State{}, &proa.Error{
			Op: "load plan", Key: f.Path, Err: err,
			Hint: "restore the file from a copy, or remove it to start again from plan 1",
		}
	}
	info, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return fail(err)
	}
	if info.Size() > maxStateBytes {
		return fail(fmt.Errorf("%d bytes: %w", info.Size(), proa.ErrTooLarge))
	}
	b, err := os.ReadFile(f.Path)
	if err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return fail(fmt.Errorf("%w: %w", proa.ErrInvalid, err))
	}
	if s.Plan.Version == 0 {
		return fail(fmt.Errorf("no plan in it: %w", proa.ErrInvalid))
	}
	return s, nil
}

// Save replaces the file, durably.
func (f FileStore) Save(s State) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("save plan %d: %w", s.Plan.Version, err)
	}
	if err := atomicfile.Write(f.Path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save plan %d: %w", s.Plan.Version, err)
	}
	return nil
}
