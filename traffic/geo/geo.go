// Package geo reads databases that say where networks are, in MaxMind's format (GeoLite2, GeoIP2, DB-IP,
// IPinfo): by continent, country and subdivision.
package geo

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

// The bounds of a database.
const (
	maxBytes   = 512 << 20
	maxEntries = 8_000_000
)

// Database is one file, in memory: to replace the file disturbs nobody.
type Database struct {
	name   string
	reader *maxminddb.Reader
}

// Open reads a database. What is none, or names no place, is refused with proa.ErrInvalidConfig.
func Open(file string) (*Database, error) {
	data, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("geographic database: %w: %w", proa.ErrInvalidConfig, err)
	}
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("geographic database %s: %w: %w", file, proa.ErrInvalidConfig, err)
	}
	d := &Database{name: filepath.Base(file), reader: reader}
	found := false
	for r := range reader.Networks() {
		p, err := place(r)
		if err != nil {
			return nil, fmt.Errorf("geographic database %s: %w: %w", file, proa.ErrInvalidConfig, err)
		}
		if found = p.Continent != "" || p.Country != ""; found {
			break
		}
	}
	if !found {
		return nil, fmt.Errorf("geographic database %s: it is of type %q and names no continent or country: %w",
			file, reader.Metadata.DatabaseType, proa.ErrInvalidConfig)
	}
	return d, nil
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("%s has over %d bytes: %w", file, maxBytes, proa.ErrTooLarge)
	}
	return data, err
}

// String names the database and its day.
func (d *Database) String() string {
	m := d.reader.Metadata
	return fmt.Sprintf("%s (%s of %s)", d.name, m.DatabaseType, m.BuildTime().UTC().Format(time.DateOnly))
}

// Lookup tells where an address is, by which network of the database; false where that is not known.
func (d *Database) Lookup(a netip.Addr) (policy.Place, netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	if a.Is6() && d.reader.Metadata.IPVersion == 4 {
		return policy.Place{}, netip.Prefix{}, false
	}
	r := d.reader.Lookup(a)
	p, err := place(r)
	return p, r.Prefix(), err == nil && r.Found() && p != policy.Place{}
}

// Entries gives each network the class of its place, 0 being none, and joins neighbours of one class.
func (d *Database) Entries(class func(policy.Place) uint16) ([]policy.Entry, error) {
	var list []policy.Entry
	known := map[uintptr]uint16{} // many networks share one record
	for r := range d.reader.Networks() {
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("geographic database %s: %w: %w", d.name, proa.ErrInvalidConfig, err)
		}
		c, ok := known[r.Offset()]
		if !ok {
			p, err := place(r)
			if err != nil {
				return nil, fmt.Errorf("geographic database %s, network %s: %w: %w", d.name, r.Prefix(),
					proa.ErrInvalidConfig, err)
			}
			c = class(p)
			known[r.Offset()] = c
		}
		if c == 0 {
			continue
		}
		if list = join(append(list, policy.Entry{Network: r.Prefix(), Class: c})); len(list) > maxEntries {
			return nil, fmt.Errorf("geographic database %s: over %d networks: %w: %w", d.name, maxEntries,
				proa.ErrInvalidConfig, proa.ErrTooLarge)
		}
	}
	return list, nil
}

// join makes one network of the last two while they are the halves of one, of one class. Networks
// come in order.
func join(list []policy.Entry) []policy.Entry {
	for n := len(list); n > 1; n = len(list) {
		a, b := list[n-2], list[n-1]
		bits := b.Network.Bits()
		if a.Class != b.Class || a.Network.Bits() != bits || bits == 0 ||
			a.Network.Addr().Is4() != b.Network.Addr().Is4() {
			break
		}
		whole := netip.PrefixFrom(a.Network.Addr(), bits-1)
		if whole.Masked().Addr() != a.Network.Addr() || !whole.Contains(b.Network.Addr()) {
			break
		}
		list = append(list[:n-2], policy.Entry{Network: whole, Class: a.Class})
	}
	return list
}

// place reads a record as MaxMind and DB-IP write it, or as IPinfo does.
func place(r maxminddb.Result) (policy.Place, error) {
	var p policy.Place
	if err := r.Err(); err != nil {
		return p, err
	}
	var nested, flat string
	if r.DecodePath(&nested, "country", "iso_code") != nil {
		err := r.DecodePath(&flat, "country")
		p.Country = flat
		_ = r.DecodePath(&p.Continent, "continent") // not all have it
		return p, err
	}
	p.Country = nested
	if p.Country == "" {
		if err := r.DecodePath(&p.Country, "registered_country", "iso_code"); err != nil {
			return p, err
		}
	}
	if err := r.DecodePath(&p.Continent, "continent", "code"); err != nil {
		return p, err
	}
	var part string
	if err := r.DecodePath(&part, "subdivisions", 0, "iso_code"); err != nil {
		return p, err
	}
	if part != "" && p.Country != "" {
		p.Subdivision = p.Country + "-" + part
	}
	return p, nil
}
