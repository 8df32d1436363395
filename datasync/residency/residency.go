// Package residency holds the rules of what may leave a region, and enforces them at the seam: it
// wraps a side's table and feed so that everything behind them (hashes, digests, log, journal,
// writes) sees the permitted projection only.
//
// A never-copied attribute does not exist beyond its region. A masked or hashed one crosses as its
// mask or hash, where the other side has none of its own. In each case the receiving side's own
// attribute stays, whatever is written around it; it goes with the item when that is deleted. A
// projection is idempotent: a mask's mask is itself, so what comes back is no change.
//
// A never-logged attribute crosses, but its value is in no log, event, journal entry or listing; it
// is in the node's shadow index while it is on its way.
package residency

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
)

// Mode is a residency rule's name; "" is none.
type Mode string

// The modes.
const (
	Open        Mode = ""
	NeverCopied Mode = "never-copied"
	Masked      Mode = "masked"
	Hashed      Mode = "hashed"
	NeverLogged Mode = "never-logged"
)

// Validate refuses what is no mode. Errors wrap proa.ErrInvalid.
func (m Mode) Validate() error {
	switch m {
	case Open, NeverCopied, Masked, Hashed, NeverLogged:
		return nil
	}
	return fmt.Errorf("unknown residency %.40q: %w", string(m), proa.ErrInvalid)
}

// Rules are the rules of one table. They are immutable; nil has none.
type Rules struct {
	table      Mode
	attributes map[string]Mode
	key        []byte
	keys       map[string]bool
}

// New makes the rules of a table. A table may be never-copied or never-logged as a whole; key
// attributes cross always and can only be logged or not. Errors wrap proa.ErrInvalid.
func New(
	schema proa.Schema, table Mode, attributes map[string]Mode, key proa.Secret,
) (*Rules, error) {
	if table != Open && table != NeverCopied && table != NeverLogged {
		return nil, fmt.Errorf("residency %.40q is not one of a whole table: %w", string(table),
			proa.ErrInvalid)
	}
	r := &Rules{
		table: table, attributes: map[string]Mode{}, key: []byte(key.Reveal()),
		keys: map[string]bool{schema.HashName: true},
	}
	if schema.RangeName != "" {
		r.keys[schema.RangeName] = true
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		mode := attributes[name]
		switch err := mode.Validate(); {
		case err != nil:
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		case mode == Open:
			continue
		case r.keys[name] && mode != NeverLogged:
			return nil, fmt.Errorf("attribute %s is of the key, which crosses as it is: %w", name,
				proa.ErrInvalid)
		case mode == Hashed && len(r.key) == 0:
			return nil, fmt.Errorf("attribute %s: hashed needs a key: %w", name, proa.ErrInvalid)
		}
		r.attributes[name] = mode
	}
	return r, nil
}

// Copies reports whether the table is copied at all.
func (r *Rules) Copies() bool { return r == nil || r.table != NeverCopied }

// Projects reports whether anything of an item may not leave its region as it is.
func (r *Rules) Projects() bool {
	if r == nil {
		return false
	}
	for _, m := range r.attributes {
		if m == NeverCopied || m == Masked || m == Hashed {
			return true
		}
	}
	return false
}

// Project returns what may leave the region of an item; the item itself where all of it may.
func (r *Rules) Project(item proa.Item) proa.Item {
	if r == nil || item == nil {
		return item
	}
	copied := false
	for name, mode := range r.attributes {
		v, ok := item[name]
		if !ok || mode == NeverLogged {
			continue
		}
		out := r.value(mode, v)
		if out.Equal(v) {
			continue
		}
		if !copied {
			item, copied = maps.Clone(item), true
		}
		if out.Kind == proa.KindNone {
			delete(item, name)
		} else {
			item[name] = out
		}
	}
	return item
}

// mask is what a masked attribute crosses as.
const mask = "[masked]"

// hashPrefix begins what a hashed attribute crosses as: HMAC-SHA-256 of its canonical JSON.
const hashPrefix = "[hashed]"

func (r *Rules) value(mode Mode, v proa.Value) proa.Value {
	switch mode {
	case NeverCopied:
		return proa.Value{}
	case Masked:
		return proa.String(mask)
	case Hashed:
		if v.Kind == proa.KindS && isHash(v.Str) {
			return v
		}
		sum := hmac.New(sha256.New, r.key)
		sum.Write(v.AppendJSON(nil))
		return proa.String(hashPrefix + hex.EncodeToString(sum.Sum(nil)))
	}
	return v
}

func isHash(s string) bool {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == sha256.Size
}

// Join puts a projection onto what a side holds: attributes of which nothing, or only a mask or a
// hash, may cross stay as they are there.
func (r *Rules) Join(held, projected proa.Item) proa.Item {
	if r == nil || projected == nil {
		return projected
	}
	out, copied := projected, false
	for name, mode := range r.attributes {
		own, ok := held[name]
		if !ok || mode == NeverLogged {
			continue
		}
		crossing, comes := projected[name]
		if mode != NeverCopied && (!comes || !r.value(mode, own).Equal(crossing)) {
			continue
		}
		if !copied {
			out, copied = maps.Clone(projected), true
		}
		out[name] = own
	}
	return out
}

// Logged returns what may be logged of an item, and the names of what was left out, sorted. Key
// attributes that are never logged are replaced by a mask, so that an entry still has a key.
func (r *Rules) Logged(item proa.Item) (proa.Item, []string) {
	if r == nil || item == nil {
		return item, nil
	}
	var left []string
	out := item
	for name := range item {
		if r.attributes[name] != NeverLogged && (r.table != NeverLogged || r.keys[name]) {
			continue
		}
		if left == nil {
			out = maps.Clone(item)
		}
		left = append(left, name)
		if r.keys[name] {
			out[name] = proa.String(mask)
		} else {
			delete(out, name)
		}
	}
	slices.Sort(left)
	return out, left
}

// Hides reports whether a part of the table's keys is never logged.
func (r *Rules) Hides() bool {
	if r == nil {
		return false
	}
	for name := range r.keys {
		if r.attributes[name] == NeverLogged {
			return true
		}
	}
	return false
}

// Text masks, in a text such as an error's, the key attributes of an item that are never logged.
func (r *Rules) Text(text string, key proa.Item) string {
	if !r.Hides() {
		return text
	}
	for name, v := range key {
		if r.keys[name] && r.attributes[name] == NeverLogged {
			text = maskWord(text, proa.Key{Hash: v}.String()[1:])
		}
	}
	return text
}

// maskWord replaces a word where it stands by itself: a key of "4" is not the 4 of "HTTP 400".
func maskWord(text, word string) string {
	var b strings.Builder
	for word != "" {
		at := strings.Index(text, word)
		if at < 0 {
			break
		}
		end := at + len(word)
		if at > 0 && alike(text[at-1], word[0]) || end < len(text) && alike(text[end], word[len(word)-1]) {
			b.WriteString(text[:at+1])
			text = text[at+1:]
			continue
		}
		b.WriteString(text[:at] + mask)
		text = text[end:]
	}
	return b.String() + text
}

// alike reports whether two neighbours are of one word or number.
func alike(a, b byte) bool {
	word := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	return word(a) && word(b)
}

// Mark tells a key apart in what hides it: HMAC-SHA-256 under the residency key; "" where nothing of the
// key is hidden.
func (r *Rules) Mark(key proa.Key) string {
	if !r.Hides() {
		return ""
	}
	sum := hmac.New(sha256.New, r.key)
	sum.Write([]byte(key.ID()))
	return string(sum.Sum(nil))
}
