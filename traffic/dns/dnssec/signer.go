package dnssec

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// maxKeys bounds the keys of a zone: each is in a set that must fit a message.
const maxKeys = 16

// Options say how long signatures hold.
type Options struct {
	// Validity is how long a signature is good. 0 is 14 days.
	Validity time.Duration
	// Memory is how many signatures are kept in case they are asked for again. 0 is 16,384.
	Memory int
}

const (
	defaultValidity = 14 * 24 * time.Hour
	defaultMemory   = 16_384
	// backdate is for resolvers whose clocks are slow.
	backdate = time.Hour
)

// Signer signs a zone's sets with the keys that were active when it was made. It may be used by
// several goroutines.
type Signer struct {
	zone       string // in lower case as on the wire
	inception  uint32
	expiration uint32
	next       time.Time // when keys change
	data, sep  []Key     // that sign data, and the keys themselves
	published  []Key
	synced     []Key

	mu     sync.Mutex
	memory map[[sha256.Size]byte][]string
	limit  int
}

// NewSigner makes the signer of a zone at a time. It fails with proa.ErrInvalidConfig when no key
// is active.
func NewSigner(zone string, keys []Key, now time.Time, o Options) (*Signer, error) {
	if o.Validity == 0 {
		o.Validity = defaultValidity
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	zone = mdns.CanonicalName(zone)
	if len(keys) > maxKeys || o.Validity < 2*backdate || o.Memory < 1 {
		return nil, fmt.Errorf("sign %s: %d keys, validity %s, memory %d: %w", zone, len(keys),
			o.Validity, o.Memory, proa.ErrInvalidConfig)
	}
	var wire [256]byte
	n, err := mdns.PackDomainName(zone, wire[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w: %w", zone, proa.ErrInvalidConfig, err)
	}
	inception := now.Add(-backdate).Truncate(time.Hour)
	s := &Signer{
		zone: string(wire[:n]), inception: uint32(inception.Unix()),
		expiration: uint32(inception.Add(backdate + o.Validity).Unix()),
		next:       nextChange(keys, now), limit: o.Memory, memory: map[[sha256.Size]byte][]string{},
	}
	for _, k := range keys {
		if k.Zone != zone {
			return nil, fmt.Errorf("sign %s: key %d is of %s: %w", zone, k.Tag, k.Zone,
				proa.ErrInvalidConfig)
		}
		s.sort(k, now)
	}
	s.choose(keys, now)
	if len(s.data) == 0 || len(s.published) == 0 {
		return nil, fmt.Errorf("sign %s: none of its %d keys is active: %w", zone, len(keys),
			proa.ErrInvalidConfig)
	}
	return s, nil
}

func (s *Signer) sort(k Key, now time.Time) {
	if k.Published(now) {
		s.published = append(s.published, k)
		// A new entry key vouches for the keys before it signs data, so that its DS may come at
		// any time.
		if k.Entry && (k.Times.Inactive.IsZero() || now.Before(k.Times.Inactive)) {
			s.sep = append(s.sep, k)
		}
	}
	if k.Synced(now) {
		s.synced = append(s.synced, k)
	}
}

// choose picks the keys for data: of each algorithm the one that became active last, an entry key
// only where there is no other.
func (s *Signer) choose(keys []Key, now time.Time) {
	for _, algorithm := range []uint8{ECDSAP256, Ed25519} {
		for _, entry := range []bool{false, true} {
			best := -1
			for i, k := range keys {
				if k.Algorithm != algorithm || k.Entry != entry || !k.Active(now) {
					continue
				}
				if best < 0 || !k.Times.Activate.Before(keys[best].Times.Activate) {
					best = i
				}
			}
			if best >= 0 {
				s.data = append(s.data, keys[best])
				break
			}
		}
	}
	if len(s.sep) == 0 {
		s.sep = s.data
	}
}

// Renew is when a new signer should take this one's place: at three quarters of the signatures'
// life, or when a key changes its part.
func (s *Signer) Renew() time.Time {
	at := time.Unix(int64(s.inception)+int64(s.expiration-s.inception)*3/4, 0)
	if !s.next.IsZero() && s.next.Before(at) {
		return s.next
	}
	return at
}

// Expires is when the signatures end.
func (s *Signer) Expires() time.Time { return time.Unix(int64(s.expiration), 0) }

// Keys returns the RDATA of the zone's DNSKEY set.
func (s *Signer) Keys() []string {
	var list []string
	for _, k := range s.published {
		list = append(list, rdata(k.record))
	}
	return list
}

// Sync returns the RDATA of the zone's CDS and CDNSKEY sets (RFC 7344).
func (s *Signer) Sync() (cds, cdnskey []string) {
	for _, k := range s.synced {
		cds = append(cds, rdata(k.record.ToDS(mdns.SHA256)))
		cdnskey = append(cdnskey, rdata(k.record))
	}
	return cds, cdnskey
}

// DS returns the records for the parent zone, of the keys that the zone asks it to name.
func (s *Signer) DS() []string {
	var list []string
	for _, k := range s.synced {
		list = append(list, k.record.ToDS(mdns.SHA256).String())
	}
	return list
}

func rdata(rr mdns.RR) string {
	rr = mdns.Copy(rr)
	rr.Header().Name = "."
	buf := make([]byte, mdns.Len(rr)+64)
	end, err := mdns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return ""
	}
	return string(buf[11:end])
}

// Sign returns the RDATA of the signatures over a set, one for each key. owner is the name in lower
// case as on the wire, rdata the set's records, uncompressed.
func (s *Signer) Sign(owner string, kind uint16, ttl uint32, rdata []string) ([]string, error) {
	keys := s.data
	if kind == mdns.TypeDNSKEY || kind == mdns.TypeCDS || kind == mdns.TypeCDNSKEY {
		keys = s.sep
	}
	text := canonicalSet(owner, kind, ttl, rdata)
	digest := sha256.Sum256(text)
	s.mu.Lock()
	known := s.memory[digest]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var list []string
	for _, k := range keys {
		sig, err := s.sign(k, owner, kind, ttl, text)
		if err != nil {
			return nil, fmt.Errorf("sign %q type %d: %w", owner, kind, err)
		}
		list = append(list, sig)
	}
	s.remember(digest, list)
	return list, nil
}

func (s *Signer) remember(digest [sha256.Size]byte, list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.memory) >= s.limit {
		for k := range s.memory { // any one
			delete(s.memory, k)
			break
		}
	}
	s.memory[digest] = list
}

// sign makes one signature's RDATA (RFC 4034 section 3.1). text is the canonical set.
func (s *Signer) sign(k Key, owner string, kind uint16, ttl uint32, text []byte) (string, error) {
	b := make([]byte, 0, 18+len(s.zone)+64)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, k.Algorithm, labels(owner))
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint32(b, s.expiration)
	b = binary.BigEndian.AppendUint32(b, s.inception)
	b = binary.BigEndian.AppendUint16(b, k.Tag)
	b = append(b, s.zone...)
	signed := slices.Concat(b, text)
	if k.Algorithm == Ed25519 {
		sig, err := k.private.Sign(nil, signed, crypto.Hash(0))
		return string(append(b, sig...)), err
	}
	sum := sha256.Sum256(signed)
	// Without randomness the signature is that of RFC 6979: all servers give the same.
	der, err := k.private.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return "", err
	}
	var raw [64]byte
	pair.R.FillBytes(raw[:32])
	pair.S.FillBytes(raw[32:])
	return string(append(b, raw[:]...)), nil
}

// labels counts the labels of a name without the root's and a wildcard's.
func labels(owner string) uint8 {
	count := uint8(0)
	owner = strings.TrimPrefix(owner, "\x01*")
	for len(owner) > 1 {
		owner = owner[1+int(owner[0]):]
		count++
	}
	return count
}
