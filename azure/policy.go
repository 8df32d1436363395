package azure

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const headerPartitionKey = "X-Ms-Documentdb-Partitionkey"

// partitionKeyPolicy repairs the partition key header: azcosmos quotes strings as Go does (\U0001f600, \x7f, \a), which is not JSON
// outside the basic plane and for control characters.
type partitionKeyPolicy struct{}

func (partitionKeyPolicy) Do(req *policy.Request) (*http.Response, error) {
	header := req.Raw().Header
	if fixed, ok := fixPartitionKey(header.Get(headerPartitionKey)); ok {
		header.Set(headerPartitionKey, fixed)
	}
	return req.Next()
}

// fixPartitionKey rewrites ["…"] in ASCII JSON. Every other form is left alone.
func fixPartitionKey(header string) (string, bool) {
	if len(header) < 4 || json.Valid([]byte(header)) || header[0] != '[' || header[len(header)-1] != ']' {
		return "", false
	}
	value, err := strconv.Unquote(header[1 : len(header)-1])
	if err != nil {
		return "", false
	}
	return "[" + asciiJSON(value) + "]", true
}

// asciiJSON quotes a string for JSON in ASCII only, since it travels in a header.
func asciiJSON(s string) string {
	quoted := appendJSONString(nil, s)
	out := make([]byte, 0, len(quoted))
	for _, r := range string(quoted) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r < 0x10000:
			out = appendUnicode(out, r)
		default:
			r -= 0x10000
			out = appendUnicode(appendUnicode(out, 0xd800+r>>10), 0xdc00+r&0x3ff)
		}
	}
	return string(out)
}

func appendUnicode(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// feedMode is which of Cosmos's two change feeds a request asks for.
type feedMode string

const (
	allVersions   feedMode = "all"    // every version, deletes included, with what was there before
	latestVersion feedMode = "latest" // the last version of each item; no deletes
)

type feedModeKey struct{}

func withFeedMode(ctx context.Context, mode feedMode) context.Context {
	return context.WithValue(ctx, feedModeKey{}, mode)
}

// feedPolicy turns azcosmos's latest-version requests into the mode that the context names, and starts a feed at now instead of at
// the beginning of the container. azcosmos 1.5.0 offers neither; see docs/adr/0002-cosmos-keys-and-types.md.
type feedPolicy struct{}

func (feedPolicy) Do(req *policy.Request) (*http.Response, error) {
	mode, ok := req.Raw().Context().Value(feedModeKey{}).(feedMode)
	header := req.Raw().Header
	if !ok || header.Get("A-IM") != "Incremental Feed" || header.Get("X-Ms-Documentdb-Partitionkeyrangeid") == "" {
		return req.Next()
	}
	if mode == allVersions {
		header.Set("A-IM", "Full-Fidelity Feed")
		header.Set("X-Ms-Cosmos-Changefeed-Wire-Format-Version", "2021-09-15")
	}
	if header.Get("If-None-Match") == "" {
		header.Set("If-None-Match", "*")
	}
	return req.Next()
}

// isLoopback reports a URL that leads to this machine; "" does not disqualify.
func isLoopback(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
