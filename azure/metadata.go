package azure

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/cloud"
)

// crcName is the metadata name under which this driver keeps an object's CRC-64/NVME, since Blob storage keeps none. Writers replace all metadata
// with the content, so a stale one cannot stay behind.
const crcName = "proa_crc64"

// metadataName maps an S3 metadata name to what Blob takes, a C# identifier: every byte but a-z, 0-9 and _ as __hh, as well as a digit
// at the start and a _ before another _.
// https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata#metadata-names
func metadataName(name string) string {
	name = strings.ToLower(name)
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c == '_' && !strings.HasPrefix(name[i+1:], "_")
		if letter || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "__%02x", c)
	}
	return b.String()
}

// originalName undoes metadataName; names that others made come back in lower case, as S3 gives them.
func originalName(name string) string {
	name = strings.ToLower(name)
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.HasPrefix(name[i:], "__") && isHex(name[i+2:]) {
			b.WriteByte(unhex(name[i+2])<<4 | unhex(name[i+3]))
			i += 3
			continue
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

func encodeMetadata(meta map[string]string, crc uint64) map[string]*string {
	out := make(map[string]*string, len(meta)+1)
	for name, v := range meta {
		encoded := cloud.EncodeHeader(v)
		out[metadataName(name)] = &encoded
	}
	sum := fmt.Sprintf("%016x", crc)
	out[crcName] = &sum
	return out
}

func decodeMetadata(meta map[string]*string) (out map[string]string, crc uint64, hasCRC bool) {
	out = make(map[string]string, len(meta))
	for name, v := range meta {
		if v == nil {
			continue
		}
		if strings.EqualFold(name, crcName) {
			n, err := strconv.ParseUint(*v, 16, 64)
			crc, hasCRC = n, err == nil
			continue
		}
		out[originalName(name)] = cloud.DecodeHeader(*v)
	}
	return out, crc, hasCRC
}
