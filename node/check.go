package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/store"
)

// Check builds what Run builds, in a folder of its own, and starts nothing: what it refuses, no node would start with. It asks nobody
// and opens no port. Certificates, keys and logs are not looked at: they may be on another machine, as may zone files. Errors wrap
// proa.ErrInvalidConfig.
func Check(ctx context.Context, c Config) (err error) {
	defer func() {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		case err != nil && !errors.Is(err, proa.ErrInvalidConfig):
			err = fmt.Errorf("no node would start with it: %w: %w", proa.ErrInvalidConfig, err)
		}
	}()
	dir, err := os.MkdirTemp("", "proa-check-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c.Logger, c.Proa.Node.Dir = slog.New(slog.DiscardHandler), dir
	d := &c.Proa.DNS
	d.Keys, d.TLS, d.HTTPS, d.Certificate, d.PrivateKey, d.QueryLog = "", nil, nil, "", "", ""
	c.picture = newPicture(c)
	n := &node{cfg: c.Proa, clock: c.Clock, logger: c.Logger, picture: c.picture}
	n.reload = newReloader(n, c.File)
	for r, g := range n.gateways() {
		if len(g.Addresses) == 0 {
			return fmt.Errorf("regions.%s.gateway.addresses: there are none, so the zone has no answer while %s serves: %w", r, r, proa.ErrInvalidConfig)
		}
	}
	if err := n.newDNS(); err != nil {
		return err
	}
	db, err := store.Open(store.Options{Dir: filepath.Join(dir, "datasync"), Logger: c.Logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if n.sync, err = newDataSync(ctx, c, db); err != nil {
		return err
	}
	n.cfg.Cluster = config.Cluster{} // whose certificates are elsewhere
	return n.newTraffic(ctx)
}
