package blob

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// Limits of names and metadata
// (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
const (
	maxBlobName     = 1024 // characters
	maxMetadataSize = 8 << 10
	metadataPrefix  = "X-Ms-Meta-"
)

// checkContainerName accepts 3 to 63 lower-case letters, digits and single hyphens, none at the
// ends, and the system containers $root and $web.
func checkContainerName(name string) *auth.StorageError {
	if name == "$root" || name == "$web" {
		return nil
	}
	if len(name) < 3 || len(name) > 63 {
		return badRequest("OutOfRangeInput",
			"The specified resource name length is not within the permissible limits.")
	}
	bad := strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.Contains(name, "--")
	for _, c := range []byte(name) {
		bad = bad || !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if bad {
		return badRequest("InvalidResourceName",
			"The specified resource name contains invalid characters.")
	}
	return nil
}

// checkBlobName accepts 1 to 1024 characters of valid UTF-8, any but NUL.
func checkBlobName(name string) *auth.StorageError {
	if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return badRequest("InvalidUri",
			"The requested URI does not represent any resource on the server.")
	}
	if utf8.RuneCountInString(name) > maxBlobName {
		return badRequest("OutOfRangeInput",
			"The specified resource name length is not within the permissible limits.")
	}
	return nil
}

// metadataOf reads the x-ms-meta- headers. Names must be C# identifiers; they are kept in lower
// case, since net/http does not tell how they were spelt.
func metadataOf(h http.Header) (map[string]string, *auth.StorageError) {
	var meta map[string]string
	size := 0
	for header, values := range h {
		name, ok := strings.CutPrefix(header, metadataPrefix)
		if !ok {
			if !strings.EqualFold(header[:min(len(header), len(metadataPrefix))], metadataPrefix) {
				continue
			}
			name = header[len(metadataPrefix):] // a name that net/http could not canonicalise
		}
		if name == "" {
			return nil, badRequest("EmptyMetadataKey",
				"The key for one of the metadata key-value pairs is empty.")
		}
		value := strings.Join(values, ",")
		if !isIdentifier(name) || !isPrintable(value) {
			return nil, badRequest("InvalidMetadata",
				"The metadata specified is invalid. It has characters that are not permitted.")
		}
		if meta == nil {
			meta = map[string]string{}
		}
		meta[strings.ToLower(name)] = value
		size += len(name) + len(value)
	}
	if size > maxMetadataSize {
		return nil, badRequest("MetadataTooLarge",
			"The size of the specified metadata exceeds the maximum size permitted.")
	}
	return meta, nil
}

// isIdentifier reports whether name is a C# identifier in ASCII.
func isIdentifier(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isPrintable reports whether value is printable ASCII, which is all that headers carry faithfully.
func isPrintable(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}
