package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The values of x-amz-content-sha256 that are not a hash.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
const (
	unsignedPayload   = "UNSIGNED-PAYLOAD"
	streamingSigned   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingSignedTr = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingPlainTr  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// s3PayloadHash returns what the client declared, checked for its form.
func s3PayloadHash(r *http.Request, query url.Values, c *claim) (string, *Error) {
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if declared == "" && c.presigned {
		declared = query.Get("X-Amz-Content-Sha256")
		if declared == "" {
			return unsignedPayload, nil
		}
	}
	switch declared {
	case "":
		return "", refuse(S3, HashMissing, "")
	case unsignedPayload, streamingSigned, streamingSignedTr, streamingPlainTr:
		return declared, nil
	}
	if strings.HasPrefix(declared, "STREAMING-") {
		return "", refuse(S3, BodyUnsupported, "")
	}
	if sum, err := hex.DecodeString(declared); err != nil || len(sum) != sha256.Size {
		return "", refuse(S3, BodyHash, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+
			"STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.")
	}
	return declared, nil
}

// decodeBody puts a reader in the place of r.Body that yields the object's own bytes.
func decodeBody(r *http.Request, c *claim, key []byte, declared string) *Error {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	switch declared {
	case unsignedPayload:
		return nil
	case streamingSigned, streamingSignedTr, streamingPlainTr:
		return decodeChunks(r, c, key, declared)
	}
	want, err := hex.DecodeString(declared)
	if err != nil {
		return refuse(S3, BodyHash, "")
	}
	r.Body = &hashReader{body: r.Body, sum: sha256.New(), want: want}
	return nil
}

func decodeChunks(r *http.Request, c *claim, key []byte, declared string) *Error {
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return refuse(S3, BodyIncomplete, "You must provide the x-amz-decoded-content-length HTTP "+
			"header.")
	}
	cr := newChunkReader(r.Body, length)
	if declared != streamingPlainTr {
		cr.signer = &chunkSigner{
			key: key, at: c.at.Format(timeFormat), scope: c.scope(),
			prev: c.signature,
		}
	}
	if declared != streamingSigned {
		cr.trailers = trailerNames(r.Header)
		r.Trailer = http.Header{}
		for _, name := range cr.trailers {
			r.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
		cr.onTrailer = func(name, value string) { r.Trailer.Set(name, value) }
	}
	r.Body, r.ContentLength, r.TransferEncoding = cr, length, nil
	dropChunkedEncoding(r.Header)
	return nil
}

// trailerNames are the names that x-amz-trailer announces, in lower case.
func trailerNames(h http.Header) []string {
	var names []string
	for name := range strings.SplitSeq(strings.Join(h.Values("X-Amz-Trailer"), ","), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// dropChunkedEncoding removes "aws-chunked", which belongs to the transfer and not to the object.
func dropChunkedEncoding(h http.Header) {
	var kept []string
	for enc := range strings.SplitSeq(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		if enc = strings.TrimSpace(enc); enc != "" && !strings.EqualFold(enc, "aws-chunked") {
			kept = append(kept, enc)
		}
	}
	if len(kept) == 0 {
		h.Del("Content-Encoding")
		return
	}
	h.Set("Content-Encoding", strings.Join(slices.Compact(kept), ","))
}

// hashReader passes the body on and fails at its end unless it had the hash that was signed.
type hashReader struct {
	body io.ReadCloser
	sum  hash.Hash
	want []byte
	err  error
}

// Read implements io.Reader.
func (h *hashReader) Read(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	n, err := h.body.Read(p)
	h.sum.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF) && !slices.Equal(h.sum.Sum(nil), h.want):
		err = refuse(S3, BodyHash, "", Detail{"ClientComputedContentSHA256", hex.EncodeToString(h.want)},
			Detail{"S3ComputedContentSHA256", hex.EncodeToString(h.sum.Sum(nil))})
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = refuse(S3, BodyIncomplete, "")
	}
	h.err = err
	return n, err
}

// Close closes the connection's body.
func (h *hashReader) Close() error { return h.body.Close() }
