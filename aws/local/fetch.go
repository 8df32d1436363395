package local

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// fetch reads an object for Lambda, inside this process, as the bucket's owner.
func (s *services) fetch(
	ctx context.Context, bucket, key, version string,
) (io.ReadCloser, error) {
	u := &url.URL{Scheme: "http", Host: s.addresses.API, Path: "/" + bucket + "/" + key}
	if version != "" {
		u.RawQuery = url.Values{"versionId": {version}}.Encode()
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: u.RequestURI(),
	}
	reader, writer := io.Pipe()
	answer := &pipedResponse{header: http.Header{}, body: writer, status: make(chan int, 1)}
	go func() {
		defer cancel()
		s.s3.ServeHTTP(answer, r.WithContext(ctx))
		answer.WriteHeader(http.StatusOK) // if nothing was written at all
		_ = writer.Close()
	}()
	if status := <-answer.status; status != http.StatusOK {
		return nil, readS3Error(status, reader)
	}
	return &pipedBody{reader, cancel}, nil
}

func readS3Error(status int, body *io.PipeReader) error {
	defer body.Close()
	var document struct{ Code, Message string }
	err := xml.NewDecoder(io.LimitReader(body, 64<<10)).Decode(&document)
	if err != nil || document.Code == "" {
		document.Code, document.Message = "InternalError", http.StatusText(status)
	}
	return wire.Errorf(status, document.Code, "%s", document.Message)
}

// pipedBody ends the request when its reader has had enough.
type pipedBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *pipedBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// pipedResponse is a response that is read in this process.
type pipedResponse struct {
	header http.Header
	body   *io.PipeWriter
	status chan int
	sent   bool
}

func (p *pipedResponse) Header() http.Header { return p.header }

func (p *pipedResponse) WriteHeader(status int) {
	if !p.sent {
		p.sent = true
		p.status <- status
	}
}

func (p *pipedResponse) Write(data []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(data)
}
