package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	maxChunkLine = 1 << 10 // bytes of a chunk's header line
	maxTrailers  = 8 << 10 // bytes of all trailer lines
	chunkBuffer  = 32 << 10
)

// chunkSigner computes the chain of chunk signatures: each covers the one before.
type chunkSigner struct {
	key       []byte
	at, scope string
	prev      []byte
}

// chunk returns the signature of a chunk whose data hashes to sum, and makes it the previous one.
func (s *chunkSigner) chunk(sum []byte) []byte {
	empty := sha256.Sum256(nil)
	s.prev = mac(s.key,
		"AWS4-HMAC-SHA256-PAYLOAD\n"+s.at+"\n"+s.scope+"\n"+hex.EncodeToString(s.prev)+"\n"+
			hex.EncodeToString(empty[:])+"\n"+hex.EncodeToString(sum))
	return s.prev
}

// trailer returns the signature of the trailer lines, each "name:value\n".
func (s *chunkSigner) trailer(lines []byte) []byte {
	sum := sha256.Sum256(lines)
	return mac(s.key,
		"AWS4-HMAC-SHA256-TRAILER\n"+s.at+"\n"+s.scope+"\n"+hex.EncodeToString(s.prev)+"\n"+
			hex.EncodeToString(sum[:]))
}

// chunkReader decodes aws-chunked framing. It holds one buffer, whatever the size of a chunk: bytes
// are passed on before their chunk's signature has been checked, and the Read after them fails if
// it is wrong.
type chunkReader struct {
	src      io.Closer
	in       *bufio.Reader
	left     int64        // bytes of the current chunk still to come
	total    int64        // decoded bytes still to come, of the declared length
	signer   *chunkSigner // nil: chunks are not signed
	want     []byte       // signature of the current chunk
	sum      hash.Hash
	trailers []string // announced names; nil: no trailer section
	open     bool     // inside a chunk

	onTrailer func(name, value string)
	err       error
}

func newChunkReader(body io.ReadCloser, length int64) *chunkReader {
	return &chunkReader{
		src: body, in: bufio.NewReaderSize(body, chunkBuffer), total: length,
		sum: sha256.New(),
	}
}

// Close closes the connection's body.
func (c *chunkReader) Close() error { return c.src.Close() }

// Read implements io.Reader. Its errors other than io.EOF are *Error.
func (c *chunkReader) Read(p []byte) (int, error) {
	for c.err == nil && len(p) > 0 {
		if c.left > 0 {
			n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
			if c.signer != nil {
				c.sum.Write(p[:n])
			}
			c.left -= int64(n)
			if err != nil {
				c.err = incomplete("")
			}
			return n, c.err
		}
		c.err = c.next()
	}
	return 0, c.err
}

// next finishes the chunk that has been read and opens the following one.
func (c *chunkReader) next() error {
	if c.open {
		if err := c.finish(); err != nil {
			return err
		}
	}
	size, signature, err := c.header()
	if err != nil {
		return err
	}
	if size > c.total {
		return incomplete("The data is longer than x-amz-decoded-content-length says.")
	}
	c.left, c.want, c.open = size, signature, true
	c.total -= size
	if size > 0 {
		return nil
	}
	return c.last()
}

// finish reads the line end after a chunk's data and checks its signature.
func (c *chunkReader) finish() error {
	var crlf [2]byte
	if _, err := io.ReadFull(c.in, crlf[:]); err != nil || crlf != [2]byte{'\r', '\n'} {
		return incomplete("")
	}
	return c.check()
}

func (c *chunkReader) check() error {
	if c.signer == nil {
		return nil
	}
	ok := hmac.Equal(c.signer.chunk(c.sum.Sum(nil)), c.want)
	c.sum.Reset()
	if !ok {
		return refuse(S3, Mismatch, "")
	}
	return nil
}

// header reads "hex-size" or "hex-size;chunk-signature=hex".
func (c *chunkReader) header() (size int64, signature []byte, err error) {
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	digits, extension, _ := strings.Cut(line, ";")
	u, perr := strconv.ParseUint(digits, 16, 63)
	if perr != nil {
		return 0, nil, incomplete("")
	}
	if c.signer == nil {
		return int64(u), nil, nil
	}
	value, ok := strings.CutPrefix(extension, "chunk-signature=")
	signature, herr := hex.DecodeString(value)
	if !ok || herr != nil {
		return 0, nil, refuse(S3, Mismatch, "")
	}
	return int64(u), signature, nil
}

// last checks the chunk of size 0, the trailers after it and that all declared bytes came.
func (c *chunkReader) last() error {
	if err := c.check(); err != nil {
		return err
	}
	if c.total != 0 {
		return incomplete("")
	}
	if err := c.readTrailers(); err != nil {
		return err
	}
	if _, err := c.in.ReadByte(); err == nil {
		return incomplete("")
	}
	return io.EOF
}

// readTrailers reads "name:value" lines to the empty line. The final empty line may be missing:
// some SDKs leave it out.
func (c *chunkReader) readTrailers() error {
	var signed bytes.Buffer
	var signature string
	seen := 0
	for read := 0; ; {
		line, err := c.line()
		if line == "" && (err == nil || c.atEnd()) {
			break
		}
		if err != nil {
			return err
		}
		if read += len(line); read > maxTrailers {
			return incomplete("")
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case ok && name == "x-amz-trailer-signature" && c.signer != nil && signature == "":
			signature = value
		case ok && slices.Contains(c.trailers, name):
			signed.WriteString(name + ":" + value + "\n")
			c.onTrailer(name, value)
			seen++
		default:
			return refuse(S3, MalformedTrailer, "")
		}
	}
	if seen < len(c.trailers) {
		return refuse(S3, MalformedTrailer, "")
	}
	if c.signer == nil || c.trailers == nil {
		return nil
	}
	got, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(c.signer.trailer(signed.Bytes()), got) {
		return refuse(S3, Mismatch, "")
	}
	return nil
}

// atEnd reports that the connection's body is used up.
func (c *chunkReader) atEnd() bool {
	_, err := c.in.Peek(1)
	return err != nil
}

// line reads up to a line end, without it.
func (c *chunkReader) line() (string, error) {
	var b []byte
	for {
		part, err := c.in.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b) > maxChunkLine:
			return "", incomplete("")
		case err == nil:
			return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return strings.TrimSpace(string(b)), incomplete("")
		}
	}
}

func incomplete(note string) *Error { return refuse(S3, BodyIncomplete, note) }
