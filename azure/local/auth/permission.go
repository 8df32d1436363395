package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// need is what a shared access signature must hold for one request: a resource type of the account
// signature (s, c or o) and any one of some permissions. A request that nothing allows has none.
type need struct {
	level string
	any   string
}

// needOf maps an operation to its need, after the tables of
// https://learn.microsoft.com/rest/api/storageservices/create-account-sas and create-service-sas.
func needOf(r *http.Request, query url.Values, container, blob string) need {
	comp := query.Get("comp")
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case container == "":
		return serviceNeed(read, comp)
	case blob == "":
		return containerNeed(r, read, comp)
	case read:
		return need{"o", "r"}
	case r.Method == http.MethodDelete:
		if query.Has("versionid") {
			return need{"o", "x"}
		}
		return need{"o", "d"}
	}
	return blobWriteNeed(r, comp)
}

func serviceNeed(read bool, comp string) need {
	switch {
	case comp == "list":
		return need{"s", "l"}
	case read:
		return need{"s", "r"}
	}
	return need{"s", "w"}
}

func containerNeed(r *http.Request, read bool, comp string) need {
	switch {
	case comp == "list":
		return need{"c", "l"}
	case comp == "acl":
		return need{"c", ""}
	case read:
		return need{"c", "r"}
	case comp == "lease" && r.Header.Get("x-ms-lease-action") == "break":
		return need{"c", "wd"}
	case comp == "" && r.Method == http.MethodPut:
		return need{"c", "cw"}
	case r.Method == http.MethodDelete:
		return need{"c", "d"}
	}
	return need{"c", "w"}
}

func blobWriteNeed(r *http.Request, comp string) need {
	switch comp {
	case "", "block", "blocklist", "snapshot":
		return need{"o", "wc"}
	case "appendblock":
		return need{"o", "wa"}
	case "lease":
		if r.Header.Get("x-ms-lease-action") == "break" {
			return need{"o", "wd"}
		}
	case "tags":
		return need{"o", "t"}
	}
	return need{"o", "w"}
}

// sasGrant checks service, resource type and permission of a signature that verified.
func sasGrant(r *http.Request, query url.Values, account string) (Grant, *StorageError) {
	v := Verifier{account: account}
	container, blob := v.split(r)
	needed := needOf(r, query, container, blob)
	permitted := query.Get("sp")
	if query.Has("ss") {
		if !strings.Contains(query.Get("ss"), "b") {
			return Grant{}, forbidden("AuthorizationServiceMismatch",
				"This request is not authorized to perform this operation using this service.")
		}
		if !strings.Contains(query.Get("srt"), needed.level) {
			return Grant{}, forbidden("AuthorizationResourceTypeMismatch",
				"This request is not authorized to perform this operation using this resource type.")
		}
	} else if needed.level == "s" || needed.level == "c" && needed.any != "l" ||
		needed.level == "c" && query.Get("sr") != "c" {
		// A signature for a container or a blob reaches blobs, and lists; it never manages containers.
		needed.any = ""
	}
	if !strings.ContainsAny(permitted, needed.any) {
		return Grant{}, forbidden("AuthorizationPermissionMismatch",
			"This request is not authorized to perform this operation using this permission.")
	}
	createOnly := needed.any == "wc" && !strings.Contains(permitted, "w")
	return Grant{Service: Blob, CreateOnly: createOnly}, nil
}
