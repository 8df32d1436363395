package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// storage verifies a request to the Blob service.
func (v *Verifier) storage(r *http.Request) (Grant, *StorageError) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Grant{}, &StorageError{
			Status: http.StatusBadRequest, Code: "InvalidUri",
			Message: "The requested URI does not represent any resource on the server.",
		}
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		if query.Has("sig") {
			return v.sas(r, query)
		}
		return Grant{}, noAuthentication()
	}
	scheme, credential, _ := strings.Cut(authorization, " ")
	account, signature, ok := strings.Cut(credential, ":")
	if !ok || account != v.account || len(v.storageKey) == 0 {
		return Grant{}, authenticationFailed("The account is unknown or the header malformed.")
	}
	date := r.Header.Get("x-ms-date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	if !v.within(date) {
		return Grant{}, authenticationFailed("Request date header too old: '" + date + "'.")
	}
	var text func(less func(a, b string) int) string
	switch scheme {
	case "SharedKey":
		text = func(less func(a, b string) int) string { return v.sharedKeyText(r, query, less) }
	case "SharedKeyLite":
		text = func(less func(a, b string) int) string { return v.sharedKeyLiteText(r, query, less) }
	default:
		return Grant{}, authenticationFailed("Authentication scheme " + scheme + " is not supported.")
	}
	// Clients disagree on the order of header names: most sort by byte, the .NET-minded by culture.
	for _, less := range []func(a, b string) int{strings.Compare, compareByCulture} {
		if matches(v.storageKey, text(less), signature) {
			return Grant{Service: Blob, FullKey: true}, nil
		}
	}
	return Grant{}, authenticationFailed("The MAC signature found in the HTTP request '" + signature +
		"' is not the same as any computed signature. Server used following string to sign: '" +
		text(strings.Compare) + "'.")
}

// queue verifies a request to the Queue service: Shared Key alone.
func (v *Verifier) queue(r *http.Request) (Grant, *StorageError) {
	if r.Header.Get("Authorization") == "" {
		return Grant{}, noAuthentication()
	}
	grant, refusal := v.storage(r)
	grant.Service = Queue
	return grant, refusal
}

// matches compares signatures in constant time. An empty key matches nothing.
func matches(key []byte, text, signature string) bool {
	sent, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(key) == 0 {
		return false
	}
	return hmac.Equal(sign(key, text), sent)
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// sharedKeyText is the string to sign of version 2015-02-21 and later
// (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
func (v *Verifier) sharedKeyText(
	r *http.Request, query url.Values, less func(a, b string) int,
) string {
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	h := r.Header
	date := h.Get("Date")
	if h.Get("x-ms-date") != "" {
		date = ""
	}
	return strings.Join([]string{
		r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-MD5"),
		h.Get("Content-Type"), date, h.Get("If-Modified-Since"), h.Get("If-Match"),
		h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range"),
		canonicalHeaders(h, less) + v.canonicalResource(r, query),
	}, "\n")
}

// sharedKeyLiteText is the string to sign of Shared Key Lite.
func (v *Verifier) sharedKeyLiteText(
	r *http.Request, query url.Values, less func(a, b string) int,
) string {
	h := r.Header
	date := h.Get("Date")
	if h.Get("x-ms-date") != "" {
		date = ""
	}
	resource := "/" + v.account + r.URL.EscapedPath()
	if comp := query.Get("comp"); comp != "" {
		resource += "?comp=" + comp
	}
	return strings.Join([]string{
		r.Method, h.Get("Content-MD5"), h.Get("Content-Type"), date,
		canonicalHeaders(h, less) + resource,
	}, "\n")
}

// canonicalHeaders lists the x-ms- headers in lower case, each "name:value\n", sorted by name.
func canonicalHeaders(h http.Header, less func(a, b string) int) string {
	var names []string
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			names = append(names, lower)
		}
	}
	slices.SortFunc(names, less)
	var b strings.Builder
	for _, name := range names {
		values := slices.Clone(h.Values(name))
		for i, value := range values {
			values[i] = strings.TrimSpace(value)
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String()
}

// canonicalResource is account, path as sent and sorted query. Path style doubles the account name:
// "/account/account/container/blob".
func (v *Verifier) canonicalResource(r *http.Request, query url.Values) string {
	folded := map[string][]string{}
	for name, values := range query {
		lower := strings.ToLower(name)
		folded[lower] = append(folded[lower], values...)
	}
	names := make([]string, 0, len(folded))
	for name := range folded {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("/" + v.account + r.URL.EscapedPath())
	for _, name := range names {
		slices.Sort(folded[name])
		b.WriteString("\n" + name + ":" + strings.Join(folded[name], ","))
	}
	return b.String()
}

// compareByCulture orders header names as .NET's culture-aware comparison does: hyphens are ignored
// at first, and punctuation comes before digits before letters.
func compareByCulture(a, b string) int {
	bare := strings.NewReplacer("-", "", "_", "\x01")
	if c := strings.Compare(bare.Replace(a), bare.Replace(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}
