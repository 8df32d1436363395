// Package dnssec holds a zone's keys and signs its record sets. It knows nothing of how answers are
// found: records come and go as RDATA on the wire.
//
// Keys carry times, in the files and the meaning of BIND's: from Publish to Delete a key is in the
// zone, from Activate to Inactive it signs. Whatever is served follows from keys and clock alone, so
// that several name servers with the same files roll over together without a word between them.
package dnssec

import (
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/atomicfile"
)

// Algorithms that zones are signed with.
const (
	ECDSAP256 = mdns.ECDSAP256SHA256 // RFC 6605
	Ed25519   = mdns.ED25519         // RFC 8080
)

// Flags of a key.
const (
	flagZone = 256
	flagSEP  = 1 // the parent zone's DS points at it
)

// Key is one key of a zone.
type Key struct {
	// Zone is the zone's name in presentation format, with its last dot.
	Zone string
	// Algorithm is ECDSAP256 or Ed25519.
	Algorithm uint8
	// Tag is the number by which signatures name the key.
	Tag uint16
	// Entry says that the parent's DS points at the key. A zone whose keys are all of this kind
	// signs everything with them.
	Entry bool
	// Times say when the key is in use.
	Times Times

	record  *mdns.DNSKEY
	private crypto.Signer
}

// Times are when a key changes its part; zero means never.
type Times struct {
	Created, Publish, Activate, Inactive, Delete time.Time
	// SyncPublish and SyncDelete bound when CDS and CDNSKEY ask the parent for the key.
	SyncPublish, SyncDelete time.Time
}

// Generate makes a key that is published, active and asked for from now on.
func Generate(zone string, algorithm uint8, entry bool, now time.Time) (Key, error) {
	flags := uint16(flagZone)
	if entry {
		flags |= flagSEP
	}
	if algorithm != ECDSAP256 && algorithm != Ed25519 {
		return Key{}, fmt.Errorf("generate key: algorithm %d: want 13 or 15: %w", algorithm,
			proa.ErrInvalidConfig)
	}
	now = now.UTC().Truncate(time.Second)
	r := &mdns.DNSKEY{
		Hdr: mdns.RR_Header{
			Name: mdns.CanonicalName(zone), Rrtype: mdns.TypeDNSKEY, Class: mdns.ClassINET, Ttl: 3600,
		},
		Flags: flags, Protocol: 3, Algorithm: algorithm,
	}
	private, err := r.Generate(256)
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	k, err := newKey(r, private)
	k.Times = Times{Created: now, Publish: now, Activate: now}
	if entry {
		k.Times.SyncPublish = now
	}
	return k, err
}

func newKey(r *mdns.DNSKEY, private crypto.PrivateKey) (Key, error) {
	signer, ok := private.(crypto.Signer)
	switch {
	case !ok:
		return Key{}, fmt.Errorf("key of %s cannot sign: %w", r.Hdr.Name, proa.ErrInvalidConfig)
	case r.Algorithm != ECDSAP256 && r.Algorithm != Ed25519:
		return Key{}, fmt.Errorf("key of %s: algorithm %d: want 13 or 15: %w", r.Hdr.Name,
			r.Algorithm, proa.ErrInvalidConfig)
	case r.Flags&flagZone == 0 || r.Flags&mdns.REVOKE != 0:
		return Key{}, fmt.Errorf("key of %s: flags %d: %w", r.Hdr.Name, r.Flags, proa.ErrInvalidConfig)
	}
	return Key{
		Zone: mdns.CanonicalName(r.Hdr.Name), Algorithm: r.Algorithm, Tag: r.KeyTag(),
		Entry: r.Flags&flagSEP != 0, record: r, private: signer,
	}, nil
}

// name is the key's file without its ending.
func (k Key) name() string { return fmt.Sprintf("K%s+%03d+%05d", k.Zone, k.Algorithm, k.Tag) }

// Save writes the key into a folder as two files like BIND's: .key with the public part and
// .private, readable by the owner only.
func (k Key) Save(dir string) error {
	private := k.record.PrivateKeyString(k.private) + k.Times.text("")
	base := filepath.Join(dir, k.name())
	if err := atomicfile.Write(base+".private", []byte(private), 0o600); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	if err := atomicfile.Write(base+".key", []byte(k.Times.text("; ")+k.record.String()+"\n"), 0o644); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return nil
}

// maxKeyFile bounds what is read of a key.
const maxKeyFile = 64 << 10

// Load reads a key from its two files; path is that of either, or without an ending.
func Load(path string) (Key, error) {
	path = strings.TrimSuffix(strings.TrimSuffix(path, ".private"), ".key")
	public, err := read(path + ".key")
	if err != nil {
		return Key{}, fmt.Errorf("load key: %w: %w", proa.ErrInvalidConfig, err)
	}
	private, err := read(path + ".private")
	if err != nil {
		return Key{}, fmt.Errorf("load key: %w: %w", proa.ErrInvalidConfig, err)
	}
	k, err := parse(public, private)
	if err != nil {
		return Key{}, fmt.Errorf("load key %s: %w", path, err)
	}
	return k, nil
}

func read(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxKeyFile {
		return "", fmt.Errorf("%s is of %d bytes: %w", path, info.Size(), proa.ErrTooLarge)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

func parse(public, private string) (Key, error) {
	rr, err := mdns.NewRR(public)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err)
	}
	r, ok := rr.(*mdns.DNSKEY)
	if !ok {
		return Key{}, fmt.Errorf("no DNSKEY record: %w", proa.ErrInvalidConfig)
	}
	var material, timing []string
	for line := range strings.Lines(private) {
		if field, _, _ := strings.Cut(line, ":"); slices.Contains(timeFields, field) {
			timing = append(timing, line)
		} else {
			material = append(material, line)
		}
	}
	secret, err := r.NewPrivateKey(strings.Join(material, ""))
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err)
	}
	k, err := newKey(r, secret)
	if err != nil {
		return Key{}, err
	}
	if !matches(r, k.private) {
		return Key{}, fmt.Errorf("the private part is another key's: %w", proa.ErrInvalidConfig)
	}
	k.Times, err = parseTimes(timing)
	return k, err
}

// matches signs something and checks it by the public part.
func matches(r *mdns.DNSKEY, private crypto.Signer) bool {
	sig := &mdns.RRSIG{
		Algorithm: r.Algorithm, KeyTag: r.KeyTag(), SignerName: r.Hdr.Name, Expiration: 1 << 31,
	}
	set := []mdns.RR{mdns.Copy(r)}
	return sig.Sign(private, set) == nil && sig.Verify(r, set) == nil
}

// LoadDir reads all keys of a zone in a folder, oldest first.
func LoadDir(dir, zone string) ([]Key, error) {
	zone = mdns.CanonicalName(zone)
	paths, err := filepath.Glob(filepath.Join(dir, "K"+strings.ReplaceAll(zone, "*", `\*`)+"+*.private"))
	if err != nil {
		return nil, fmt.Errorf("load keys of %s: %w: %w", zone, proa.ErrInvalidConfig, err)
	}
	if len(paths) > maxKeys {
		return nil, fmt.Errorf("load keys of %s: %d keys, at most %d: %w", zone, len(paths), maxKeys,
			proa.ErrInvalidConfig)
	}
	var keys []Key
	for _, p := range paths {
		k, err := Load(p)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return a.Times.Publish.Compare(b.Times.Publish) })
	return keys, nil
}
