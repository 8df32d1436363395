package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/guest"
)

const (
	maxDirectPackage = 50 << 20
	copyBuffer       = 1 << 20
)

// codeSource says where a package comes from: itself, or an object in S3.
type codeSource struct {
	ZipFile         []byte
	S3Bucket        string
	S3Key           string
	S3ObjectVersion string
	ImageUri        string
}

// takeCode stores the package durably, unpacks it and puts it into the record.
func (s *Server) takeCode(ctx context.Context, source codeSource, r *record) *wire.Error {
	body, refusal := s.openCode(ctx, source)
	if refusal != nil {
		return refusal
	}
	defer body.Close()
	hash, size, err := s.storePackage(body)
	if err != nil {
		return codeRefusal(err)
	}
	code, err := s.unpack(hash)
	if err != nil {
		return codeRefusal(err)
	}
	r.CodeHash, r.CodeSize, r.code = hash, size, code
	return nil
}

func (s *Server) openCode(ctx context.Context, source codeSource) (io.ReadCloser, *wire.Error) {
	fromS3 := source.S3Bucket != "" || source.S3Key != ""
	switch {
	case source.ImageUri != "":
		return nil, invalid("Container images are not supported here.")
	case len(source.ZipFile) > 0 && fromS3:
		return nil, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case len(source.ZipFile) > maxDirectPackage:
		return nil, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"Request must be smaller than %d bytes for the CreateFunction operation", MaxRequest)
	case len(source.ZipFile) > 0:
		return io.NopCloser(bytes.NewReader(source.ZipFile)), nil
	case source.S3Bucket == "" || source.S3Key == "":
		return nil, invalid("Please provide a source for function code.")
	case s.cfg.Fetch == nil:
		return nil, invalid("Error occurred while GetObject. There is no S3 here.")
	}
	body, err := s.cfg.Fetch(ctx, source.S3Bucket, source.S3Key, source.S3ObjectVersion)
	if err != nil {
		return nil, fetchRefusal(err)
	}
	return body, nil
}

// fetchRefusal tells S3's refusal in Lambda's words.
func fetchRefusal(err error) *wire.Error {
	cause := &wire.Error{Code: "InternalError", Message: err.Error()}
	errors.As(err, &cause)
	return invalid("Error occurred while GetObject. S3 Error Code: " + cause.Code +
		". S3 Error Message: " + cause.Message)
}

func codeRefusal(err error) *wire.Error {
	switch {
	case errors.Is(err, guest.ErrTooLarge):
		return invalid(fmt.Sprintf("Unzipped size must be smaller than %d bytes", guest.MaxUnpackedBytes))
	case errors.Is(err, guest.ErrBadPackage):
		return invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	return internal(err)
}

// storePackage writes the archive to a file named by its hash. It is on stable storage afterwards,
// its name included.
func (s *Server) storePackage(body io.Reader) (hash string, size int64, err error) {
	if err := os.MkdirAll(s.packageDir(), 0o700); err != nil {
		return "", 0, err
	}
	temp, err := os.CreateTemp(s.packageDir(), ".incoming-")
	if err != nil {
		return "", 0, err
	}
	defer func() {
		err = errors.Join(err, temp.Close())
		if err != nil {
			_ = os.Remove(temp.Name()) // what stays is cleaned up at the next start
		}
	}()
	sum := sha256.New()
	limited := io.LimitReader(body, guest.MaxUnpackedBytes+1)
	size, err = io.CopyBuffer(
		struct{ io.Writer }{io.MultiWriter(temp, sum)}, limited, make([]byte, copyBuffer))
	if err != nil {
		return "", 0, err
	}
	if size > guest.MaxUnpackedBytes {
		return "", 0, guest.ErrTooLarge
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	if s.stored(hash) {
		return hash, size, os.Remove(temp.Name())
	}
	if err := temp.Sync(); err != nil {
		return "", 0, err
	}
	if err := os.Rename(temp.Name(), filepath.Join(s.packageDir(), hash+".zip")); err != nil {
		return "", 0, err
	}
	return hash, size, syncDir(s.packageDir())
}
