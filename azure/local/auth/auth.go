// Package auth verifies every request to the local Azure once, in front of the router, and refuses
// whatever it cannot verify.
//
// Cosmos DB requests carry a master-key token, Blob requests a Shared Key, a Shared Key Lite or a
// shared access signature, Monitor requests a bearer token. What a signature allows travels on in
// the request's context as a Grant. Signatures are compared in constant time; dates may differ from
// the clock by MaxSkew. Public access does not exist here.
package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// MaxSkew is how far a request's date may be from the clock, both ways: fifteen minutes, as both
// vendors' services have it.
const MaxSkew = 15 * time.Minute

// Service is what a request is addressed to.
type Service int

// The services behind the data-plane listener.
const (
	None Service = iota
	Cosmos
	Blob
	Monitor
	Queue
)

// Config holds the credentials. Keys are base64 as the vendor's portal shows them; an empty key
// refuses every request to its service.
type Config struct {
	Account       string // storage account name: the first segment of a Blob path
	CosmosKey     string
	CosmosReadKey string // optional: reads and queries only
	StorageKey    string
	MonitorToken  string // bearer token of Monitor reads; not base64
	Clock         func() time.Time

	// CosmosResource returns the resource type and link that the vendor's clients sign
	// (cosmos.ResourceOf).
	CosmosResource func(*http.Request) (resourceType, resourceLink string)
}

// Verifier checks requests. It is safe for concurrent use and holds no state that changes.
type Verifier struct {
	account       string
	cosmosKey     []byte
	cosmosReadKey []byte
	storageKey    []byte
	monitorToken  []byte
	clock         func() time.Time
	resource      func(*http.Request) (string, string)
}

// Grant is what a verified request may do.
type Grant struct {
	Service Service
	// CreateOnly is set when a shared access signature allows to create blobs but not to replace them.
	CreateOnly bool
	// FullKey is set when the account key signed the request, so that nothing is forbidden.
	FullKey bool
}

type grantKey struct{}

// GrantOf returns what the verified request may do, and false for a request that never passed Wrap.
func GrantOf(ctx context.Context) (Grant, bool) {
	g, ok := ctx.Value(grantKey{}).(Grant)
	return g, ok
}

// New decodes the keys. An account whose name is one of Cosmos's own path segments is refused.
func New(c Config) (*Verifier, error) {
	if c.Clock == nil || c.CosmosResource == nil {
		return nil, errors.New("auth: Clock and CosmosResource are required")
	}
	if service := serviceOf(c.Account, c.Account); service != Blob {
		return nil, fmt.Errorf("auth: storage account name %q is taken or empty", c.Account)
	}
	v := &Verifier{
		account: c.Account, clock: c.Clock, resource: c.CosmosResource,
		monitorToken: []byte(c.MonitorToken),
	}
	for _, key := range []struct {
		name, text string
		into       *[]byte
	}{
		{"Cosmos key", c.CosmosKey, &v.cosmosKey},
		{"Cosmos read-only key", c.CosmosReadKey, &v.cosmosReadKey},
		{"storage key", c.StorageKey, &v.storageKey},
	} {
		decoded, err := base64.StdEncoding.DecodeString(key.text)
		if err != nil {
			return nil, fmt.Errorf("auth: the %s is not base64", key.name)
		}
		*key.into = decoded
	}
	return v, nil
}

// ServiceOf says which service a request is addressed to, by the first segment of its path as it
// was sent; None for a path that belongs to none.
func (v *Verifier) ServiceOf(r *http.Request) Service {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	return serviceOf(v.account, first)
}

func serviceOf(account, segment string) Service {
	switch segment {
	case "", "dbs", "offers":
		return Cosmos
	case "subscriptions":
		return Monitor
	case "queue":
		return Queue
	case account:
		return Blob
	}
	return None
}

// Wrap returns a handler that verifies each request and hands on to next only what it allows.
func (v *Verifier) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant := Grant{Service: v.ServiceOf(r)}
		switch grant.Service {
		case Cosmos:
			if !v.cosmos(w, r) {
				return
			}
			grant.FullKey = true
		case Monitor:
			if !v.bearer(w, r) {
				return
			}
			grant.FullKey = true
		case Blob:
			SetStorageHeaders(w, r)
			var refusal *StorageError
			if grant, refusal = v.storage(r); refusal != nil {
				refusal.Write(w, r, v.clock())
				return
			}
		case Queue:
			SetStorageHeaders(w, r)
			var refusal *StorageError
			if grant, refusal = v.queue(r); refusal != nil {
				refusal.Write(w, r, v.clock())
				return
			}
		default:
			SetStorageHeaders(w, r)
			authenticationFailed("No service answers at this path.").Write(w, r, v.clock())
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, grant)))
	})
}

// within reports whether the date in a request is close enough to the clock. Its text is RFC 1123.
func (v *Verifier) within(date string) bool {
	t, err := http.ParseTime(strings.ToUpper(date)) // some clients sign and send it in lower case
	if err != nil {
		return false
	}
	return v.clock().Sub(t).Abs() <= MaxSkew
}
