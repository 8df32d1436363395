package auth

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Versions at which the strings to sign of shared access signatures changed, and the oldest
// accepted.
const (
	oldestSAS     = "2015-04-05"
	snapshotSAS   = "2018-11-09" // adds sr and the snapshot time
	encryptionSAS = "2020-12-06" // adds the encryption scope
)

// sas verifies a shared access signature of the account or of a container or blob. Signatures of
// user delegation keys and stored access policies are refused: there are none here.
func (v *Verifier) sas(r *http.Request, query url.Values) (Grant, *StorageError) {
	version := query.Get("sv")
	if version < oldestSAS || len(version) != len(oldestSAS) {
		return Grant{}, authenticationFailed("sv is missing or too old.")
	}
	if query.Has("skoid") || query.Has("si") {
		return Grant{}, authenticationFailed(
			"User delegation keys and stored access policies are not supported.")
	}
	text, refusal := v.sasText(r, query, version)
	if refusal != nil {
		return Grant{}, refusal
	}
	if !matches(v.storageKey, text, query.Get("sig")) {
		return Grant{}, authenticationFailed(
			"Signature did not match. String to sign used was " + text)
	}
	if refusal := v.sasTime(query); refusal != nil {
		return Grant{}, refusal
	}
	if refusal := sasOrigin(r, query); refusal != nil {
		return Grant{}, refusal
	}
	return sasGrant(r, query, v.account)
}

func (v *Verifier) sasText(
	r *http.Request, query url.Values, version string,
) (string, *StorageError) {
	get := query.Get
	if query.Has("ss") {
		fields := []string{
			v.account, get("sp"), get("ss"), get("srt"), get("st"), get("se"), get("sip"), get("spr"),
			version,
		}
		if version >= encryptionSAS {
			fields = append(fields, get("ses"))
		}
		return strings.Join(fields, "\n") + "\n", nil
	}
	container, blob := v.split(r)
	resource := "/blob/" + v.account + "/" + container
	moment := ""
	switch get("sr") {
	case "c":
	case "b":
		resource += "/" + blob
	case "bs":
		resource, moment = resource+"/"+blob, get("snapshot")
	case "bv":
		resource, moment = resource+"/"+blob, get("versionid")
	default:
		return "", authenticationFailed("sr is missing or not supported.")
	}
	fields := []string{get("sp"), get("st"), get("se"), resource, "", get("sip"), get("spr"), version}
	if version >= snapshotSAS {
		fields = append(fields, get("sr"), moment)
	}
	if version >= encryptionSAS {
		fields = append(fields, get("ses"))
	}
	for _, name := range []string{"rscc", "rscd", "rsce", "rscl", "rsct"} {
		fields = append(fields, get(name))
	}
	return strings.Join(fields, "\n"), nil
}

// split returns the container and the blob name of a path, decoded.
func (v *Verifier) split(r *http.Request) (container, blob string) {
	rest := strings.TrimPrefix(r.URL.Path, "/"+v.account)
	container, blob, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	return container, blob
}

func (v *Verifier) sasTime(query url.Values) *StorageError {
	now := v.clock().UTC()
	start, expiry := time.Time{}, time.Time{}
	var ok bool
	if query.Has("st") {
		if start, ok = sasMoment(query.Get("st")); !ok {
			return authenticationFailed("st is not well formed.")
		}
	}
	if expiry, ok = sasMoment(query.Get("se")); !ok {
		return authenticationFailed("se is missing or not well formed.")
	}
	if now.Before(start) || !now.Before(expiry) {
		return authenticationFailed("Signature not valid in the specified time frame: Start [" +
			start.Format(http.TimeFormat) + "] - Expiry [" + expiry.Format(http.TimeFormat) +
			"] - Current [" + now.Format(http.TimeFormat) + "]")
	}
	return nil
}

func sasMoment(text string) (time.Time, bool) {
	for _, layout := range []string{
		"2006-01-02T15:04:05.9999999Z", "2006-01-02T15:04Z", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// sasOrigin checks the allowed protocol and addresses.
func sasOrigin(r *http.Request, query url.Values) *StorageError {
	if query.Get("spr") == "https" && r.TLS == nil {
		return forbidden("AuthorizationProtocolMismatch",
			"This request is not authorized to perform this operation using this protocol.")
	}
	allowed := query.Get("sip")
	if allowed == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil {
		from, to, ranged := strings.Cut(allowed, "-")
		if !ranged {
			to = from
		}
		address, err1 := netip.ParseAddr(host)
		first, err2 := netip.ParseAddr(from)
		last, err3 := netip.ParseAddr(to)
		if err1 == nil && err2 == nil && err3 == nil &&
			address.Compare(first) >= 0 && address.Compare(last) <= 0 {
			return nil
		}
	}
	return &StorageError{
		Status: http.StatusForbidden, Code: "AuthorizationSourceIPMismatch",
		Message: "This request is not authorized to perform this operation using this source IP.",
		Details: []string{"SourceIP", host},
	}
}

// AuthorizeSource verifies the source of a copy: request is a synthetic GET of its URL. Only a
// shared access signature in that URL, or the account key on the request that asks for the copy
// (asker), opens it.
func (v *Verifier) AuthorizeSource(request *http.Request, asker Grant) *StorageError {
	query := request.URL.Query()
	if query.Has("sig") {
		_, refusal := v.sas(request, query)
		return refusal
	}
	if asker.FullKey {
		return nil
	}
	return &StorageError{
		Status: http.StatusUnauthorized, Code: "CannotVerifyCopySource",
		Message: "Server failed to authenticate the request. Please refer to the information in " +
			"the www-authenticate header.",
	}
}
