package node

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// shadowCache is how much of the change log and the shadow index stays in memory, so that a backlog of some ten thousand items
// of 1 KiB is not read and decompressed once for each step.
const shadowCache = 48 << 20

// openEvery is how often a store on a full disk is tried again.
const openEvery = time.Second

// openStore opens data sync's store. On a full or failing disk it tries until that is mended, and says so once: the name
// server answers meanwhile, which a node that ended would take with it. Opening may block for as long as the disk does;
// it is left alone when ctx ends, and there is no store then.
func openStore(ctx context.Context, c Config) (*pebble.DB, error) {
	o := store.Options{Dir: filepath.Join(c.Proa.Node.Dir, "datasync"), Logger: c.Logger, Cache: shadowCache}
	open := c.open
	if open == nil {
		open = store.Open
	}
	slow := time.AfterFunc(10*openEvery, func() {
		c.Logger.Warn("the data store is not open yet: the name server answers by the saved plan, all else waits", "folder", o.Dir)
	})
	defer slow.Stop()
	for told := ""; ; {
		db, err := openOnce(ctx, func() (*pebble.DB, error) { return open(o) })
		if err == nil || !mendable(err) || ctx.Err() != nil {
			return db, err
		}
		if told != err.Error() {
			told = err.Error()
			c.Logger.Error("the data store cannot be opened: the name server answers by the saved plan, all else waits; make room on the disk",
				"err", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // the end
		case <-time.After(openEvery):
		}
	}
}

// openOnce waits for open or the end of ctx. What is opened after that is closed again.
func openOnce(ctx context.Context, open func() (*pebble.DB, error)) (*pebble.DB, error) {
	type opened struct {
		db  *pebble.DB
		err error
	}
	done := make(chan opened)
	go func() {
		db, err := open()
		select {
		case done <- opened{db, err}:
		case <-ctx.Done():
			if err == nil {
				_ = db.Close() // nothing was written
			}
		}
	}()
	select {
	case o := <-done:
		return o.db, o.err
	case <-ctx.Done():
		return nil, nil //nolint:nilnil // the end
	}
}

// mendable reports whether an error is the disk's, which an operator can mend under a running node.
func mendable(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
