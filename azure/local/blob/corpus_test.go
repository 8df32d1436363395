package blob_test

import "strings"

// corpus is a history of requests that both servers get.
func corpus() []step {
	const leaseID = "11111111-1111-1111-1111-111111111111"
	list := "?restype=container&comp=list"
	var out []step
	add := func(method, path string, headers ...string) { out = append(out, step{method, path, headers, ""}) }
	send := func(method, path, body string, headers ...string) {
		out = append(out, step{method, path, headers, body})
	}
	put := func(path, body string, headers ...string) {
		send("PUT", path, body, append([]string{"x-ms-blob-type", "BlockBlob"}, headers...)...)
	}
	past, future := "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"

	// Containers.
	add("PUT", "/box?restype=container")
	add("PUT", "/box?restype=container")
	add("PUT", "/BOX?restype=container")
	add("PUT", "/a?restype=container")
	add("PUT", "/other?restype=container", "x-ms-meta-a", "1")
	add("GET", "/other?restype=container")
	add("HEAD", "/other?restype=container&comp=metadata")
	add("PUT", "/other?restype=container&comp=metadata", "x-ms-meta-a", "2")
	add("GET", "/?comp=list")
	add("GET", "/?comp=list&prefix=o&include=metadata")
	add("GET", "/?comp=list&maxresults=1")
	add("GET", "/none?restype=container")
	add("DELETE", "/none?restype=container")
	add("GET", "/none"+list)

	// Put, get, conditions.
	put("/box/b", "hello", "Content-Type", "text/plain", "x-ms-meta-a", "v")
	add("GET", "/box/b")
	add("HEAD", "/box/b")
	add("GET", "/box/b?comp=metadata")
	add("GET", "/box/b", "x-ms-range", "bytes=1-3")
	add("GET", "/box/b", "Range", "bytes=3-")
	add("GET", "/box/b", "Range", "bytes=4-400")
	add("GET", "/box/b", "Range", "bytes=5-9")
	add("GET", "/box/b", "x-ms-range", "bytes=0-1", "x-ms-range-get-content-md5", "true")
	add("GET", "/box/b", "x-ms-range-get-content-md5", "true")
	add("GET", "/box/none")
	add("HEAD", "/box/none")
	add("GET", "/none/b")
	put("/none/b", "x")
	put("/box/b", "again", "If-None-Match", "*")
	put("/box/b", "again", "If-Match", `"0x1"`)
	put("/box/b", "again", "If-Match", "$etag")
	put("/box/new", "x", "If-Match", "*")
	put("/box/new", "x", "If-None-Match", "*")
	put("/box/b", "x", "If-Modified-Since", future)
	put("/box/b", "x", "If-Unmodified-Since", past)
	add("GET", "/box/b")
	add("GET", "/box/b", "If-None-Match", "$etag")
	add("GET", "/box/b", "If-None-Match", "*")
	add("GET", "/box/b", "If-Match", `"0x1"`)
	add("GET", "/box/b", "If-Modified-Since", future)
	add("GET", "/box/b", "If-Unmodified-Since", past)
	add("HEAD", "/box/b", "If-Match", `"0x1"`)
	put("/box/b", "x", "Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")
	put("/box/b", "x", "Content-MD5", "nonsense")
	send("PUT", "/box/b", "x")
	send("PUT", "/box/b", "x", "x-ms-blob-type", "Other")
	put("/box/meta", "x", "x-ms-meta-a-b", "v")
	put("/box/headers", "x", "x-ms-blob-content-type", "a/b", "x-ms-blob-content-encoding", "gzip",
		"x-ms-blob-cache-control", "no-cache", "x-ms-blob-content-disposition", "attachment",
		"x-ms-blob-content-language", "de")
	add("HEAD", "/box/headers")
	add("PUT", "/box/headers?comp=properties", "x-ms-blob-content-type", "c/d")
	add("HEAD", "/box/headers")
	add("PUT", "/box/headers?comp=metadata", "x-ms-meta-a", "w")
	add("HEAD", "/box/headers")
	add("PUT", "/box/none?comp=metadata", "x-ms-meta-a", "w")
	add("PUT", "/box/none?comp=properties")

	// Blocks.
	send("PUT", "/box/k?comp=block&blockid="+q("AAA="), "one")
	send("PUT", "/box/k?comp=block&blockid="+q("AAE="), "two")
	send("PUT", "/box/k?comp=block&blockid="+q("AAAABBBB"), "three")
	send("PUT", "/box/k?comp=block&blockid="+q("?"), "x")
	send("PUT", "/box/k?comp=block", "x")
	send("PUT", "/box/k?comp=block&blockid="+q(strings.Repeat("AAAA", 30)), "x")
	add("GET", "/box/k?comp=blocklist&blocklisttype=all")
	add("GET", "/box/k")
	add("GET", "/box"+list)
	add("GET", "/box"+list+"&include=uncommittedblobs")
	send("PUT", "/box/k?comp=blocklist", "<BlockList><Latest>AAI=</Latest></BlockList>")
	send("PUT", "/box/k?comp=blocklist", "<BlockList><Committed>AAA=</Committed></BlockList>")
	send("PUT", "/box/k?comp=blocklist", "<BlockList><Latest>")
	send("PUT", "/box/k?comp=blocklist", "<BlockList><Latest>AAE=</Latest><Uncommitted>AAA=</Uncommitted></BlockList>")
	add("GET", "/box/k")
	add("GET", "/box/k?comp=blocklist&blocklisttype=all")
	send("PUT", "/box/k?comp=block&blockid="+q("AAM="), "four")
	send("PUT", "/box/k?comp=blocklist", "<BlockList><Latest>AAM=</Latest><Committed>AAE=</Committed></BlockList>")
	add("GET", "/box/k")
	add("GET", "/box/none?comp=blocklist")

	// Append blobs.
	send("PUT", "/box/log", "", "x-ms-blob-type", "AppendBlob")
	send("PUT", "/box/log?comp=appendblock", "one")
	send("PUT", "/box/log?comp=appendblock", "two", "x-ms-blob-condition-appendpos", "3")
	send("PUT", "/box/log?comp=appendblock", "no", "x-ms-blob-condition-appendpos", "3")
	send("PUT", "/box/log?comp=appendblock", "no", "x-ms-blob-condition-maxsize", "7")
	add("GET", "/box/log")
	send("PUT", "/box/log?comp=block&blockid="+q("AAA="), "x")
	send("PUT", "/box/b?comp=appendblock", "x")

	// Leases.
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "acquire", "x-ms-lease-duration", "15",
		"x-ms-proposed-lease-id", leaseID)
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "acquire", "x-ms-lease-duration", "15")
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "acquire", "x-ms-lease-duration", "5")
	add("HEAD", "/box/b")
	put("/box/b", "x")
	put("/box/b", "x", "x-ms-lease-id", "22222222-2222-2222-2222-222222222222")
	put("/box/b", "leased", "x-ms-lease-id", leaseID)
	add("DELETE", "/box/b")
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "renew", "x-ms-lease-id", leaseID)
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "break", "x-ms-lease-break-period", "0")
	add("HEAD", "/box/b")
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "renew", "x-ms-lease-id", leaseID)
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "release", "x-ms-lease-id", leaseID)
	add("PUT", "/box/b?comp=lease", "x-ms-lease-action", "break")
	put("/box/b", "x", "x-ms-lease-id", leaseID)

	// Snapshots, copies, deletes.
	add("PUT", "/box/k?comp=snapshot")
	add("GET", "/box/k?snapshot=$snapshot")
	add("GET", "/box"+list+"&include=snapshots")
	add("DELETE", "/box/k")
	add("DELETE", "/box/k?snapshot=$snapshot", "x-ms-delete-snapshots", "include")
	add("PUT", "/box/k2", "x-ms-copy-source", "$url/box/k")
	add("GET", "/box/k2")
	add("PUT", "/box/k3", "x-ms-copy-source", "$url/box/none")
	add("PUT", "/box/k2", "x-ms-copy-source", "$url/box/k", "If-None-Match", "*")
	add("PUT", "/box/k2", "x-ms-copy-source", "$url/box/k", "x-ms-source-if-match", `"0x1"`)
	add("DELETE", "/box/k", "x-ms-delete-snapshots", "include")
	add("GET", "/box/k")
	add("DELETE", "/box/k")
	add("DELETE", "/box/k2", "If-Match", `"0x1"`)
	add("DELETE", "/box/k2")

	// Listings.
	for _, name := range []string{"d/1", "d/2", "d/e/3", "d-", "z", "%C3%A4", "a%20b", "A"} {
		put("/box/"+name, "x")
	}
	add("GET", "/box"+list)
	add("GET", "/box"+list+"&delimiter=/")
	add("GET", "/box"+list+"&delimiter=/&prefix=d/")
	add("GET", "/box"+list+"&prefix=d&maxresults=2")
	add("GET", "/box"+list+"&maxresults=0")
	add("GET", "/box"+list+"&maxresults=x")
	add("GET", "/box"+list+"&include=nonsense")
	add("POST", "/box/b?comp=nonsense")
	add("DELETE", "/box?restype=container")
	add("GET", "/box/b")
	return out
}

// differences explains each step that is answered otherwise than by Azurite.
func differences() map[string]string {
	const (
		noCode = "Azurite's validation answers 400 without an error code; the codes are the vendor's documented ones"
		sumMD5 = "the vendor documents x-ms-blob-content-md5 for ranges only"
		prefix = "the vendor orders blobs and prefixes together by name; Azurite lists prefixes first"
		since  = "a 304 carries ETag and Last-Modified (RFC 9110, 15.4.5), which caches need"
		lists  = "/box?restype=container&comp=list"
	)
	const listMD5 = "Azurite takes the MD5 of the list's body for the blob's; the vendor has none unless it is given"
	return map[string]string{
		"HEAD /other?restype=container&comp=metadata": "the vendor's answer has the metadata only",
		"GET /box/b":                                                  sumMD5,
		"GET /box/b?comp=metadata":                                    "the vendor's answer has the metadata only",
		"GET /box/b  Range bytes=5-9":                                 "the vendor documents 416 for a range past the end",
		"GET /box/b  x-ms-range-get-content-md5 true":                 "the vendor documents 400 without a range",
		"GET /box/b  If-None-Match $etag":                             since,
		"GET /box/b  If-Modified-Since Fri, 01 Jan 2100 00:00:00 GMT": since,
		"PUT /box/b x":                                                noCode,
		"PUT /box/b x x-ms-blob-type Other":                           noCode,
		"PUT /box/k?comp=block x":                                     noCode,
		"PUT /box/k?comp=blocklist <BlockList><Latest>":               noCode,
		"PUT /box/k?comp=blocklist <BlockList><Latest>AAE=</Latest><Uncommitted>AAA=</Uncommitted></BlockList>": listMD5,
		"PUT /box/k?comp=blocklist <BlockList><Latest>AAM=</Latest><Committed>AAE=</Committed></BlockList>":     listMD5,
		"GET /box/k":                    listMD5,
		"GET /box/k?snapshot=$snapshot": listMD5,
		"GET /box/k2":                   listMD5,
		"GET /box/k?comp=blocklist&blocklisttype=all": "the vendor documents ETag and Last-Modified for committed blobs only",
		"GET /box/log": "Azurite keeps the MD5 of an append blob; the vendor has none after an append",
		"PUT /box/b?comp=lease  x-ms-lease-action acquire x-ms-lease-duration 5": "headers are checked before the state",
		"PUT /box/k2  x-ms-copy-source $url/box/k x-ms-source-if-match \"0x1\"":  "the vendor has a code of its own for conditions on the source",
		"GET " + lists + "&delimiter=/":                                          prefix,
		"GET " + lists + "&delimiter=/&prefix=d/":                                prefix,
		"GET " + lists + "&maxresults=0":                                         noCode,
		"GET " + lists + "&maxresults=x":                                         noCode,
		"GET " + lists + "&include=nonsense":                                     noCode,
		"POST /box/b?comp=nonsense":                                              "what is not implemented says so, by the vendor's NotImplemented",
	}
}
