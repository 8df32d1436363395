package cosmos

import (
	"net/http"
	"net/url"
	"strings"
)

// ResourceOf returns what the master-key signature of a request covers: the resource type ("",
// "dbs", "colls", "docs", "pkranges", "offers", …) and the resource link, unescaped, case kept.
// Links by _rid (offers) come in lower case.
//
// The string to sign is strings.ToLower(verb) + "\n" + type + "\n" + link + "\n" +
// strings.ToLower(x-ms-date) + "\n\n".
// Source: https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources
func ResourceOf(r *http.Request) (resourceType, resourceLink string) {
	segments := pathSegments(r.URL)
	n := len(segments)
	if n == 0 {
		return "", ""
	}
	if n%2 == 1 {
		// A feed: the type is the last segment, the link is its owner.
		return strings.ToLower(segments[n-1]), strings.Join(segments[:n-1], "/")
	}
	resourceType = strings.ToLower(segments[n-2])
	if resourceType == "offers" {
		return resourceType, strings.ToLower(segments[n-1])
	}
	return resourceType, strings.Join(segments, "/")
}

// pathSegments splits the escaped path and unescapes each part, so that an escaped slash stays
// inside its id. Empty parts are dropped: SDKs send "//" and trailing slashes.
func pathSegments(u *url.URL) []string {
	var out []string
	for _, s := range strings.Split(u.EscapedPath(), "/") {
		if s == "" {
			continue
		}
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
		out = append(out, s)
	}
	return out
}
